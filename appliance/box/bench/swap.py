"""What a change of model costs a running line: the time it takes, and the verdicts around it.

Everything is real but the test before it (`appliance model verify` tells what that takes): camera, inspector,
publisher, recorder. Two models take turns; each change is asked for on the control lane while the line runs.
"""

import json
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

from appliance.box.bench.own_appliance import own_appliance
from appliance.box.supervisor import Supervisor
from appliance.config import ApplianceConfig, load_recipe
from appliance.errors import ModelError, StageFailed
from appliance.inspection.judge import check_recipe
from appliance.modelling import load_bundle
from appliance.modelling.bundle import CONTRACT_FILE
from appliance.wire.control_lane import ControlClient
from appliance.wire.verdict_lane import VerdictSubscriber

SETTLE_S = 3.0
AFTER_S = 1.0
"""Verdicts so long after the first one by the new model still belong to the change."""
_PATIENCE_S = 60.0


@dataclass
class _Lane:
    """Verdicts as they come, with the moment of their arrival."""

    subscriber: VerdictSubscriber
    supervisor: Supervisor
    verdicts: list[tuple[float, dict[str, Any]]] = field(default_factory=list)

    def follow(self, until: Callable[[], object], patience_s: float = _PATIENCE_S) -> None:
        end = time.monotonic() + patience_s
        while not until():
            self.supervisor.step()
            received = self.subscriber.receive(0.02)
            if received is not None:
                self.verdicts.append((time.monotonic(), json.loads(received[1])))
            if time.monotonic() > end:
                raise StageFailed(f"waited {patience_s:g} s for verdicts; try: appliance doctor")

    def follow_for(self, seconds: float) -> None:
        end = time.monotonic() + seconds
        self.follow(lambda: time.monotonic() >= end)

    def between(self, first: float, last: float) -> list[dict[str, Any]]:
        return [verdict for at, verdict in self.verdicts if first <= at <= last]


def bench_swap(
    config: ApplianceConfig, *, second: str | None, rounds: int, quiet_s: float, progress: Callable[[str], None]
) -> dict[str, Any]:
    """Change models to and fro, `rounds` times.

    Args:
        second: The other model; None: another one in models_dir that knows the recipe's classes.
    Returns:
        `request_to_answer_ms`, `request_to_first_verdict_ms` (p50, worst), `verdicts_around` and `verdicts_before`
        (count, unknown, p50 and worst latency), `deadline_ms`.
    Raises:
        ModelError: There is no second model.
        StageFailed: The appliance did not start, or gave no verdicts.
    """
    recipe = load_recipe(config.recipe)
    names = (second or _another(config), recipe.model)
    contracts = {name: load_bundle(config.models_dir / name).contract_sha256 for name in names}
    answers, firsts, around, before = [], [], [], []
    with own_appliance(config, recipe, config.state_dir) as own:
        processes = ("publish", "record", "inspect", *(f"grab-{camera.name}" for camera in config.cameras))
        endpoint = own.config.delivery.verdict_endpoint
        with VerdictSubscriber(endpoint) as subscriber, own.running(*processes) as supervisor:
            lane = _Lane(subscriber, supervisor)
            lane.follow_for(SETTLE_S)
            for number in range(rounds):
                name = names[number % 2]
                began = time.monotonic()
                lane.follow_for(quiet_s)
                before += lane.between(began, time.monotonic())
                asked, answered, first = _change(
                    lane, own.config.delivery.control_endpoint, recipe.name, name, contracts
                )
                answers.append(1000 * (answered - asked))
                firsts.append(1000 * (first - asked))
                around += lane.between(asked, time.monotonic())
                progress(f"change {number + 1} of {rounds}: {firsts[-1]:.0f} ms to the first verdict by {name}")
    return {
        "models": list(reversed(names)),
        "changes": rounds,
        "request_to_answer_ms": _spread(answers),
        "request_to_first_verdict_ms": _spread(firsts),
        "verdicts_around": _told(around),
        "verdicts_before": _told(before),
        "deadline_ms": recipe.deadline_ms,
    }


def _another(config: ApplianceConfig) -> str:
    recipe = load_recipe(config.recipe)
    for path in sorted(Path(config.models_dir).glob(f"*/{CONTRACT_FILE}")):
        if path.parent.name != recipe.model:
            try:
                check_recipe(recipe, load_bundle(path.parent))
            except ModelError:
                continue
            return path.parent.name
    raise ModelError(f"{config.models_dir}: no second model for recipe {recipe.name}; import one, or name it: --model")


def _change(
    lane: _Lane, endpoint: str, recipe: str, model: str, contracts: dict[str, str]
) -> tuple[float, float, float]:
    """Ask for a change, follow the line through it; gives request, answer and first verdict, monotonic seconds."""
    request = {"request": "model.activate", "recipe": recipe, "model": model, "contract_sha256": contracts[model]}
    answers: list[tuple[float, dict[str, Any]]] = []

    def ask() -> None:
        with ControlClient(endpoint) as client:
            answers.append((0.0, client.ask(request, _PATIENCE_S)))
            answers[-1] = (time.monotonic(), answers[-1][1])

    asked = time.monotonic()
    thread = threading.Thread(target=ask, name="bench-operator")
    thread.start()
    seen = len(lane.verdicts)
    try:
        lane.follow(lambda: _first_by(lane, model, seen) is not None or _is_refused(answers))
    finally:
        thread.join()
    answered, answer = answers[0]
    first = _first_by(lane, model, seen)
    if answer["status"] != "ok" or first is None:
        raise ModelError(f"model {model} is not activated: {answer['message']}")
    lane.follow_for(AFTER_S)
    return asked, answered, first


def _is_refused(answers: list[tuple[float, dict[str, Any]]]) -> bool:
    return bool(answers) and answers[0][1]["status"] != "ok"


def _first_by(lane: _Lane, model: str, seen: int) -> float | None:
    told = ((at, verdict["model"]) for at, verdict in lane.verdicts[seen:])
    return next((at for at, by in told if by is not None and by["name"] == model), None)


def _spread(values: list[float]) -> dict[str, float]:
    return {"p50": round(median(values), 1), "worst": round(max(values), 1)}


def _told(verdicts: list[dict[str, Any]]) -> dict[str, Any]:
    latencies = [verdict["stage_ms"]["total"] for verdict in verdicts]
    unknown = [verdict["reason"] for verdict in verdicts if verdict["verdict"] == "UNKNOWN"]
    return {
        "count": len(verdicts),
        "unknown_by_reason": {reason: unknown.count(reason) for reason in sorted(set(unknown))},
        "latency_ms": _spread(latencies) if latencies else None,
    }
