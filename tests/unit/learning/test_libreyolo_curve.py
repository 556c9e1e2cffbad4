"""What is kept of a training by libreyolo, whatever moment it is killed at; the library itself isn't needed."""

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from appliance.learning.libreyolo_training.curve import Curve

PLAN = {"cut_epochs": 3, "frame_epochs": 1}


def epoch(work: Path, number: int, *, is_best: bool = False, metrics: dict[str, float] | None = None) -> Any:
    weights = work / "libreyolo/weights"
    weights.mkdir(parents=True, exist_ok=True)
    (weights / "last.pt").write_text(f"weights of epoch {number}")
    if is_best:
        (weights / "best.pt").write_text(f"weights of epoch {number}")
    return SimpleNamespace(
        epoch=number,
        epoch_seconds=30.0,
        train_loss=1.0 / number,
        lr={"0": 0.01},
        is_best=is_best,
        validated=metrics is not None,
        val_metrics=metrics or {},
        save_dir=str(work / "libreyolo"),
    )


def test_epochs_become_events_and_a_curve(tmp_path: Path) -> None:
    told: list[dict[str, Any]] = []
    curve = Curve(tmp_path, PLAN, told.append)
    curve.on_train_epoch_end(epoch(tmp_path, 1))
    curve.on_train_epoch_end(epoch(tmp_path, 2, is_best=True, metrics={"metrics/mAP50-95": 0.2, "metrics/mAP50": 0.4}))
    assert [(one["epoch"], one["val_map50"], one["minutes_left"]) for one in told] == [(1, None, 1.5), (2, 0.4, 1.0)]
    rows = [json.loads(line) for line in (tmp_path / "curve.jsonl").read_text().splitlines()]
    assert [row["minutes"] for row in rows] == [0.5, 1.0]
    assert (curve.epochs_done, curve.best_epoch, curve.minutes) == (2, 2, 1.0)


def test_a_checkpoint_torn_by_a_kill_is_replaced_by_the_last_whole_one(tmp_path: Path) -> None:
    curve = Curve(tmp_path, PLAN, lambda _: None)
    assert curve.restore() is None
    curve.on_train_epoch_end(epoch(tmp_path, 1, is_best=True, metrics={"metrics/mAP50": 0.4}))
    (tmp_path / "libreyolo/weights/last.pt").write_text("weig")
    (tmp_path / "libreyolo/weights/best.pt").write_text("")
    again = Curve(tmp_path, PLAN, lambda _: None)
    last = again.restore()
    assert last is not None
    assert last.read_text() == (last.parent / "best.pt").read_text() == "weights of epoch 1"
    assert (again.epochs_done, again.best_epoch) == (1, 1)


def test_a_curve_without_a_checkpoint_begins_anew(tmp_path: Path) -> None:
    (tmp_path / "curve.jsonl").write_text('{"epoch": 3, "minutes": 9}\n')
    assert Curve(tmp_path, PLAN, lambda _: None).epochs_done == 0
