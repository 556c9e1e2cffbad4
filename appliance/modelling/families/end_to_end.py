"""Decode family `end_to_end`: (N, K, 6) finished detections: x1 y1 x2 y2 score class, corners in px of the model input.

YOLOv10 and YOLO26, trained to need no suppression, and Ultralytics' exports with `nms=True`, which suppress inside the
graph; rows without a detection are zero. Nothing is suppressed here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

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
from appliance.modelling.families.dense_claim import other_task_doubts
from appliance.modelling.families.evidence import is_probability, is_whole
from appliance.modelling.families.exporters import CENTRED, exporter, preprocessing_of
from appliance.modelling.families.family import Family, OutputShapes, options_of
from appliance.modelling.importer.facts import Claim

if TYPE_CHECKING:
    from appliance.modelling.bundle import ModelBundle
    from appliance.modelling.importer.facts import GraphFacts
    from appliance.modelling.placement import Placement

_COLUMNS = 6
_MOST_ROWS = 1000


class EndToEndOptions(ConfinedModel):
    """The `[decode]` table of this family."""

    boxes: BoxForm = "xyxy_px"


@dataclass(frozen=True)
class EndToEndDecoder:
    """Turn finished detections into detections in frame pixels."""

    boxes: BoxForm
    class_count: int
    height: int
    width: int

    @classmethod
    def for_bundle(cls, bundle: ModelBundle, output_shapes: OutputShapes) -> EndToEndDecoder:
        """Check a session's outputs against the bundle and make the decoder.

        Raises:
            ModelContractMismatch: It isn't one output (N, K, 6).
        """
        where = f"model {bundle.name}: family end_to_end"
        check_shapes(where, list(output_shapes.values()), [(None, None, _COLUMNS)])
        options = options_of(bundle, EndToEndOptions)
        return cls(options.boxes, len(bundle.class_names), bundle.input.height, bundle.input.width)

    def decode(
        self,
        outputs: Sequence[NDArray[np.float32]],
        placements: Sequence[Placement],
        *,
        score: float,
        nms_iou: float,
        max_detections: int = 100,
    ) -> list[Detections]:
        """Decode one session run; arguments, result and errors as `Decoder.decode`, nothing is suppressed."""
        del nms_iou
        check_arrays("end_to_end", outputs, [(len(placements), None, _COLUMNS)])
        return [
            self._decode_frame(rows, place, score, max_detections)
            for rows, place in zip(outputs[0], placements, strict=True)
        ]

    def _decode_frame(
        self, rows: NDArray[np.float32], place: Placement, score: float, max_detections: int
    ) -> Detections:
        class_ids = whole_numbers(rows[:, 5])
        rows = rows[(class_ids >= 0) & (class_ids < self.class_count) & (rows[:, 4] > 0)]
        return best_in_frame(
            to_corners(rows[:, :4], self.boxes, self.width, self.height),
            rows[:, 4],
            whole_numbers(rows[:, 5]),
            place,
            score=score,
            max_detections=max_detections,
        )


def _recognise(facts: GraphFacts) -> Claim | None:
    """At most a thousand rows of corners, score and whole-numbered class."""
    if exporter(facts) == "libreyolo" and facts.options.family is None:
        return None  # its files with built-in suppression also hold the raw list, and that is what the library reads
    if facts.metadata.get("head") == "RTDETRDecoder":
        return None
    for output, array in zip(facts.outputs, facts.trial, strict=True):
        if array.ndim == 3 and array.shape[1] <= _MOST_ROWS and array.shape[2] >= _COLUMNS:
            rows = np.asarray(array[0], np.float32)
            if _is_detections(rows, facts):
                return _claim(output.name, rows, facts)
    return None


def _is_detections(rows: NDArray[np.float32], facts: GraphFacts) -> bool:
    """Scores best first, whole class numbers, corners in px; networks that learnt little may turn a few boxes round."""
    scores, known = rows[:, 4], rows[rows[:, 4] > 0]
    if not is_probability(scores) or not is_whole(rows[:, 5]):
        return False
    if facts.metadata.get("end2end") == "True" or not len(known):
        return True
    is_ranked = bool((np.diff(scores) <= 0).all())
    in_px = float(np.abs(known[:, :4]).max()) > 2.0
    upright = (known[:, 2:4] >= known[:, :2]).all(axis=1)
    return is_ranked and in_px and float(upright.mean()) > 0.8


def _claim(name: str, rows: NDArray[np.float32], facts: GraphFacts) -> Claim:
    more = rows.shape[1] - _COLUMNS
    doubts = list(other_task_doubts(facts))
    if more and not doubts:
        doubts.append(
            f"{more} columns beyond box, score and class (mask, keypoint or angle values?); export a detection model"
        )
    return Claim(
        "end_to_end",
        seen=f"output {name} {rows.shape[0]} x {rows.shape[1]}: corners, score, class, {(rows[:, 4] > 0).sum()} in use",
        decode={"boxes": "xyxy_px"},
        class_count=facts.class_count,
        preprocessing=preprocessing_of(facts, CENTRED),
        outputs=(name,),
        doubts=tuple(doubts),
    )


FAMILY = Family("end_to_end", "detect", EndToEndOptions, EndToEndDecoder.for_bundle, _recognise)
