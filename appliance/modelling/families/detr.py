"""Decode family `detr`: a fixed number of queries, each with a box and a score for each class; no NMS.

RT-DETR, D-FINE, DEIM, RF-DETR and their kin, in the forms in which they are exported:

    lists         labels [N, K], boxes [N, K, 4], scores [N, K]: the official exports with their post-processing
    logits_boxes  one score for each class [N, Q, C] and boxes [N, Q, 4]: Hugging Face, libreyolo, official without it
    rows          [N, Q, 4 + C]: box, then a score for each class: Ultralytics until 8.3
    ranked_rows   [N, K, 6]: box, score, class: Ultralytics since

Sources: lyuwenyu/RT-DETR rtdetr_postprocessor.py, transformers image_processing_rt_detr.py, libreyolo
postprocess/rtdetr.py and dfine.py: every pair of query and class is a candidate, so one query may name two classes.
Ultralytics' old rows: each query names its best class alone.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from appliance.config import ConfinedModel
from appliance.modelling.detections import Detections
from appliance.modelling.families.candidates import (
    BoxForm,
    best_in_frame,
    check_arrays,
    check_shapes,
    to_corners,
    whole_numbers,
)
from appliance.modelling.families.detr_claim import recognise
from appliance.modelling.families.family import Family, OutputShapes, options_of
from appliance.modelling.families.grid import sigmoid
from appliance.modelling.placement import Placement

if TYPE_CHECKING:
    from appliance.modelling.bundle import ModelBundle

_Arrays = Sequence[NDArray[np.float32]]
_Shapes = tuple[tuple[int | None, ...], ...]
_Candidates = tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.int64]]


class DetrOptions(ConfinedModel):
    """`[decode]` of the family `detr`."""

    form: Literal["lists", "logits_boxes", "rows", "ranked_rows"]
    boxes: BoxForm
    activation: Literal["none", "sigmoid", "softmax"] = Field(
        default="none", description="what makes scores of the outputs; softmax: the last column means no object"
    )
    unnamed_columns: int = Field(default=0, ge=0, description="score columns behind the named classes")


class DetrDecoder:
    """Turn raw outputs of the `detr` family into detections in frame pixels."""

    def __init__(self, options: DetrOptions, class_count: int, width_px: int, height_px: int) -> None:
        self.options = options
        self.class_count = class_count
        self._size_px = (width_px, height_px)
        self._candidates: Callable[[_Arrays, int], _Candidates] = {
            "lists": self._of_lists,
            "logits_boxes": self._of_logits,
            "rows": self._of_rows,
            "ranked_rows": self._of_ranked_rows,
        }[options.form]

    @classmethod
    def for_bundle(cls, bundle: ModelBundle, output_shapes: OutputShapes) -> DetrDecoder:
        """Check a session's outputs against the bundle and make the decoder.

        Raises:
            ModelContractMismatch: Number of outputs, rank or columns aren't those of this form.
        """
        decoder = cls(options_of(bundle, DetrOptions), len(bundle.class_names), bundle.input.width, bundle.input.height)
        check_shapes(
            f"model {bundle.name}: family detr ({decoder.options.form}, {decoder.class_count} classes)",
            list(output_shapes.values()),
            decoder._shapes(None),
        )
        return decoder

    def decode(
        self,
        outputs: Sequence[NDArray[np.float32]],
        placements: Sequence[Placement],
        *,
        score: float,
        nms_iou: float,  # noqa: ARG002 (the protocol's; queries are unique by training)
        max_detections: int = 100,
    ) -> list[Detections]:
        """Decode one session run; as `Decoder.decode`, but `nms_iou` is not used: queries are unique by training."""
        check_arrays("detr", outputs, self._shapes(len(placements)))
        found = []
        for index, place in enumerate(placements):
            boxes, scores, class_ids = self._candidates(outputs, index)
            named = (class_ids >= 0) & (class_ids < self.class_count)
            found.append(
                best_in_frame(
                    to_corners(boxes[named], self.options.boxes, *self._size_px),
                    scores[named],
                    class_ids[named],
                    place,
                    score=score,
                    max_detections=max_detections,
                )
            )
        return found

    def _shapes(self, count: int | None) -> _Shapes:
        columns = self.class_count + self.options.unnamed_columns + (self.options.activation == "softmax")
        forms: dict[str, _Shapes] = {
            "lists": ((count, None), (count, None, 4), (count, None)),
            "logits_boxes": ((count, None, columns), (count, None, 4)),
            "rows": ((count, None, 4 + columns),),
            "ranked_rows": ((count, None, 6),),
        }
        return forms[self.options.form]

    def _of_lists(self, outputs: _Arrays, index: int) -> _Candidates:
        labels, boxes, scores = (output[index] for output in outputs)
        return boxes, scores, whole_numbers(labels)

    def _of_ranked_rows(self, outputs: _Arrays, index: int) -> _Candidates:
        rows = outputs[0][index]
        return rows[:, :4], rows[:, 4], whole_numbers(rows[:, 5])

    def _of_rows(self, outputs: _Arrays, index: int) -> _Candidates:
        rows = outputs[0][index]
        scores = self._activated(rows[:, 4:])
        return rows[:, :4], scores.max(axis=1), scores.argmax(axis=1).astype(np.int64)

    def _of_logits(self, outputs: _Arrays, index: int) -> _Candidates:
        logits, boxes = outputs[0][index], outputs[1][index]
        scores = self._activated(logits)
        if self.options.activation == "softmax":  # of exclusive classes only the best can be meant
            return boxes, scores.max(axis=1), scores.argmax(axis=1).astype(np.int64)
        ranked = np.argsort(-scores, axis=None, kind="stable")[: len(scores)]  # as many pairs as there are queries
        queries, columns = np.unravel_index(ranked, scores.shape)
        return boxes[queries], scores[queries, columns], columns.astype(np.int64)

    def _activated(self, raw: NDArray[np.float32]) -> NDArray[np.float32]:
        if self.options.activation == "none":
            return raw
        with np.errstate(over="ignore", invalid="ignore"):  # exp(-x) of a hopeless query; infinite ones are dropped
            if self.options.activation == "sigmoid":
                return sigmoid(raw)
            raised = np.exp(raw - raw.max(axis=1, keepdims=True))
            return np.asarray((raised / raised.sum(axis=1, keepdims=True))[:, :-1], np.float32)


FAMILY = Family("detr", "detect", DetrOptions, DetrDecoder.for_bundle, recognise)
