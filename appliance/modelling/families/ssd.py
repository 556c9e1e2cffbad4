"""Decode family `ssd`: for each prior a score of every class and a decoded box; the way of SSD and its kin.

    scores  [N, A, C], softmax over classes and a background column, or one sigmoid for each class
    boxes   [N, A, 4], already decoded from the priors
    or both joined, [N, 4 + C, A]: libreyolo

Each class is suppressed for itself, and one prior may name several classes.
Sources: Linzaer/Ultra-Light-Fast-Generic-Face-Detector-1MB run_video_face_detect_onnx.py (`predict`, `hard_nms`),
torchvision models/detection/ssd.py (`postprocess_detections`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from appliance.config import ConfinedModel
from appliance.modelling.detections import Detections
from appliance.modelling.families.candidates import BoxForm, best_in_frame, check_arrays, check_shapes, to_corners
from appliance.modelling.families.family import Family, OutputShapes, options_of
from appliance.modelling.families.grid import sigmoid
from appliance.modelling.families.ssd_claim import recognise
from appliance.modelling.placement import Placement

if TYPE_CHECKING:
    from appliance.modelling.bundle import ModelBundle

_Array = NDArray[np.float32]


class SsdOptions(ConfinedModel):
    """`[decode]` of the family `ssd`."""

    boxes: BoxForm
    activation: Literal["none", "softmax", "sigmoid"] = Field(
        default="none", description="what makes scores of outputs"
    )
    background: Literal["first", "last", "none"] = Field(description="score column that means no object")
    joined: bool = Field(default=False, description="one output [N, 4 + C, A] in place of the two")


class SsdDecoder:
    """Turn raw outputs of the `ssd` family into detections in frame pixels."""

    def __init__(self, options: SsdOptions, class_count: int, width_px: int, height_px: int) -> None:
        self.options = options
        self.class_count = class_count
        self._size_px = (width_px, height_px)

    @classmethod
    def for_bundle(cls, bundle: ModelBundle, output_shapes: OutputShapes) -> SsdDecoder:
        """Check a session's outputs against the bundle and make the decoder.

        Raises:
            ModelContractMismatch: Number of outputs, rank or columns aren't those of this family.
        """
        decoder = cls(options_of(bundle, SsdOptions), len(bundle.class_names), bundle.input.width, bundle.input.height)
        check_shapes(
            f"model {bundle.name}: family ssd with {decoder.class_count} classes",
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
        nms_iou: float,
        max_detections: int = 100,
    ) -> list[Detections]:
        """Decode one session run; as `Decoder.decode`."""
        check_arrays("ssd", outputs, self._shapes(len(placements)))
        found = []
        for raw, boxes, place in zip(*self._scores_and_boxes(outputs), placements, strict=True):
            scores = self._class_scores(raw)
            priors, class_ids = np.nonzero(scores >= score)
            found.append(
                best_in_frame(
                    to_corners(boxes[priors], self.options.boxes, *self._size_px),
                    scores[priors, class_ids],
                    class_ids.astype(np.int64),
                    place,
                    score=score,
                    nms_iou=nms_iou,
                    max_detections=max_detections,
                )
            )
        return found

    def _shapes(self, count: int | None) -> tuple[tuple[int | None, ...], ...]:
        columns = self.class_count + (self.options.background != "none")
        return ((count, 4 + columns, None),) if self.options.joined else ((count, None, columns), (count, None, 4))

    def _scores_and_boxes(self, outputs: Sequence[NDArray[np.float32]]) -> tuple[_Array, _Array]:
        if not self.options.joined:
            return outputs[0], outputs[1]
        rows = outputs[0].transpose(0, 2, 1)
        return rows[..., 4:], rows[..., :4]

    def _class_scores(self, raw: NDArray[np.float32]) -> NDArray[np.float32]:
        """Scores (A, C) of the named classes alone."""
        with np.errstate(over="ignore", invalid="ignore"):
            if self.options.activation == "sigmoid":
                raw = sigmoid(raw)
            elif self.options.activation == "softmax":
                raised = np.exp(raw - raw.max(axis=1, keepdims=True))
                raw = np.asarray(raised / raised.sum(axis=1, keepdims=True), np.float32)
        return {"first": raw[:, 1:], "last": raw[:, :-1], "none": raw}[self.options.background]


FAMILY = Family("ssd", "detect", SsdOptions, SsdDecoder.for_bundle, recognise)
