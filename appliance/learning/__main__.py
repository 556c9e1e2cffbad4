"""Train a detector on DeepPCB and write it as a model bundle: `python -m appliance.learning --help`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from appliance.errors import ApplianceError, ExitCode
from appliance.learning.part import read_parts


def main(arguments: Sequence[str] | None = None) -> int:
    """Parse, train, release; returns the exit code."""
    options = _parser().parse_args(arguments)
    try:
        _train_and_release(options)
    except ApplianceError as error:
        print(f"error: {error}", file=sys.stderr)
        return int(error.exit_code)
    except KeyboardInterrupt:
        print("interrupted; the same command goes on from the last epoch", file=sys.stderr)
        return int(ExitCode.INTERRUPTED)
    return int(ExitCode.OK)


def _train_and_release(options: argparse.Namespace) -> None:
    train, val, test = (read_parts(options.data, split) for split in ("train", "val", "test"))
    # torch takes seconds to import: a wrong path has been reported by now.
    from appliance.learning.release import TrainedModel, release  # noqa: PLC0415
    from appliance.learning.trainer import Plan, Trainer  # noqa: PLC0415

    work = options.work or Path("build/training") / options.out.name
    work.mkdir(parents=True, exist_ok=True)
    plan = Plan(
        cutting_epochs=options.cutting_epochs,
        frame_epochs=options.frame_epochs,
        seed=options.seed,
        threads=options.threads,
    )
    trainer = Trainer(plan, train, val, work, _report)
    model = TrainedModel(trainer.run(), plan, trainer.progress)
    bundle = release(model, val, test, options.out, _report)
    _report(f"{options.out}: model.onnx sha256 {bundle.sha256}, score {bundle.thresholds.score}")


def _report(line: str) -> None:
    print(line, flush=True)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m appliance.learning", description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="a DeepPCB checkout (PCBData or images/ labels/ …)")
    parser.add_argument("--out", type=Path, required=True, help="bundle folder to write; it is replaced")
    parser.add_argument("--work", type=Path, help="checkpoint folder (default: build/training/<name>)")
    parser.add_argument("--cutting-epochs", type=int, default=40, help="epochs on cuttings around defects")
    parser.add_argument("--frame-epochs", type=int, default=8, help="epochs on whole frames")
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--threads", type=int, default=2, help="CPU threads")
    return parser


if __name__ == "__main__":
    sys.exit(main())
