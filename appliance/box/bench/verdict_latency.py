"""What journalling and images cost the verdict: finding sent to verdict received, with and without the recorder.

Everything but the model is real: a grabber that replays images, the publisher, the recorder with its own lease on each
frame. This process is the inspector, which answers each frame at once, and the line controller. Windows with and
without the recorder take turns, each with an appliance of its own.
"""

import json
import select
import threading
import time
from collections import Counter
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

from appliance.box.bench.own_appliance import OwnAppliance, own_appliance
from appliance.box.bench.percentiles import p50_p99
from appliance.clock import NS_PER_MS
from appliance.config import ApplianceConfig, FolderSource, Recipe, load_recipe, recipe_reference
from appliance.errors import ConfigError, StageFailed
from appliance.messages import Defect, Finding, ModelIdentity, ModelRef, VerdictWord
from appliance.messages.plan import JudgingPlan, PlanReport, PlanState, introduction
from appliance.ring import CameraFeed, ReaderRole
from appliance.wire.publisher_link import PublisherLink
from appliance.wire.verdict_lane import VerdictSubscriber

PARTS_PER_S = 60.0
REJECT_EVERY = 5
"""One part in so many is NG, and its image is stored."""
_IMAGES_S = 30.0
"""Longest wait for the pictures of a window."""


@dataclass(frozen=True)
class _Window:
    """One measured window."""

    latency_ms: dict[str, float]
    verdicts: int
    images_stored: int = 0
    images_missing: Counter[str] = field(default_factory=Counter)


def bench_verdict_latency(
    config: ApplianceConfig, recipe: Recipe, state_dir: Path, *, rounds: int, seconds: float, settle_s: float
) -> dict[str, Any]:
    """Measure windows of `seconds` in turn, `rounds` of each.

    Returns:
        `added_ms{p50,p99}` (median over the rounds of the differences), `with_recorder_ms`, `without_recorder_ms`,
        `rounds[]`, and the load.
    Raises:
        ConfigError: The configuration's first camera replays no images.
        StageFailed: The appliance did not start, or gave no verdicts.
    """
    bench_config = _replaying(config)
    pairs = []
    for number in range(rounds):
        windows = {}
        for has_recorder in (number % 2 == 0, number % 2 == 1):
            with own_appliance(bench_config, recipe, state_dir) as own:
                windows[has_recorder] = _measure(own, seconds, settle_s, has_recorder=has_recorder)
        pairs.append((windows[False], windows[True]))
    return {
        "added_ms": {
            name: round(median(on.latency_ms[name] - off.latency_ms[name] for off, on in pairs), 3)
            for name in ("p50", "p99")
        },
        "without_recorder_ms": _medians([off for off, _ in pairs]),
        "with_recorder_ms": _medians([on for _, on in pairs]),
        "rounds": [{"without": off.latency_ms, "with": on.latency_ms} for off, on in pairs],
        "load": {
            "parts_per_s": PARTS_PER_S,
            "reject_share": 1 / REJECT_EVERY,
            "verdicts": sum(off.verdicts + on.verdicts for off, on in pairs),
            "images_stored": sum(on.images_stored for _, on in pairs),
            "images_missing": dict(sum((on.images_missing for _, on in pairs), Counter())),
        },
    }


def _medians(windows: list[_Window]) -> dict[str, float]:
    return {name: round(median(window.latency_ms[name] for window in windows), 3) for name in ("p50", "p99")}


def _replaying(config: ApplianceConfig) -> ApplianceConfig:
    """Reduce to one camera that replays its images at a fixed rate."""
    first = config.cameras[0]
    if first.replayed_folder is None:
        raise ConfigError("bench delivery needs a first camera that replays images: examples/demo-real.toml has one")
    source = FolderSource(kind="folder", images=first.replayed_folder, frame_rate_hz=PARTS_PER_S)
    return config.model_copy(update={"cameras": (first.model_copy(update={"source": source}),)})


def _measure(own: OwnAppliance, seconds: float, settle_s: float, *, has_recorder: bool) -> _Window:
    camera = own.config.cameras[0].name
    names = ["publish", f"grab-{camera}", *(["record"] if has_recorder else [])]
    with (
        own.running(*names) as supervisor,
        closing(_Controller(own.config.delivery.verdict_endpoint)) as controller,
        closing(_Inspector(own.config)) as inspector,
    ):
        _run(inspector, supervisor.step, settle_s)
        inspector.sent_ns.clear()
        _run(inspector, supervisor.step, seconds)
        sent_ns, received_ns = dict(inspector.sent_ns), controller.received_ns()
        images = _settled_images(own.config.runtime_dir, controller.rejects, supervisor.step) if has_recorder else {}
    latencies = [(received_ns[each] - sent_ns[each]) / NS_PER_MS for each in sent_ns.keys() & received_ns.keys()]
    if not latencies:
        raise StageFailed(f"no verdict in {seconds:g} s; try: appliance doctor")
    missing = Counter(images.get("missing", {}))
    return _Window(p50_p99(latencies), len(latencies), images.get("stored", 0), missing)


def _run(inspector: "_Inspector", attend: Callable[[], None], seconds: float) -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        attend()
        inspector.step(0.05)


def _settled_images(runtime_dir: Path, rejects: int, attend: Callable[[], None]) -> dict[str, Any]:
    """Say what became of the rejects' pictures, once that is known of each: a recorder writes them when it has time."""
    end = time.monotonic() + _IMAGES_S
    while True:
        images = _images(runtime_dir)
        if images["stored"] + sum(images["missing"].values()) >= rejects or time.monotonic() > end:
            return images
        attend()
        time.sleep(0.05)


def _images(runtime_dir: Path) -> dict[str, Any]:
    status: dict[str, Any] = json.loads((runtime_dir / "status.record.json").read_text())
    return dict(status["images"])


class _Inspector:
    """Answers each frame at once, without looking at it.

    Attributes:
        sent_ns: By trigger id, CLOCK_MONOTONIC right before the finding was sent.
    """

    def __init__(self, config: ApplianceConfig) -> None:
        recipe = load_recipe(config.recipe)
        reference, model = recipe_reference(config.recipe, recipe), ModelRef(recipe.model)
        identity = ModelIdentity(recipe.model, "0" * 64)
        report = PlanReport(reference["sha256"], model, PlanState.READY, identity)
        self._hello = introduction([reference], [JudgingPlan(reference["sha256"], model)], [report])
        self._camera = config.cameras[0].name
        self._feed = CameraFeed(self._camera, config.runtime_dir / f"ring.{self._camera}.sock", ReaderRole.INSPECTOR)
        self._publisher = PublisherLink(config.runtime_dir)
        self.sent_ns: dict[int, int] = {}

    def step(self, timeout_s: float) -> None:
        """Wait for frames, answer them."""
        self._publisher.connect(self._hello)
        self._feed.connect_when_due(time.monotonic_ns())
        select.select([each for each in (self._feed, self._publisher) if each.fileno() >= 0], [], [], timeout_s)
        self._publisher.poll()
        for lease in self._feed.receive():
            with lease:
                trigger_id = lease.trigger.trigger_id
            finding = _finding(self._camera, trigger_id)
            self.sent_ns[trigger_id] = time.monotonic_ns()
            self._publisher.send_finding(finding)

    def close(self) -> None:
        """Hang up."""
        self._feed.close()
        self._publisher.close()


def _finding(camera: str, trigger_id: int) -> Finding:
    if trigger_id % REJECT_EVERY:
        return Finding(camera, trigger_id, VerdictWord.OK)
    return Finding(camera, trigger_id, VerdictWord.NG, defects=(Defect("bench", 0.9, (100.0, 100.0, 160.0, 140.0)),))


class _Controller:
    """Follows the verdict lane in a thread of its own, so that no verdict waits for the inspector."""

    def __init__(self, endpoint: str) -> None:
        self._endpoint = endpoint
        self._is_over = threading.Event()
        self._received: list[tuple[int, bytes]] = []
        self._thread = threading.Thread(target=self._follow, name="bench-controller")
        self._thread.start()

    def received_ns(self) -> dict[int, int]:
        """By trigger id, CLOCK_MONOTONIC at the verdict's arrival; ends the thread."""
        self.close()
        return {json.loads(body)["views"][0]["trigger_id"]: at_ns for at_ns, body in self._received}

    @property
    def rejects(self) -> int:
        """Parts so far that were NG."""
        return sum(json.loads(body)["verdict"] == "NG" for _, body in self._received)

    def close(self) -> None:
        """End the thread."""
        self._is_over.set()
        self._thread.join()

    def _follow(self) -> None:
        with VerdictSubscriber(self._endpoint) as lane:
            while not self._is_over.is_set():
                received = lane.receive(0.05)
                if received is not None:
                    self._received.append((time.monotonic_ns(), received[1]))
