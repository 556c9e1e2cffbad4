"""The training loop: plain PyTorch, bfloat16 where it is exact enough, resumable after any end."""

from __future__ import annotations

import copy
import json
import math
import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from appliance.learning.evaluation.precision import average_precision
from appliance.learning.evaluation.threshold import Limits, WhatIf
from appliance.learning.training.ahead import made_ahead
from appliance.learning.training.detecting import detect
from appliance.learning.training.networks import NETWORKS, Network
from appliance.learning.training.networks.network import Truth
from appliance.learning.training.part import Part
from appliance.learning.training.plan import Plan
from appliance.learning.training.progress import Progress, Report
from appliance.learning.training.supply import Supply
from appliance.modelling import Detections

_LAST_RATE = 0.01  # of the learning rate
_LARGEST_GRADIENT = 10.0
_LEAST_LURE_SCORE = 0.02
_MOST_LURES = 5
"""Of a part."""


@dataclass(frozen=True)
class Trained:
    """What training hands over: the averaged network of the best check, in eval mode, and how it came about."""

    network: Network
    progress: Progress


class Trainer:
    """One training run: `run()` goes on from the checkpoint, if there is one."""

    def __init__(self, plan: Plan, train: Sequence[Part], val: Sequence[Part], report: Report) -> None:
        self.plan = plan
        self.val = val
        self.report = report
        self.supply = Supply(plan, train)
        self.progress = Progress()
        self.device = torch.device(_device(plan.device))
        torch.set_num_threads(plan.threads)
        torch.manual_seed(plan.seed)
        self.network = NETWORKS[plan.network](plan).to(self.device, memory_format=torch.channels_last)
        self.average = copy.deepcopy(self.network).eval().requires_grad_(False)
        self.best = copy.deepcopy(self.average.state_dict())
        self.optimizer = torch.optim.AdamW(
            _parameter_groups(self.network, plan.weight_decay), lr=plan.learning_rate, betas=(0.9, 0.99)
        )
        self._steps = [self.supply.steps(epoch) for epoch in range(plan.epochs)]
        self._pixels = [self.supply.pixels(epoch) for epoch in range(plan.epochs)]

    @property
    def parameters(self) -> int:
        """How many numbers are learnt."""
        return sum(p.numel() for p in self.network.parameters())

    def run(self) -> Trained:
        """Train to the planned epoch, or until patience ends."""
        self._resume()
        self.report.start(len(self.supply.parts), len(self.val), self.parameters, self.progress.epoch)
        for epoch in range(self.progress.epoch, self.plan.epochs):
            if self.progress.is_over(self.plan.patience_checks):
                self.report.note(f"no better network in {self.plan.patience_checks} checks: ended after epoch {epoch}")
                break
            started_s = time.monotonic()
            loss = self._train_epoch(epoch)
            self.progress.epoch = epoch + 1
            self.progress.minutes += (time.monotonic() - started_s) / 60
            self._check(epoch, loss)
            self._save()
        self.average.load_state_dict(self.best)
        return Trained(self.average.eval(), self.progress)

    def _train_epoch(self, epoch: int) -> float:
        self.network.train()
        losses = []
        began_s, steps, before = time.monotonic(), self._steps[epoch], sum(self._steps[:epoch])
        for number, parts in enumerate(made_ahead(self.supply.batches(epoch))):
            step = before + number
            self._set_learning_rate(step)
            images, truth = self._as_tensors(parts)
            with torch.autocast(self.device.type, dtype=torch.bfloat16):
                loss = self.network.loss(images, truth)
            self.optimizer.zero_grad(set_to_none=True)
            loss.backward()
            torch.nn.utils.clip_grad_norm_(self.network.parameters(), _LARGEST_GRADIENT)
            self.optimizer.step()
            self._update_average(step)
            losses.append(float(loss.detach()))
            if not math.isfinite(losses[-1]):
                raise FloatingPointError(f"epoch {epoch + 1}, batch {number + 1}: the loss is {losses[-1]}")
            done = (number + 1) / steps
            self.report.step(epoch + done, losses[-1], self._minutes_left(epoch, done, time.monotonic() - began_s))
        return sum(losses) / len(losses)

    def _minutes_left(self, epoch: int, share_of_epoch: float, took_s: float) -> float:
        """Estimate from this epoch's own speed: px left, at what a px takes now."""
        left = self._pixels[epoch] * (1 - share_of_epoch) + sum(self._pixels[epoch + 1 :])
        return took_s / 60 * left / (self._pixels[epoch] * share_of_epoch)

    def _set_learning_rate(self, step: int) -> None:
        warm_up, last = self.plan.warm_up_steps, sum(self._steps)
        if step < warm_up:
            factor = (step + 1) / warm_up
        else:
            done = (step - warm_up) / max(1, last - warm_up)
            factor = _LAST_RATE + (1 - _LAST_RATE) * 0.5 * (1 + math.cos(math.pi * done))
        for group in self.optimizer.param_groups:
            group["lr"] = self.plan.learning_rate * factor

    def _update_average(self, step: int) -> None:
        decay = min(self.plan.average_decay, (1 + step) / (10 + step))
        current = self.network.state_dict()
        with torch.no_grad():
            for name, value in self.average.state_dict().items():
                if value.dtype.is_floating_point:
                    value.lerp_(current[name], 1 - decay)
                else:
                    value.copy_(current[name])

    def _check(self, epoch: int, loss: float) -> None:
        """Measure the averaged network where it is due, keep it if it is the best so far."""
        done, plan = self.progress, self.plan
        map50 = None
        if done.epoch % plan.check_every_epochs == 0 or done.epoch == plan.epochs:
            found = detect(self.average, self.val, plan, self.device)
            map50 = average_precision(self.val, found, plan.class_names).map50 or 0.0
            if done.note_check(map50 - _least_confusion(self.val, found)):
                self.best = copy.deepcopy(self.average.state_dict())
            if self.supply.looks_for_lures(epoch):
                self._find_lures(epoch)
        row = {
            "epoch": done.epoch,
            "minutes": round(done.minutes, 2),
            "loss": round(loss, 4),
            "val_map50": None if map50 is None else round(map50, 4),
            "learning_rate": self.optimizer.param_groups[0]["lr"],
        }
        done.curve.append(row)
        left = sum(self._pixels[epoch + 1 :]) * done.minutes / max(1, sum(self._pixels[: epoch + 1]))
        self.report.epoch(row, plan.epochs, left)

    def _find_lures(self, epoch: int) -> None:
        """See what the network takes for a defect on good parts: cuttings will show it that."""
        places = self.supply.good_parts(epoch)
        found = detect(self.average, [self.supply.parts[place] for place in places], self.plan, self.device)
        lures = {}
        for place, one in zip(places, found, strict=True):
            lures[place] = one.boxes_in_image[one.scores >= _LEAST_LURE_SCORE][:_MOST_LURES]
        self.supply.set_lures(lures)

    def _as_tensors(self, parts: Sequence[Part]) -> tuple[Tensor, Truth]:
        pixels = torch.from_numpy(np.stack([part.pixels[None] for part in parts])).to(self.device)
        images = (pixels.float() * (1.0 / 255.0)).contiguous(memory_format=torch.channels_last)
        truth = [
            (torch.from_numpy(part.boxes).float().to(self.device), torch.from_numpy(part.class_ids).to(self.device))
            for part in parts
        ]
        return images, truth

    @property
    def _checkpoint(self) -> Path:
        return self.plan.work_folder / "checkpoint.pt"

    def _save(self) -> None:
        """Replace the checkpoint by a rename: a kill at any moment leaves the old one or the new one."""
        partial = self._checkpoint.with_suffix(".partial")
        with partial.open("wb") as file:
            torch.save(self._state(), file)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(self._checkpoint)
        rows = (json.dumps(row) + "\n" for row in self.progress.curve)
        (self.plan.work_folder / "curve.jsonl").write_text("".join(rows), encoding="utf-8")

    def _state(self) -> dict[str, Any]:
        return {
            "plan": self.plan.as_dict(),
            "progress": vars(self.progress),
            "network": self.network.state_dict(),
            "average": self.average.state_dict(),
            "best": self.best,
            "optimizer": self.optimizer.state_dict(),
            "lures": self.supply.lures,
        }

    def _resume(self) -> None:
        if not self._checkpoint.exists():
            return
        saved = torch.load(self._checkpoint, weights_only=True, map_location=self.device)
        if Plan.from_dict(saved["plan"]).identity != self.plan.identity:
            self.report.note(f"{self._checkpoint} belongs to another plan: starting anew")
            return
        self.network.load_state_dict(saved["network"])
        self.average.load_state_dict(saved["average"])
        self.best = saved["best"]
        self.optimizer.load_state_dict(saved["optimizer"])
        self.progress = Progress(**saved["progress"])
        self.supply.set_lures(saved["lures"])
        self.report.note(f"going on after epoch {self.progress.epoch} from {self._checkpoint}")


def _least_confusion(parts: Sequence[Part], found: Sequence[Detections]) -> float:
    """Return the least sum of escape rate and false-reject rate that any score leads to.

    mAP alone would keep a network that finds more defects and takes more good parts for bad.
    """
    best = WhatIf.of(parts, found).choose()
    assert best is not None  # without limits there is always a best one
    return Limits().cost(best)[0]


def _device(wanted: str) -> str:
    if wanted == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    return wanted


def _parameter_groups(model: torch.nn.Module, weight_decay: float) -> list[dict[str, object]]:
    """Decay convolution weights only: normalisation and biases must stay free."""
    decayed = [p for p in model.parameters() if p.ndim > 1]
    free = [p for p in model.parameters() if p.ndim <= 1]
    return [{"params": decayed, "weight_decay": weight_decay}, {"params": free, "weight_decay": 0.0}]
