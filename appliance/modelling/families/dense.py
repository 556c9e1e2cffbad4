"""Dense heads: every cell of the picture gives candidates, each a row of box, objectness and class values.

What the YOLO families share: which candidates and classes pass the threshold, suppression, the way back to the frame.
Thresholds come first and everything else is done for the survivors only, so that a frame costs a few milliseconds.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from appliance.config import ConfinedModel
from appliance.modelling.detections import Detections, in_frame
from appliance.modelling.families.grid import sigmoid
from appliance.modelling.families.suppression import suppress
from appliance.modelling.placement import Placement

MAX_CANDIDATES = 4096
"""Of a frame, the best ones, before suppression. Only frames that are noise all over have more; libraries take up to
30,000 of them, with the same result as long as `max_detections` boxes are found among the best."""

_Found = tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.int64]]
"""Boxes (K, 4) in model-input px, scores (K,), class ids (K,)."""


class DenseOptions(ConfinedModel):
    """How candidates become detections; each library has its own habits."""

    objectness: bool = Field(default=False, description="the fifth value of a row; a score is objectness times class")
    logits: bool = Field(default=False, description="objectness and class values still need the sigmoid")
    multi_label: bool = Field(default=False, description="a candidate may be of several classes, not of the best only")
    clip_before_nms: bool = Field(default=False, description="overlaps are measured in the frame, after clipping")
    class_agnostic: bool = Field(default=False, description="boxes of different classes suppress each other, too")


@dataclass(frozen=True)
class DenseDecoder:
    """Turn rows of candidates into detections in frame pixels.

    Attributes:
        options: Habits of the exporting library.
        arrange: Brings a session's outputs for N frames to arrays (N, groups, cells, 4 + objectness + C), views where
            possible; raises ModelContractMismatch where they aren't the family's.
        to_boxes: Turns (K, 4) values of the candidates with these (K,) indices into corners in model-input px. A
            candidate's index counts through all groups and cells in order.
    """

    options: DenseOptions
    arrange: Callable[[Sequence[NDArray[np.float32]], int], Sequence[NDArray[np.float32]]]
    to_boxes: Callable[[NDArray[np.float32], NDArray[np.int64]], NDArray[np.float32]]

    def decode(
        self,
        outputs: Sequence[NDArray[np.float32]],
        placements: Sequence[Placement],
        *,
        score: float,
        nms_iou: float,
        max_detections: int = 100,
    ) -> list[Detections]:
        """Decode one session run; arguments, result and errors as `Decoder.decode`."""
        arranged = self.arrange(outputs, len(placements))
        found = []
        for frame, place in enumerate(placements):
            candidates = self._candidates([part[frame] for part in arranged], score)
            found.append(self._chosen(candidates, place, nms_iou, max_detections))
        return found

    def _candidates(self, parts: Sequence[NDArray[np.float32]], score: float) -> _Found:
        """All that reach the score, best first."""
        rows, indices = self._survivors(parts, score)
        boxes = self.to_boxes(rows[:, :4], indices)
        objectness = np.ones(len(rows), np.float32)
        if self.options.objectness:
            objectness = sigmoid(rows[:, 4]) if self.options.logits else rows[:, 4]
        which, class_ids, scores = self._labels(rows[:, self._first_class :], objectness, score)
        finite = np.isfinite(scores) & np.asarray(np.isfinite(boxes).all(axis=1))[which]
        which, class_ids, scores = which[finite], class_ids[finite], scores[finite]
        if len(scores) > MAX_CANDIDATES:
            best = np.sort(np.argpartition(-scores, MAX_CANDIDATES)[:MAX_CANDIDATES])
            which, class_ids, scores = which[best], class_ids[best], scores[best]
        order = np.argsort(-scores, kind="stable")
        return boxes[which[order]], scores[order], class_ids[order]

    @property
    def _first_class(self) -> int:
        return 5 if self.options.objectness else 4

    def _survivors(
        self, parts: Sequence[NDArray[np.float32]], score: float
    ) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        """Rows (K, 4 + …) that can still reach the score, all values finite, and their indices."""
        level = _logit(score) if self.options.logits else score
        kept = []
        for part in parts:
            gate = part[..., 4] if self.options.objectness else part[..., 4:].max(axis=-1)
            kept.append(np.flatnonzero(gate.ravel() >= level))  # NaN compares false
        if sum(map(len, kept)) > MAX_CANDIDATES:
            kept = self._best(parts, kept)
        sizes = [part.shape[0] * part.shape[1] for part in parts]
        first = np.cumsum([0, *sizes[:-1]])
        indices = np.concatenate([some + start for some, start in zip(kept, first, strict=True)])
        rows = np.concatenate([part[np.divmod(some, part.shape[1])] for part, some in zip(parts, kept, strict=True)])
        finite = np.isfinite(rows).all(axis=1)
        return (rows, indices) if finite.all() else (rows[finite], indices[finite])

    def _best(self, parts: Sequence[NDArray[np.float32]], kept: Sequence[NDArray[np.int64]]) -> list[NDArray[np.int64]]:
        """Of many candidates, those with the highest scores, in their order; nothing is copied for the others."""
        scores = []
        for part, some in zip(parts, kept, strict=True):
            best = part[..., self._first_class :].max(axis=-1).ravel()[some]
            best = sigmoid(best) if self.options.logits else best
            if self.options.objectness:
                objectness = part[..., 4].ravel()[some]
                best = best * (sigmoid(objectness) if self.options.logits else objectness)
            scores.append(best)
        chosen = np.zeros(sum(map(len, kept)), np.bool_)
        ranked = np.nan_to_num(np.concatenate(scores), nan=-1.0, posinf=-1.0)
        chosen[np.argpartition(-ranked, MAX_CANDIDATES)[:MAX_CANDIDATES]] = True
        borders = np.cumsum([len(some) for some in kept[:-1]])
        return [some[mask] for some, mask in zip(kept, np.split(chosen, borders), strict=True)]

    def _labels(
        self, values: NDArray[np.float32], objectness: NDArray[np.float32], score: float
    ) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float32]]:
        """Row number, class id and score of every label that reaches the score."""
        if self.options.multi_label:
            shares = sigmoid(values) if self.options.logits else values
            scores = shares * objectness[:, None]
            which, class_ids = np.nonzero(scores >= score)
            return which, class_ids, scores[which, class_ids]
        if not len(values):
            return np.zeros(0, np.int64), np.zeros(0, np.int64), objectness
        class_ids = values.argmax(axis=1)
        best = np.take_along_axis(values, class_ids[:, None], axis=1)[:, 0]
        scores = (sigmoid(best) if self.options.logits else best) * objectness
        which = np.flatnonzero(scores >= score)
        return which, class_ids[which], scores[which]

    def _chosen(
        self,
        found: _Found,
        place: Placement,
        nms_iou: float,
        max_detections: int,
    ) -> Detections:
        boxes, scores, class_ids = found
        rivals = None if self.options.class_agnostic else class_ids
        if self.options.clip_before_nms:
            boxes = place.to_image(boxes)
            kept = suppress(boxes, rivals, nms_iou, max_detections)
            return Detections(boxes[kept], scores[kept], class_ids[kept])
        kept = suppress(boxes, rivals, nms_iou, max_detections)
        return in_frame(boxes[kept], scores[kept], class_ids[kept], place)


def _logit(score: float) -> float:
    """Value before the sigmoid, a little lower: rounding must not lose a candidate, the score itself decides later."""
    share = min(max(score, 1e-12), 1 - 1e-7)
    return float(np.log(share / (1 - share))) - 1e-3
