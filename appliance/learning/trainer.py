"""The training loop: plain PyTorch on the CPU, bfloat16 where it is exact enough, resumable.

Every epoch draws its own random numbers from (seed, epoch), so a resumed run sees what an uninterrupted
one would have seen.
"""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from appliance.learning.augment import cut, vary
from appliance.learning.datasets.deeppcb import CLASS_NAMES, SIZE_PX
from appliance.learning.evaluation.detecting import LOWEST_SCORE
from appliance.learning.evaluation.precision import average_precision
from appliance.learning.loss import detection_loss
from appliance.learning.network import STRIDES_PX, Detector, ExportedDetector, anchor_grid
from appliance.learning.part import Part
from appliance.modelling import Detections, Placement
from appliance.modelling.families.yolov8 import decoder_of

NMS_IOU = 0.5

Report = Callable[[str], None]
Run = Callable[[NDArray[np.uint8]], NDArray[np.float32]]
"""Images (N, 1, H, W) uint8 to raw outputs (N, 4 + C, A) float32."""
Batch = tuple[Tensor, list[tuple[Tensor, Tensor]]]
"""Images (N, 1, H, W) in 0..1, and for each image its boxes (G, 4) xyxy px and classes (G,)."""


@dataclass(frozen=True)
class Plan:
    """Everything that decides what a training run does.

    The first epochs look at cuttings around defects (many defects a second), the last ones at whole frames
    (what the appliance will see, nearly all of it background).
    """

    cutting_epochs: int = 40
    frame_epochs: int = 8
    cutting_px: int = 192
    cuttings_per_part: int = 4
    cuttings_in_batch: int = 64
    frames_in_batch: int = 8
    seed: int = 7
    threads: int = 2
    learning_rate: float = 3e-3
    weight_decay: float = 0.05
    warm_up_steps: int = 100
    average_decay: float = 0.998
    check_every_epochs: int = 4

    @property
    def epochs(self) -> int:
        """Epochs of both kinds."""
        return self.cutting_epochs + self.frame_epochs


@dataclass
class Progress:
    """What a run has done so far; saved with each checkpoint."""

    epoch: int = 0
    minutes: float = 0.0
    curve: list[dict[str, float]] = field(default_factory=list)


class Trainer:
    """One training run: `run()` goes on from the checkpoint, if there is one."""

    def __init__(self, plan: Plan, train: Sequence[Part], val: Sequence[Part], work: Path, report: Report) -> None:
        self.plan = plan
        self.train = train
        self.val = val
        self.checkpoint = work / "checkpoint.pt"
        self.report = report
        self.progress = Progress()
        torch.set_num_threads(plan.threads)
        torch.manual_seed(plan.seed)
        self.model = Detector(len(CLASS_NAMES)).to(memory_format=torch.channels_last)
        self.average = copy.deepcopy(self.model).eval().requires_grad_(False)
        self.optimizer = torch.optim.AdamW(
            _parameter_groups(self.model, plan.weight_decay), lr=plan.learning_rate, betas=(0.9, 0.99)
        )
        self.steps_of_cuttings = len(train) * plan.cuttings_per_part // plan.cuttings_in_batch
        self.steps_of_frames = len(train) // plan.frames_in_batch

    def run(self) -> Detector:
        """Train to the planned epoch and return the averaged model in eval mode."""
        self._resume()
        parameters = sum(p.numel() for p in self.model.parameters())
        self.report(f"{len(self.train)} parts to train on, {len(self.val)} to check on, {parameters:,} parameters")
        for epoch in range(self.progress.epoch, self.plan.epochs):
            started_s = time.monotonic()
            loss = self._train_epoch(epoch)
            self.progress.epoch = epoch + 1
            self.progress.minutes += (time.monotonic() - started_s) / 60
            self._report_epoch(loss)
            self._save()
        averaged: Detector = self.average.eval()
        return averaged

    def _train_epoch(self, epoch: int) -> float:
        self.model.train()
        losses = []
        for step, (images, truth) in enumerate(self._batches(epoch), start=self._steps_before(epoch)):
            self._set_learning_rate(step)
            with torch.autocast("cpu", dtype=torch.bfloat16):
                logits, boxes = self.model(images)
            side = images.shape[2]
            centres, _ = anchor_grid([(side // stride, side // stride) for stride in STRIDES_PX])
            loss = detection_loss(logits, boxes, centres, truth)
            self.optimizer.zero_grad(set_to_none=True)
            loss.backward()
            torch.nn.utils.clip_grad_norm_(self.model.parameters(), 10.0)
            self.optimizer.step()
            self._update_average(step)
            losses.append(float(loss.detach()))
        return sum(losses) / len(losses)

    def _batches(self, epoch: int) -> Iterator[Batch]:
        rng = np.random.default_rng([self.plan.seed, epoch])
        if epoch < self.plan.cutting_epochs:
            order = rng.permutation(np.tile(np.arange(len(self.train)), self.plan.cuttings_per_part))
            size, steps = self.plan.cuttings_in_batch, self.steps_of_cuttings
        else:
            order = rng.permutation(len(self.train))
            size, steps = self.plan.frames_in_batch, self.steps_of_frames
        for step in range(steps):
            parts = [self.train[index] for index in order[step * size : (step + 1) * size]]
            if epoch < self.plan.cutting_epochs:
                parts = [cut(part, self.plan.cutting_px, rng) for part in parts]
            yield _as_tensors([vary(part, rng) for part in parts])

    def _steps_before(self, epoch: int) -> int:
        cuttings = min(epoch, self.plan.cutting_epochs)
        return cuttings * self.steps_of_cuttings + (epoch - cuttings) * self.steps_of_frames

    def _pixels_before(self, epoch: int) -> int:
        cuttings = min(epoch, self.plan.cutting_epochs)
        of_cuttings = self.steps_of_cuttings * self.plan.cuttings_in_batch * self.plan.cutting_px**2
        of_frames = self.steps_of_frames * self.plan.frames_in_batch * SIZE_PX**2
        return cuttings * of_cuttings + (epoch - cuttings) * of_frames

    def _set_learning_rate(self, step: int) -> None:
        warm_up, last = self.plan.warm_up_steps, self._steps_before(self.plan.epochs)
        if step < warm_up:
            factor = (step + 1) / warm_up
        else:
            factor = 0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * (step - warm_up) / (last - warm_up)))
        for group in self.optimizer.param_groups:
            group["lr"] = self.plan.learning_rate * factor

    def _update_average(self, step: int) -> None:
        decay = min(self.plan.average_decay, (1 + step) / (10 + step))
        current = self.model.state_dict()
        with torch.no_grad():
            for name, value in self.average.state_dict().items():
                if value.dtype.is_floating_point:
                    value.lerp_(current[name], 1 - decay)
                else:
                    value.copy_(current[name])

    def _report_epoch(self, loss: float) -> None:
        done = self.progress
        row = {"epoch": float(done.epoch), "minutes": round(done.minutes, 2), "loss": round(loss, 4)}
        if done.epoch % self.plan.check_every_epochs == 0 or done.epoch == self.plan.epochs:
            row["val_map50"] = round(self._val_map50(), 4)
        done.curve.append(row)
        pixels = [self._pixels_before(epoch) for epoch in (done.epoch, self.plan.epochs)]
        left = done.minutes * (pixels[1] / pixels[0] - 1)
        checked = f"  val mAP@0.5 {row['val_map50']:.4f}" if "val_map50" in row else ""
        self.report(
            f"epoch {done.epoch}/{self.plan.epochs}  loss {loss:.4f}{checked}  "
            f"{done.minutes:.1f} min done, about {left:.1f} min left"
        )

    def _val_map50(self) -> float:
        found = detect(torch_run(self.average), self.val, self.plan.frames_in_batch)
        return average_precision(self.val, found, CLASS_NAMES).map50 or 0.0

    def _save(self) -> None:
        partial = self.checkpoint.with_suffix(".partial")
        torch.save(
            {
                "plan": vars(self.plan),
                "progress": vars(self.progress),
                "model": self.model.state_dict(),
                "average": self.average.state_dict(),
                "optimizer": self.optimizer.state_dict(),
            },
            partial,
        )
        partial.replace(self.checkpoint)

    def _resume(self) -> None:
        if not self.checkpoint.exists():
            return
        saved = torch.load(self.checkpoint, weights_only=True)
        if saved["plan"] != vars(self.plan):
            self.report(f"{self.checkpoint} belongs to another plan: starting anew")
            return
        self.model.load_state_dict(saved["model"])
        self.average.load_state_dict(saved["average"])
        self.optimizer.load_state_dict(saved["optimizer"])
        self.progress = Progress(**saved["progress"])
        self.report(f"going on after epoch {self.progress.epoch} from {self.checkpoint}")


def _as_tensors(parts: Sequence[Part]) -> Batch:
    pixels = torch.from_numpy(np.stack([part.pixels[None] for part in parts]))
    images = (pixels.float() * (1.0 / 255.0)).contiguous(memory_format=torch.channels_last)
    truth = [(torch.from_numpy(part.boxes).float(), torch.from_numpy(part.class_ids)) for part in parts]
    return images, truth


def _parameter_groups(model: torch.nn.Module, weight_decay: float) -> list[dict[str, object]]:
    """Decay convolution weights only: normalisation and biases must stay free."""
    decayed = [p for p in model.parameters() if p.ndim > 1]
    free = [p for p in model.parameters() if p.ndim <= 1]
    return [{"params": decayed, "weight_decay": weight_decay}, {"params": free, "weight_decay": 0.0}]


def torch_run(model: Detector) -> Run:
    """Wrap a model so that it runs like an ONNX session: uint8 images in, raw outputs out."""
    wrapped = ExportedDetector(model).eval()

    def run(images: NDArray[np.uint8]) -> NDArray[np.float32]:
        with torch.inference_mode():
            output: NDArray[np.float32] = wrapped(torch.from_numpy(images)).numpy()
        return output

    return run


def detect(run: Run, parts: Sequence[Part], batch: int) -> list[Detections]:
    """Run a network that is no bundle yet over parts; one item for each."""
    decoder = decoder_of(len(CLASS_NAMES))
    found: list[Detections] = []
    for start in range(0, len(parts), batch):
        images = np.stack([part.pixels[None] for part in parts[start : start + batch]])
        places = [Placement(SIZE_PX, SIZE_PX)] * len(images)
        found += decoder.decode([run(images)], places, score=LOWEST_SCORE, nms_iou=NMS_IOU)
    return found
