"""The gate's part that runs in a limited child: parse, load, warm up, golden images."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from appliance.modelling.bundle import CONTRACT_FILE, ModelBundle
from appliance.modelling.detector import Detector
from appliance.modelling.gate.golden import check_golden
from appliance.modelling.gate.graph_check import check_graph
from appliance.modelling.gate.limits import GraphLimits
from appliance.modelling.gate.report import ms_since
from appliance.modelling.gate.size_check import check_sizes
from appliance.modelling.session import ModelSession

Tell = Callable[[dict[str, Any]], None]


def trial_request(bundle: ModelBundle, options: Mapping[str, Any], limits: GraphLimits) -> dict[str, Any]:
    """Say what `try_model` shall do, beside `trial_blobs`; options are the detector's."""
    return {"name": bundle.name, "files": list(bundle.contents), "limits": asdict(limits), "options": dict(options)}


def trial_blobs(bundle: ModelBundle) -> list[bytes]:
    """Give the bundle's bytes: model.toml, then the files as `trial_request` lists them."""
    return [bundle.contract_bytes, *bundle.contents.values()]


def try_model(request: dict[str, Any], blobs: list[memoryview], tell: Tell) -> tuple[dict[str, Any], Sequence[bytes]]:
    """Do the steps, each told when it begins and when it is done.

    Raises:
        ModelError: The model didn't pass one of them.
    """
    where, options = f"model {request['name']}", request["options"]
    contract, *contents = blobs
    step = _Stepper(tell)

    step.begin("parse")
    bundle = ModelBundle.understand(bytes(contract), Path(CONTRACT_FILE)).with_contents(
        {name: bytes(content) for name, content in zip(request["files"], contents, strict=True)}
    )
    limits = GraphLimits(**request["limits"])
    model = check_graph(bundle.onnx_bytes, where, limits)
    nodes = len(model.graph.node)
    check_sizes(model, where, batch=options["max_batch"], limits=limits)
    del model
    step.done(f"{nodes} nodes: one file, known operators, sane sizes")

    step.begin("load")
    detector = Detector(bundle, **options)
    step.done(_placed(detector.session))

    step.begin("warm-up")
    took = [f"{size}: {took_ns / 1e6:.1f} ms" for size, took_ns in detector.session.warm_up()]
    step.done(f"batch {', '.join(took)}; every number finite")

    step.begin("golden")
    step.done(check_golden(detector))
    return {}, []


def _placed(session: ModelSession) -> str:
    words = f"{session.provider}, {session.threads} threads"
    counts = session.nodes_by_provider
    others = ", ".join(f"{count} on {name}" for name, count in counts.items() if name != session.provider)
    if not counts:
        return words
    return f"{words}; {counts[session.provider]} of {sum(counts.values())} nodes on it{f', {others}' if others else ''}"


class _Stepper:
    """Tells of one step after the other."""

    def __init__(self, tell: Tell) -> None:
        self._tell = tell
        self._name, self._start_ns = "", 0

    def begin(self, name: str) -> None:
        self._name, self._start_ns = name, time.monotonic_ns()
        self._tell({"step": name})

    def done(self, detail: str) -> None:
        self._tell({"step": self._name, "ms": ms_since(self._start_ns), "detail": detail})
