"""A real publisher and a real inspector, as processes that a test may kill; the test is the camera and the operator.

Models are tiny detectors: loaded in milliseconds, they find the same and differ in their names. Each part is a bright
cell on its own place, so that every verdict is NG and no frame repeats another.
"""

import json
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np

from appliance.clock import NS_PER_MS
from appliance.config import ApplianceConfig, load
from appliance.messages import FrameGeometry, ModelRef, Trigger, TriggerFlag
from appliance.modelling import load_bundle
from appliance.tally import AnnouncedWriter, DecidedReader, SpoolReader
from appliance.tally.spool import MAIN
from appliance.testing.inspector_rig import FilledRing
from appliance.testing.patience import PATIENCE_S
from appliance.testing.tiny_detector import write_tiny_bundle
from appliance.wire.control_lane import ControlClient
from appliance.wire.publisher_link import PublisherLink
from appliance.wire.verdict_lane import VerdictSubscriber

WIDTH, HEIGHT = 64, 48
GEOMETRY = FrameGeometry(WIDTH, HEIGHT, "Mono8")
DEADLINE_MS = 4000

RECIPE = """
name = "{name}"
version = 1
model = "{model}"
deadline_ms = {deadline_ms}
{top}
[evidence]
mean_grey_min = 10
mean_grey_max = 254
sharpness_min = 0
[classes.bright]
score = 0.7
[classes.dark]
score = 0.7
{tables}
"""
_CONFIG = """
line = "line1"
station = "tabs"
recipe = "{main}.toml"
recipes = [{further}]
models_dir = "models"
runtime_dir = "run"
state_dir = "state"
[delivery]
verdict_endpoint = "ipc://{folder}/verdicts"
control_endpoint = "ipc://{folder}/control"
send_margin_ms = 1000
[inspector]
intra_op_num_threads = 1
"""
_CAMERA = """
[[cameras]]
name = "{name}"
source = {{ kind = "folder", images = "." }}
"""


def recipe_text(name: str, model: str, *, top: str = "", tables: str = "") -> str:
    """Write a recipe; `top` holds further keys, `tables` further tables."""
    return RECIPE.format(name=name, model=model, deadline_ms=DEADLINE_MS, top=top, tables=tables)


class ModelStand:
    """Starts both processes; a context manager.

    Args:
        recipes: TOML by name; the first is the main one. Default: "a" with model "one".
        models: Tiny bundles to write, by name, with arguments of `write_tiny_bundle`.
        period_s: From part to part.
    Attributes:
        triggers: All that were exposed, by camera and id.
        ages_ms: How long ago a camera's frames were exposed when they come, where that isn't 0.
        verdicts: All that came on the wire, in order.
    """

    def __init__(
        self,
        folder: Path,
        *,
        recipes: dict[str, str] | None = None,
        models: dict[str, dict[str, Any]] | None = None,
        cameras: Iterable[str] = ("cam0",),
        period_s: float = 0.02,
    ) -> None:
        self.period_s = period_s
        self.ages_ms: dict[str, float] = {}
        self._moments: dict[tuple[str, int], tuple[str, int]] = {}
        recipes = recipes or {"a": recipe_text("a", "one")}
        for name, arguments in (models or {"one": {}, "two": {}}).items():
            write_tiny_bundle(folder / "models" / name, width=WIDTH, height=HEIGHT, **arguments)
        for name, text in recipes.items():
            (folder / f"{name}.toml").write_text(text)
        main, *further = recipes
        head = _CONFIG.format(main=main, further=", ".join(f'"{name}.toml"' for name in further), folder=folder)
        self.config_path = folder / "appliance.toml"
        self.config_path.write_text(head + "".join(_CAMERA.format(name=name) for name in cameras))
        self.config: ApplianceConfig = load(self.config_path)
        self.cameras = list(cameras)
        self.triggers: dict[tuple[str, int], Trigger] = {}
        self.verdicts: list[dict[str, Any]] = []
        self.states: list[dict[str, Any]] = []
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        self.next_at = 0.0
        self.is_running = False
        self.image: Callable[[int], Any] = part_image

    def __enter__(self) -> Self:
        runtime_dir, state_dir = self.config.runtime_dir, self.config.state_dir
        runtime_dir.mkdir(mode=0o700)
        self.rings = {name: FilledRing(runtime_dir, name, GEOMETRY, slots=32) for name in self.cameras}
        self.pens = {name: AnnouncedWriter(runtime_dir, state_dir, name) for name in self.cameras}
        self.grabbers = {name: PublisherLink(runtime_dir) for name in self.cameras}
        self.lane = VerdictSubscriber(
            self.config.delivery.verdict_endpoint, ("verdict.", "sim.verdict.", "line.", "sim.line.")
        )
        self.client = ControlClient(self.config.delivery.control_endpoint)
        for name in ("publish", "inspect"):
            self.start(name)
        self.until(lambda: self.states and self.states[-1]["ready"])
        self.until(lambda: all(ring.has_inspector for ring in self.rings.values()))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for process in reversed(self.processes.values()):
            process.terminate()
        for process in self.processes.values():
            process.wait(PATIENCE_S)
        closers = [self.lane.close, self.client.close]
        closers += [ring.close for ring in self.rings.values()]
        closers += [pen.close for pen in self.pens.values()]
        closers += [link.close for link in self.grabbers.values()]
        for close in closers:
            close()

    # -- processes

    def start(self, name: str) -> None:
        """Start "publish" or "inspect"."""
        argv = [sys.executable, "-m", "appliance", "stage", name, "--config", str(self.config_path)]
        self.processes[name] = subprocess.Popen(argv)  # noqa: S603 (our own program)

    def kill(self, name: str, *, starts_again: bool = True) -> None:
        """Kill -9, and start it again at once, as a supervisor does."""
        self.processes[name].kill()
        self.processes[name].wait()
        if starts_again:
            self.start(name)

    # -- the line

    def expose(self, camera: str = "cam0", *, exposed_ns: int | None = None) -> Trigger:
        """Expose a part now; its frame follows at once."""
        ring, pen = self.rings[camera], self.pens[camera]
        ring.serve()
        number = pen.next_trigger_id
        slot, reason = ring.fill(self.image(number))
        trigger = Trigger(
            number,
            time.monotonic_ns() if exposed_ns is None else exposed_ns,
            frame_id=number,
            stream_epoch=1,
            width=WIDTH,
            height=HEIGHT,
            flags=TriggerFlag.SIMULATED,
            reason=reason,
        )
        pen.announce(trigger)
        self.triggers[camera, number] = trigger
        self.grabbers[camera].wake()
        if slot is not None:
            ring.lend(slot, trigger)
        return trigger

    def step(self) -> None:
        """Do what cameras and line do all the time."""
        for name, link in self.grabbers.items():
            link.poll()
            link.connect({"role": "grabber", "camera": name})
        for ring in self.rings.values():
            ring.serve()
        if self.is_running and time.monotonic() >= self.next_at:
            self.next_at = max(self.next_at, time.monotonic() - self.period_s) + self.period_s
            now_ns = time.monotonic_ns()
            for camera in self.cameras:
                self.expose(camera, exposed_ns=now_ns - round(self.ages_ms.get(camera, 0) * NS_PER_MS))
        received = self.lane.receive(0.002)
        if received is not None:
            kind = self.verdicts if received[0].removeprefix("sim.").startswith("verdict.") else self.states
            kind.append(json.loads(received[1]))

    def until(self, is_so: Callable[[], object], patience_s: float = PATIENCE_S) -> None:
        """Go on until something is true."""
        end = time.monotonic() + patience_s
        while not is_so():
            assert time.monotonic() < end, f"waited in vain; {len(self.verdicts)} verdicts, line {self.states[-1:]}"
            self.step()

    def parts(self, count: int) -> None:
        """Let the line run until a model has judged so many of the parts that are exposed from now on."""
        self.is_running, from_ns = True, time.monotonic_ns()
        self.until(lambda: self._judged_since(from_ns) >= count)

    def until_judged_by(self, model: str) -> None:
        """Let the line run until this model judges: a change holds from a moment on that may be still to come."""
        self.is_running, seen = True, len(self.verdicts)

        def judges() -> bool:
            news = self.verdicts[seen:]
            return any(each["verdict"] != "UNKNOWN" and each["model"]["name"] == model for each in news)

        self.until(judges)

    def drain(self) -> None:
        """Stop the line, and wait for the last verdict."""
        self.is_running = False
        self.until(lambda: all(not self.open_triggers(camera) for camera in self.cameras))

    @property
    def judged(self) -> int:
        """Verdicts that rest on a model's finding."""
        return sum(verdict["verdict"] != "UNKNOWN" for verdict in self.verdicts)

    def _judged_since(self, from_ns: int) -> int:
        return sum(
            self.triggers[view["camera"], view["trigger_id"]].exposed_ns >= from_ns
            for verdict in self.verdicts
            if verdict["verdict"] != "UNKNOWN"
            for view in verdict["views"][:1]
        )

    # -- the operator

    def ask(self, request: dict[str, Any]) -> dict[str, Any]:
        """Ask while the line runs; gives the answer."""
        self.client._client.socket.send_json(request)
        answers: list[bytes] = []

        def has_come() -> bool:
            answers.extend(self.client._client.receive(0) or ())
            return bool(answers)

        self.until(has_come)
        answer: dict[str, Any] = json.loads(answers[-1])
        return answer

    def activation(self, model: str, recipe: str = "a", *, is_rollback: bool = False) -> dict[str, Any]:
        """The request by which a model is activated."""
        return {
            "request": "model.activate",
            "recipe": recipe,
            "model": model,
            "contract_sha256": self.ref(model).contract_sha256,
            "by": "test",
            "is_rollback": is_rollback,
        }

    def activate(self, model: str, recipe: str = "a", *, is_rollback: bool = False) -> dict[str, Any]:
        """Activate a model while the line runs; gives the answer."""
        return self.ask(self.activation(model, recipe, is_rollback=is_rollback))

    def ref(self, model: str) -> ModelRef:
        """A bundle of ours, pinned."""
        bundle = load_bundle(self.config.models_dir / model)
        return ModelRef(bundle.name, bundle.contract_sha256)

    # -- the truth

    def open_triggers(self, camera: str = "cam0") -> list[int]:
        """Triggers that have no terminal state."""
        reader = DecidedReader(self.config.runtime_dir, camera)
        try:
            ids = [number for of_camera, number in self.triggers if of_camera == camera]
            if reader.totals() is None:
                return ids
            return [number for number in ids if reader.read(number) is None]
        finally:
            reader.close()

    def moments(self, recipe: str = "a") -> list[tuple[str, int]]:
        """Changes of a recipe's model as the publisher noted them last: name and moment, in order.

        It remembers the last few: ask after every change to know them all.
        """
        for line in (self.config.runtime_dir / "notes").read_bytes().splitlines():
            note = json.loads(line.split(b" ", 1)[1])
            if note["note"] == "model":
                self._moments[note["recipe"], note["revision"]] = (note["model"]["name"], note["from_ns"])
        return [moment for (of_recipe, _), moment in sorted(self._moments.items()) if of_recipe == recipe]

    def records(self, spool: str = MAIN) -> list[dict[str, Any]]:
        """What the publisher, or a shadow, has spooled, oldest first."""
        reader = SpoolReader(self.config.runtime_dir, spool)
        try:
            return [json.loads(entry.body) for entry in reader.read(100_000)]
        finally:
            reader.close()

    def assert_each_trigger_has_one_verdict(self) -> None:
        """No trigger lost, none doubled: in the files, on the wire, in the records."""
        assert not any(self.open_triggers(camera) for camera in self.cameras)
        records = [record for record in self.records() if record["kind"] == "inspection"]
        for told in (self.verdicts, records):
            counted = Counter((view["camera"], view["trigger_id"]) for each in told for view in each["views"])
            assert max(counted.values()) == 1
            assert counted.keys() <= self.triggers.keys()

    def assert_models_change_at_their_moments(self) -> None:
        """Each part was judged with the model that was in use when its first view was exposed."""
        moments = self.moments()
        for verdict in self.verdicts:
            views = [self.triggers[view["camera"], view["trigger_id"]] for view in verdict["views"]]
            first_ns = min(view.exposed_ns for view in views)
            wanted = [name for name, from_ns in moments if from_ns <= first_ns][-1]
            if verdict["verdict"] != "UNKNOWN":
                assert verdict["model"]["name"] == wanted, f"{views[0].trigger_id} at {first_ns}, moments {moments}"


def part_image(number: int) -> Any:
    """One bright cell, its place and the grey around it told by the number."""
    image = np.full((HEIGHT, WIDTH), 40 + number % 64, np.uint8)
    columns, rows = WIDTH // 16, HEIGHT // 16
    column, row = number % columns, number // columns % rows
    image[row * 16 : row * 16 + 16, column * 16 : column * 16 + 16] = 230
    image[0, 0] = number // 64 % 200
    return image


def white_image(number: int) -> Any:
    """The same with one white pixel: what `fails_on_white` fails on."""
    image = part_image(number)
    image[-1, -1] = 255
    return image
