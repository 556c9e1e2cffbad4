"""What libreyolo tells of each epoch, as the appliance wants it: a curve, events, checkpoints that are always whole."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

KEPT = "kept"
"""Copies of the checkpoints: libreyolo writes its own in place, and a kill in between leaves half of one."""


class Curve:
    """A callback of libreyolo's trainer. Source: libreyolo, training/callbacks.py."""

    def __init__(self, work: Path, plan: dict[str, Any], say: Callable[[dict[str, Any]], None]) -> None:
        self._work, self._say = work, say
        self._epochs = plan["cut_epochs"] + plan["frame_epochs"]
        self._rows = self._read() if self.kept("last.pt") else []

    @property
    def epochs_done(self) -> int:
        """Epochs behind the last whole checkpoint."""
        return int(self._rows[-1]["epoch"]) if self._rows else 0

    @property
    def minutes(self) -> float:
        """Of training, over all starts."""
        return float(self._rows[-1]["minutes"]) if self._rows else 0.0

    @property
    def best_epoch(self) -> int:
        """Whose weights were kept as the best; 0 where none was measured."""
        return max((row["epoch"] for row in self._rows if row.get("is_best")), default=0)

    def kept(self, name: str) -> Path | None:
        """Return a whole checkpoint, if there is one."""
        path = self._work / KEPT / name
        return path if path.is_file() else None

    def restore(self) -> Path | None:
        """Put the whole checkpoints where libreyolo has its own; returns the one to go on from."""
        last = self.kept("last.pt")
        weights = self._work / "libreyolo" / "weights"
        if last is None:
            shutil.rmtree(weights.parent, ignore_errors=True)
            return None
        weights.mkdir(parents=True, exist_ok=True)
        for name in ("best.pt", "last.pt"):
            if (path := self.kept(name)) is not None:
                shutil.copyfile(path, weights / name)
        return weights / "last.pt"

    def on_train_epoch_end(self, event: Any) -> None:
        """Called by libreyolo when an epoch's checkpoint is written."""
        map50 = _map50(event.val_metrics) if event.validated else None
        row = {
            "epoch": event.epoch,
            "minutes": round(self.minutes + event.epoch_seconds / 60, 2),
            "loss": round(float(event.train_loss), 4),
            "val_map50": None if map50 is None else round(map50, 4),
            "learning_rate": next(iter(event.lr.values()), None),
            "is_best": bool(event.is_best),
        }
        weights = Path(event.save_dir) / "weights"
        for name in ("best.pt", "last.pt") if event.is_best else ("last.pt",):
            self._keep(weights / name)
        self._rows = [*(one for one in self._rows if one["epoch"] < event.epoch), row]
        self._write()
        left = (self._epochs - event.epoch) * self.minutes / max(1, event.epoch)
        self._say({"event": "epoch", **row, "epochs": self._epochs, "minutes_left": round(left, 1)})

    def _keep(self, path: Path) -> None:
        if not path.is_file():
            return
        partial = self._work / KEPT / f"{path.name}.partial"
        partial.parent.mkdir(exist_ok=True)
        shutil.copyfile(path, partial)
        with partial.open("rb") as file:
            os.fsync(file.fileno())
        partial.replace(self._work / KEPT / path.name)

    def _read(self) -> list[dict[str, Any]]:
        path = self._work / "curve.jsonl"
        return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()] if path.is_file() else []

    def _write(self) -> None:
        partial = self._work / "curve.partial"
        partial.write_text("".join(json.dumps(row) + "\n" for row in self._rows), encoding="utf-8")
        partial.replace(self._work / "curve.jsonl")


def _map50(metrics: Any) -> float | None:
    """Find mAP@0.5 among libreyolo's metrics, whose names carry a prefix."""
    for name, value in metrics.items():
        if name.lower().replace("_", "").endswith(("map50", "map@0.5", "map50(b)")):
            return float(value)
    return None
