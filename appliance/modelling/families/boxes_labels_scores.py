"""Decode family `boxes_labels_scores`: the graph has done everything, suppression included.

    torchvision      boxes [K, 4] xyxy in px, labels [K] from 1 (0 is the background), scores [K]
    TensorFlow       detection_boxes [N, K, 4] yxyx normalised, detection_classes [N, K] from 1, detection_scores,
                     num_detections [N]
    others           boxes, labels from 0, scores [N, K], with NonMaxSuppression in the graph

Outputs in that order, all with a batch axis. Rows behind the detections have score 0 (or lie behind their number).
Sources: torchvision models/detection (`GeneralizedRCNNTransform`, `postprocess_detections`), TensorFlow Object
Detection API exporter.py.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from appliance.config import ConfinedModel
from appliance.modelling.detections import Detections
from appliance.modelling.families.boxes_labels_scores_claim import recognise
from appliance.modelling.families.candidates import (
    BoxForm,
    best_in_frame,
    check_arrays,
    check_shapes,
    to_corners,
    whole_numbers,
)
from appliance.modelling.families.family import Family, OutputShapes, options_of
from appliance.modelling.placement import Placement

if TYPE_CHECKING:
    from appliance.modelling.bundle import ModelBundle


class BoxesLabelsScoresOptions(ConfinedModel):
    """`[decode]` of the family `boxes_labels_scores`."""

    boxes: BoxForm
    first_label: int = Field(default=0, ge=0, description="label of the first class; 1 where 0 is the background")
    counted: bool = Field(default=False, description="a fourth output says how many rows are detections")


class BoxesLabelsScoresDecoder:
    """Turn raw outputs of the `boxes_labels_scores` family into detections in frame pixels."""

    def __init__(self, options: BoxesLabelsScoresOptions, class_count: int, width_px: int, height_px: int) -> None:
        self.options = options
        self.class_count = class_count
        self._size_px = (width_px, height_px)

    @classmethod
    def for_bundle(cls, bundle: ModelBundle, output_shapes: OutputShapes) -> BoxesLabelsScoresDecoder:
        """Check a session's outputs against the bundle and make the decoder.

        Raises:
            ModelContractMismatch: Number or rank of the outputs isn't that of this family.
        """
        options = options_of(bundle, BoxesLabelsScoresOptions)
        decoder = cls(options, len(bundle.class_names), bundle.input.width, bundle.input.height)
        where = f"model {bundle.name}: family boxes_labels_scores"
        check_shapes(where, list(output_shapes.values()), decoder._shapes(None))
        return decoder

    def decode(
        self,
        outputs: Sequence[NDArray[np.float32]],
        placements: Sequence[Placement],
        *,
        score: float,
        nms_iou: float,  # noqa: ARG002 (the protocol's; the graph has suppressed)
        max_detections: int = 100,
    ) -> list[Detections]:
        """Decode one session run; as `Decoder.decode`, but `nms_iou` is not used: the graph has suppressed already."""
        check_arrays("boxes_labels_scores", outputs, self._shapes(len(placements)))
        found = []
        for index, place in enumerate(placements):
            boxes, labels, scores = (output[index] for output in outputs[:3])
            class_ids = whole_numbers(labels) - self.options.first_label
            valid = (class_ids >= 0) & (class_ids < self.class_count)
            if self.options.counted:
                valid &= np.arange(len(scores)) < outputs[3][index]
            found.append(
                best_in_frame(
                    to_corners(boxes[valid], self.options.boxes, *self._size_px),
                    scores[valid],
                    class_ids[valid],
                    place,
                    score=score,
                    max_detections=max_detections,
                )
            )
        return found

    def _shapes(self, count: int | None) -> tuple[tuple[int | None, ...], ...]:
        lists: tuple[tuple[int | None, ...], ...] = (count, None, 4), (count, None), (count, None)
        return (*lists, (count,)) if self.options.counted else lists


FAMILY = Family(
    "boxes_labels_scores", "detect", BoxesLabelsScoresOptions, BoxesLabelsScoresDecoder.for_bundle, recognise
)
