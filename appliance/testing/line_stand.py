"""A real publisher process between scripted grabbers, a scripted inspector, a line controller and a subscriber."""

import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from appliance.config import load, load_recipe, recipe_reference
from appliance.messages import Finding, ModelRef, Reason, Trigger, TriggerFlag, VerdictWord
from appliance.messages.plan import JudgingPlan, decode_plans
from appliance.tally import AnnouncedWriter, DecidedReader, Decision
from appliance.testing.hello import identity_of, inspector_hello, ready
from appliance.testing.patience import PATIENCE_S
from appliance.testing.whole_appliance import REPOSITORY
from appliance.wire.control_lane import ControlClient
from appliance.wire.publisher_link import PublisherLink
from appliance.wire.verdict_lane import VerdictSubscriber

TOPICS = ("verdict.", "sim.verdict.", "line.", "sim.line.")
DEADLINE_MS = 4000
MARGIN_MS = 2000
"""A busy test machine may not run us for a second: findings have two to come, an UNKNOWN that is late by then one."""

_RECIPE = """
name = "{name}"
version = 1
model = "{model}"
deadline_ms = {deadline_ms}
{top}
[evidence]
mean_grey_min = 10
mean_grey_max = 245
sharpness_min = 0
[classes.spur]
score = {score}
{tables}
"""
_CONFIG = """
line = "line1"
station = "tabs"
recipe = "recipes/{main}.toml"
recipes = [{further}]
models_dir = "{repository}/models"
runtime_dir = "run"
state_dir = "state"

[delivery]
verdict_endpoint = "ipc://{folder}/verdicts"
control_endpoint = "ipc://{folder}/control"
send_margin_ms = {margin_ms}
count_tolerance_ms = {count_tolerance_ms}
"""
_CAMERA = """
[[cameras]]
name = "{name}"
source = {{ kind = "folder", images = "{repository}/examples/deeppcb" }}
"""


def recipe_text(name: str, *, score: float = 0.5, model: str = "m", top: str = "", tables: str = "") -> str:
    """Write a recipe; `top` holds further keys, `tables` further tables."""
    return _RECIPE.format(name=name, model=model, deadline_ms=DEADLINE_MS, score=score, top=top, tables=tables)


class LineStand:
    """Starts the publisher, plays everybody else. A context manager.

    Args:
        recipes: TOML by name; the first one is in use at the start.
    """

    def __init__(
        self,
        folder: Path,
        *,
        cameras: Iterable[str] = ("cam0",),
        recipes: Mapping[str, str] | None = None,
        count_tolerance_ms: float = 200,
    ) -> None:
        recipes = recipes or {"a": recipe_text("a")}
        (folder / "recipes").mkdir()
        for name, text in recipes.items():
            (folder / "recipes" / f"{name}.toml").write_text(text)
        main, *further = recipes
        text = _CONFIG.format(
            main=main,
            further=", ".join(f'"recipes/{name}.toml"' for name in further),
            repository=REPOSITORY,
            folder=folder,
            count_tolerance_ms=count_tolerance_ms,
            margin_ms=MARGIN_MS,
        )
        self.config_path = folder / "config.toml"
        self.config_path.write_text(
            text + "".join(_CAMERA.format(name=name, repository=REPOSITORY) for name in cameras)
        )
        self.config = load(self.config_path)
        self.names = list(cameras)
        self.paths = {name: folder / "recipes" / f"{name}.toml" for name in recipes}
        self.states: list[dict[str, Any]] = []
        self.verdicts: list[dict[str, Any]] = []
        self.plans_told: list[list[JudgingPlan]] = []
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        self.lane = VerdictSubscriber(self.config.delivery.verdict_endpoint, TOPICS)
        self.start()
        runtime_dir, state_dir = self.config.runtime_dir, self.config.state_dir
        self.pens = {name: AnnouncedWriter(runtime_dir, state_dir, name) for name in self.names}
        self.grabbers = {name: PublisherLink(runtime_dir) for name in self.names}
        self.inspector = PublisherLink(runtime_dir)
        self.client = ControlClient(self.config.delivery.control_endpoint)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._process is not None
        self._process.terminate()
        status = self._process.wait(PATIENCE_S)
        closers: list[Callable[[], None]] = [self.inspector.close, self.client.close, self.lane.close]
        closers += [pen.close for pen in self.pens.values()] + [link.close for link in self.grabbers.values()]
        for close in closers:
            close()
        assert kind is not None or status == 0, f"the publisher ended with {status}"

    # -- the process

    def start(self) -> None:
        """Start the publisher; returns when it speaks."""
        argv = [sys.executable, "-m", "appliance", "stage", "publish", "--config", str(self.config_path)]
        self._process = subprocess.Popen(argv)  # noqa: S603 (our own program)
        told = len(self.states)
        self.until(lambda: len(self.states) > told)

    def kill(self) -> None:
        """Kill -9; returns when nobody is there any more."""
        assert self._process is not None
        self._process.kill()
        self._process.wait()
        self.until(lambda: not self.lane.is_connected)

    # -- peers

    def connect(self) -> None:
        """Introduce grabbers and inspector, also again after a kill; returns when the line's state tells of them."""
        for link in (*self.grabbers.values(), self.inspector):
            link.poll()
        for name, link in self.grabbers.items():
            self.until(lambda name=name, link=link: link.connect({"role": "grabber", "camera": name}))  # type: ignore[misc]
        hello = inspector_hello([self.reference(name) for name in self.paths], self.main_model)
        self.until(lambda: self.inspector.connect(hello))
        told = len(self.states)
        self.until(lambda: len(self.states) > told + 1)

    def reference(self, recipe: str) -> dict[str, Any]:
        """Name, version, sha256 of a recipe."""
        return recipe_reference(self.paths[recipe], load_recipe(self.paths[recipe]))

    @property
    def main_model(self) -> str:
        """The model that the main recipe names."""
        return load_recipe(next(iter(self.paths.values()))).model

    def hear_publisher(self, *, acknowledges: bool = True) -> None:
        """Take what the inspector is told, and do as a real one does."""
        for message in self.inspector.poll():
            self.plans_told.append(decode_plans(message))
            if acknowledges:
                self.inspector.report_plans(ready(self.plans_told[-1]))

    @property
    def recipes_told(self) -> list[list[str]]:
        """Recipes of the plans that the inspector was told, message by message."""
        return [[plan.recipe_sha256 for plan in plans] for plans in self.plans_told]

    def announce(
        self,
        camera: str = "cam0",
        *,
        reason: Reason = Reason.NONE,
        count: int | None = None,
        exposed_ns: int | None = None,
    ) -> Trigger:
        """Expose a part now, or at another moment."""
        pen = self.pens[camera]
        trigger = Trigger(
            pen.next_trigger_id,
            time.monotonic_ns() if exposed_ns is None else exposed_ns,
            frame_id=1,
            encoder_count=count or 0,
            flags=TriggerFlag.SIMULATED | (TriggerFlag.COUNTED if count is not None else TriggerFlag(0)),
            reason=reason,
        )
        pen.announce(trigger)
        self.grabbers[camera].wake()
        return trigger

    def announce_seen(self, camera: str = "cam0") -> Trigger:
        """Expose a part; returns when the publisher knows of it. No other part may be open for long."""
        self.until_state(trigger_acknowledged=False)  # the state may still be about a part before
        trigger = self.announce(camera)
        self.until_state(trigger_acknowledged=True)
        return trigger

    def find(
        self,
        camera: str,
        trigger: Trigger,
        *,
        recipe: str = "a",
        view: str = "whole",
        ng: bool = False,
        model: ModelRef | None = None,
    ) -> None:
        """Tell a finding; by default of whatever model is asked for."""
        word = VerdictWord.NG if ng else VerdictWord.OK
        sha256 = self.reference(recipe)["sha256"]
        identity = identity_of(model) if model is not None else None
        self.inspector.send_finding(
            Finding(camera, trigger.trigger_id, word, view=view, recipe_sha256=sha256, model=identity)
        )

    # -- the controller

    def ask(self, request: str, **fields: Any) -> dict[str, Any]:
        """Ask the publisher."""
        return self.client.ask({"request": request, "id": 7, **fields}, PATIENCE_S)

    def status_of(self, request: str, **fields: Any) -> str:
        """Ask; gives the answer's status alone."""
        status: str = self.ask(request, **fields)["status"]
        return status

    def listen(self, timeout_s: float = 0.02) -> None:
        """Take one message off the lane."""
        received = self.lane.receive(timeout_s)
        if received is None:
            return
        topic = received[0].removeprefix("sim.")
        (self.verdicts if topic.startswith("verdict.") else self.states).append(json.loads(received[1]))

    def until(self, is_so: Callable[[], object]) -> None:
        """Listen until something is true."""
        end = time.monotonic() + PATIENCE_S
        while not is_so():
            assert time.monotonic() < end, f"waited in vain; the line says {self.states[-1:]}"
            self.listen(0.005)

    def next_verdict(self) -> dict[str, Any]:
        """Wait for one more verdict."""
        seen = len(self.verdicts)
        self.until(lambda: len(self.verdicts) > seen)
        return self.verdicts[seen]

    def verdict_of(self, trigger: Trigger, camera: str = "cam0") -> dict[str, Any]:
        """Wait for the verdict of the part that a trigger belongs to."""
        found: list[dict[str, Any]] = []

        def is_there() -> bool:
            found.extend(
                verdict
                for verdict in self.verdicts
                if (camera, trigger.trigger_id) in {(view["camera"], view["trigger_id"]) for view in verdict["views"]}
            )
            return bool(found)

        self.until(is_there)
        return found[0]

    def until_state(self, **wanted: Any) -> dict[str, Any]:
        """Wait until the line's state says so."""
        self.until(lambda: self.states and wanted.items() <= self.states[-1].items())
        return self.states[-1]

    # -- the truth

    def decision(self, camera: str, trigger: Trigger) -> Decision | None:
        """Read a trigger's terminal state."""
        reader = DecidedReader(self.config.runtime_dir, camera)
        try:
            return reader.read(trigger.trigger_id) if reader.totals() is not None else None
        finally:
            reader.close()
