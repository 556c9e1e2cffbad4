"""Camera to published verdict, against the bare model: what the appliance around the model costs.

The pipeline is the real one: simulated camera, grabber, ring, inspector and publisher as processes, followed on the
verdict lane. Bare means `session.run` on the same model, frames and threads, alone in a process, at the faster of
single frames and full batches. Both are measured in turn, round by round, so that a machine that changes its speed
can't favour one of them.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import Any

from appliance.box.bench.machine import machine
from appliance.box.bench.toml_text import write_toml
from appliance.box.process_table import process_table
from appliance.box.process_usage import ProcessUsage, process_usage
from appliance.box.status import appliance_status
from appliance.box.supervisor import Supervisor
from appliance.config import ApplianceConfig, GenicamSource, Recipe, load_recipe
from appliance.counters import percentile
from appliance.errors import ConfigError, StageFailed
from appliance.rollout import ShadowChoice, write_shadows
from appliance.rollout.choices import ChosenModel
from appliance.wire.verdict_lane import VerdictSubscriber

START_ALLOWANCE_S = 30.0
SETTLE_S = 1.5
_OVERDRIVE = 1.15
"""At full load the camera delivers so much faster than the bare model runs: the inspector never waits for a frame."""
_PATIENT_DEADLINE_MS = 60_000.0
"""At full load frames queue in the ring; they shall be judged, not given up as late."""

Progress = Callable[[str], None]


@dataclass
class _Load:
    """What one measured window of the pipeline gave."""

    seconds: float
    judged: int = 0
    latencies_ms: list[float] = field(default_factory=list)
    cpu_s: dict[str, float] = field(default_factory=dict)
    rss_mb: dict[str, float] = field(default_factory=dict)
    copies_per_frame: float | None = None
    invariant_holds: bool = True

    @property
    def frames_per_s(self) -> float:
        return self.judged / self.seconds


def bench_pipeline(
    config: ApplianceConfig,
    *,
    rounds: int = 3,
    seconds: float = 6.0,
    shadow: str | None = None,
    progress: Progress = lambda _: None,
) -> dict[str, Any]:
    """Measure throughput at full load in turn with the bare model, then latency at half load.

    Args:
        config: Its first camera must be a simulated one; line trigger and deadline are set aside for full load.
        shadow: A model that watches meanwhile.
        progress: Told in words what runs now.
    Returns:
        JSON-ready: `frames_per_s, bare_frames_per_s, ratio_to_bare, copies_per_frame, cpu_ms_per_frame,
        latency_ms{p50,p99}` (camera's exposure to publication at half load), `rounds[]`, `processes{name}`.
    Raises:
        ConfigError: The configuration has no simulated camera.
        StageFailed: The pipeline did not start.
    """
    recipe = load_recipe(config.recipe)
    bare_rates, loads = [], []
    with tempfile.TemporaryDirectory(prefix="appliance-bench-") as folder:
        for number in range(1, rounds + 1):
            progress(f"round {number} of {rounds}: bare model")
            bare_rates.append(_bare_frames_per_s(config, seconds))
            progress(f"round {number} of {rounds}: pipeline at full load")
            patient = recipe.model_copy(update={"deadline_ms": _PATIENT_DEADLINE_MS})
            with _pipeline(config, patient, Path(folder), bare_rates[-1] * _OVERDRIVE, shadow) as running:
                loads.append(_measure(running, seconds))
        progress("pipeline at half load")
        with _pipeline(config, recipe, Path(folder), median(bare_rates) / 2, shadow) as running:
            half = _measure(running, seconds)
    ratios = [load.frames_per_s / bare for load, bare in zip(loads, bare_rates, strict=True)]
    latencies = sorted(half.latencies_ms)
    judged = sum(load.judged for load in loads)
    return {
        "machine": machine(),
        "frames_per_s": round(median(load.frames_per_s for load in loads), 1),
        "bare_frames_per_s": round(median(bare_rates), 1),
        "ratio_to_bare": round(median(ratios), 3),
        "copies_per_frame": max((load.copies_per_frame or 0.0) for load in [*loads, half]),
        "cpu_ms_per_frame": round(1000 * sum(sum(load.cpu_s.values()) for load in loads) / max(judged, 1), 2),
        "latency_ms": {name: round(percentile(latencies, rank), 2) for name, rank in (("p50", 50.0), ("p99", 99.0))},
        "half_load_frames_per_s": round(half.frames_per_s, 1),
        "invariant_holds": all(load.invariant_holds for load in [*loads, half]),
        "max_batch": config.inspector.max_batch,
        "rounds": [
            {"frames_per_s": round(load.frames_per_s, 1), "bare_frames_per_s": round(bare, 1), "ratio": round(ratio, 3)}
            for load, bare, ratio in zip(loads, bare_rates, ratios, strict=True)
        ],
        "processes": {
            name: {
                "cpu_ms_per_frame": round(1000 * sum(load.cpu_s[name] for load in loads) / max(judged, 1), 2),
                "rss_mb": max(load.rss_mb[name] for load in loads),
            }
            for name in loads[-1].cpu_s
        },
    }


def _bare_frames_per_s(config: ApplianceConfig, seconds: float) -> float:
    """Run the model alone in a process of its own, as the inspector has one."""
    with tempfile.TemporaryDirectory(prefix="appliance-bare-") as folder:
        path = Path(folder) / "config.toml"
        write_toml(path, config)
        done = subprocess.run(  # noqa: S603 (our own module)
            [sys.executable, "-m", "appliance.box.bench.bare", str(path), str(seconds)],
            capture_output=True,
            text=True,
            check=False,
        )
    if done.returncode:
        raise StageFailed(f"the bare model loop failed: {done.stderr.strip().splitlines()[-1:]}")
    return float(json.loads(done.stdout))


_Running = tuple[ApplianceConfig, Supervisor, VerdictSubscriber]


def _measure(running: _Running, seconds: float) -> _Load:
    """Measure a window of a running pipeline, after it has settled."""
    bench_config, supervisor, lane = running
    _follow(supervisor, lane, SETTLE_S, None)
    load = _Load(seconds)
    pids = {child.spec.name: child.pid for child in supervisor.children if child.pid is not None}
    before = _usages(pids)
    _follow(supervisor, lane, seconds, load)
    after = _usages(pids)
    load.cpu_s = {name: usage.cpu_s - before[name].cpu_s for name, usage in after.items()}
    load.rss_mb = {name: usage.rss_mb for name, usage in after.items()}
    status = appliance_status(bench_config)
    load.copies_per_frame = status["cameras"][bench_config.cameras[0].name]["copies_per_frame"]
    load.invariant_holds = status["invariant_holds"]
    return load


@contextmanager
def _pipeline(
    config: ApplianceConfig, recipe: Recipe, folder: Path, rate_hz: float, shadow: str | None
) -> Iterator[_Running]:
    """Run the pipeline with the camera at a fixed rate, until the first verdict and as long as the caller likes."""
    bench_config = _free_running(config, folder, rate_hz)
    path = folder / "config.toml"
    write_toml(path, bench_config)
    write_toml(bench_config.recipe, recipe)
    if shadow is not None:
        chosen = ChosenModel(name=shadow, contract_sha256=None)
        choice = ShadowChoice(model=chosen, since=datetime.now(UTC), by="bench")
        write_shadows(bench_config.state_dir, {recipe.name: choice})
    endpoint = bench_config.delivery.verdict_endpoint
    with (
        VerdictSubscriber(endpoint) as lane,
        Supervisor(
            process_table(bench_config, path, os.getpid()),
            bench_config.runtime_dir,
            config_path=path,
            environment=os.environ,
            show=_ignore,
        ) as supervisor,
    ):
        supervisor.start()
        give_up_at = time.monotonic() + START_ALLOWANCE_S
        while lane.receive(0.02) is None:
            supervisor.step()
            if time.monotonic() > give_up_at:
                raise StageFailed(f"no verdict within {START_ALLOWANCE_S:g} s of the start; try: appliance doctor")
        yield bench_config, supervisor, lane


def _free_running(config: ApplianceConfig, folder: Path, rate_hz: float) -> ApplianceConfig:
    first = config.cameras[0]
    source = first.source
    if not isinstance(source, GenicamSource) or source.simulator is None:
        raise ConfigError("bench pipeline needs a simulated first camera: give --config examples/demo-real.toml")
    features = {
        **source.features,
        "TriggerMode": "Off",
        "AcquisitionFrameRateEnable": True,
        "AcquisitionFrameRate": round(rate_hz, 2),
        "ExposureTime": 200.0,
    }
    features.pop("TriggerSource", None)
    camera = first.model_copy(update={"source": source.model_copy(update={"features": features})})
    delivery = config.delivery.model_copy(
        update={"verdict_endpoint": f"ipc://{folder}/verdicts", "control_endpoint": f"ipc://{folder}/control"}
    )
    recorder = config.recorder.model_copy(
        update={"result_endpoint": f"ipc://{folder}/results", "replay_endpoint": f"ipc://{folder}/replay"}
    )
    return config.model_copy(
        update={
            "cameras": (camera,),
            "delivery": delivery,
            "recorder": recorder,
            "recipe": folder / "recipe.toml",
            "runtime_dir": folder / "run",
            "state_dir": folder / "state",
        }
    )


def _follow(supervisor: Supervisor, lane: VerdictSubscriber, seconds: float, load: _Load | None) -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        supervisor.step()
        received = lane.receive(0.1)
        if received is None or load is None:
            continue
        verdict = json.loads(received[1])
        if verdict["verdict"] != "UNKNOWN":
            load.judged += 1
            load.latencies_ms.append(verdict["stage_ms"]["total"])


def _ignore(process: str, line: str) -> None:
    """Processes print nothing worth showing while a benchmark runs; their errors come as StageFailed."""


def _usages(pids: dict[str, int]) -> dict[str, ProcessUsage]:
    return {name: usage for name, pid in pids.items() if (usage := process_usage(pid)) is not None}
