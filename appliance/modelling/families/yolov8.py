"""Decode family `yolov8`: one output `[N, 4 + C, A]`, boxes as cx cy w h in input px, scores after sigmoid.

The layout of YOLOv8 and YOLO11 exports without built-in NMS. No objectness row; a candidate's class is
its best score.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from appliance.errors import ModelContractMismatch
from appliance.modelling.detections import Detections, in_frame
from appliance.modelling.families.family import Family, NoOptions
from appliance.modelling.families.suppression import suppress
from appliance.modelling.placement import Placement

if TYPE_CHECKING:
    from appliance.modelling.bundle import ModelBundle
    from appliance.modelling.importer.facts import Claim, GraphFacts

MAX_CANDIDATES = 512  # before NMS: keeps the worst frame (noise everywhere) within a few milliseconds


class YoloV8Decoder:
    """Turn raw outputs of the `yolov8` family into detections in frame pixels."""

    def __init__(self, class_count: int) -> None:
        self.class_count = class_count

    @classmethod
    def for_bundle(cls, bundle: ModelBundle, output_shapes: Mapping[str, Sequence[int | str | None]]) -> YoloV8Decoder:
        """Check a session's outputs against the bundle and make the decoder.

        Raises:
            ModelContractMismatch: Number of outputs, rank or row count isn't that of this family.
        """
        rows = 4 + len(bundle.class_names)
        shapes = [tuple(shape) for shape in output_shapes.values()]
        if len(shapes) != 1 or len(shapes[0]) != 3 or shapes[0][1] != rows:
            raise ModelContractMismatch(
                f"model {bundle.name}: family yolov8 with {len(bundle.class_names)} classes expects one output "
                f"(N, {rows}, A), got {dict(output_shapes)}; correct family or classes in model.toml"
            )
        return cls(len(bundle.class_names))

    def decode(
        self,
        outputs: Sequence[NDArray[np.float32]],
        placements: Sequence[Placement],
        *,
        score: float,
        nms_iou: float,
        max_detections: int = 100,
    ) -> list[Detections]:
        """Decode one session run.

        Args:
            outputs: The session's outputs: one array (N, 4 + C, A) float32. Borrowed: not kept.
            placements: How each of the N frames lies in the model input.
            score: Candidates below it are dropped; NaN or infinite candidates always are.
            nms_iou: Of two boxes of one class that overlap more, the better one stays.
            max_detections: At most so many for each frame, the best ones.
        Returns:
            N items in the same order, owned by the caller.
        Raises:
            ModelContractMismatch: The array isn't (len(placements), 4 + C, A) float32.
        """
        (raw,) = self._checked(outputs, len(placements))
        return [
            self._decode_frame(frame, place, score, nms_iou, max_detections)
            for frame, place in zip(raw, placements, strict=True)
        ]

    def _checked(self, outputs: Sequence[NDArray[np.float32]], count: int) -> Sequence[NDArray[np.float32]]:
        rows = 4 + self.class_count
        if len(outputs) != 1 or outputs[0].ndim != 3 or outputs[0].shape[:2] != (count, rows):
            raise ModelContractMismatch(
                f"yolov8 output: expected one array ({count}, {rows}, A), got {[o.shape for o in outputs]}"
            )
        if outputs[0].dtype != np.float32:
            raise ModelContractMismatch(f"yolov8 output: expected float32, got {outputs[0].dtype}")
        return outputs

    @staticmethod
    def _decode_frame(
        raw: NDArray[np.float32], place: Placement, score: float, nms_iou: float, max_detections: int
    ) -> Detections:
        best = raw[4:].max(axis=0)
        kept = np.flatnonzero(best >= score)  # NaN compares false
        if not len(kept):
            return Detections.none()
        kept = kept[np.isfinite(raw[:, kept]).all(axis=0)]
        kept = kept[np.argsort(-best[kept], kind="stable")[:MAX_CANDIDATES]]
        candidates = raw[:, kept]
        boxes = _corners(candidates[:4])
        class_ids = candidates[4:].argmax(axis=0).astype(np.int64)
        chosen = suppress(boxes, class_ids, nms_iou)[:max_detections]
        return in_frame(boxes[chosen], best[kept[chosen]], class_ids[chosen], place)


def _recognise(_facts: GraphFacts) -> Claim | None:
    return None


def _corners(centre_and_size: NDArray[np.float32]) -> NDArray[np.float32]:
    """Turn (4, K) cx cy w h into (K, 4) xyxy."""
    centre, half = centre_and_size[:2], centre_and_size[2:] * np.float32(0.5)
    return np.concatenate([centre - half, centre + half]).T


FAMILY = Family("yolov8", "detect", NoOptions, YoloV8Decoder.for_bundle, _recognise)
