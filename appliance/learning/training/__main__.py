"""The training child: `python -m appliance.learning.training --plan plan.json`."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from appliance.errors import ApplianceError, DatasetError, ExitCode
from appliance.learning.machine import machine_in_words
from appliance.learning.training.part import load_parts, model_input_of
from appliance.learning.training.plan import Plan
from appliance.learning.training.progress import Report
from appliance.learning.training.sets import read_sets

MODEL_FILE = "trained.onnx"
OUTCOME_FILE = "outcome.json"
COMPARED_PICTURES = 2


def main(arguments: Sequence[str] | None = None) -> int:
    """Train by a plan; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m appliance.learning.training", description=__doc__)
    parser.add_argument("--plan", type=Path, required=True, help="plan.json, as `appliance train` writes it")
    try:
        _train(_plan(parser.parse_args(arguments).plan))
    except (ApplianceError, FloatingPointError) as error:
        print(f"error: {error}", file=sys.stderr)
        return int(error.exit_code if isinstance(error, ApplianceError) else ExitCode.MODEL)
    except KeyboardInterrupt:
        print("interrupted; the same command goes on from the last epoch", file=sys.stderr)
        return int(ExitCode.INTERRUPTED)
    return int(ExitCode.OK)


def _plan(path: Path) -> Plan:
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DatasetError(
            f"training plan {path}: expected JSON as `appliance train` writes it, got {error}"
        ) from error
    return Plan.from_dict(values)


def _train(plan: Plan) -> None:
    report = Report(lambda line: print(line, flush=True))
    train, val = read_sets(plan)
    # torch takes seconds to import: a wrong path has been reported by now.
    from appliance.learning.training.export import export  # noqa: PLC0415
    from appliance.learning.training.trainer import Trainer  # noqa: PLC0415

    plan.work_folder.mkdir(parents=True, exist_ok=True)
    model_input = model_input_of(plan)
    trainer = Trainer(plan, load_parts(train, model_input), load_parts(val, model_input), report)
    trained = trainer.run()
    pictures = [part.pixels for part in trainer.val[:COMPARED_PICTURES]]
    export(trained.network, plan, plan.work_folder / MODEL_FILE, pictures)
    outcome = {
        "plan": plan.as_dict(),
        "family": trained.network.family,
        "parameters": trainer.parameters,
        "minutes": round(trained.progress.minutes, 1),
        "epochs": trained.progress.epoch,
        "best_epoch": trained.progress.best_epoch,
        "machine": machine_in_words(plan.threads, str(trainer.device)),
    }
    _write(plan.work_folder / OUTCOME_FILE, outcome)


def _write(path: Path, outcome: dict[str, Any]) -> None:
    """Write it last and whole: its presence means that training has ended well."""
    partial = path.with_suffix(".partial")
    partial.write_text(json.dumps(outcome, indent=1) + "\n", encoding="utf-8")
    partial.replace(path)


if __name__ == "__main__":
    sys.exit(main())
