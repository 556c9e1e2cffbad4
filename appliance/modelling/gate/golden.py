"""Golden images: what a model finds here must be what it found where it was made."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from appliance.errors import ModelError
from appliance.modelling.bundle import GoldenCase, GoldenDetection, ModelBundle
from appliance.modelling.detections import Detections
from appliance.modelling.detector import Detector

LEAST_IOU = 0.99
SCORE_TOLERANCE = 1e-3
_ROUNDING = 5e-5  # golden/expected.json has four digits behind the point
_REGION_EDGE_PX = 2.0


def check_golden(detector: Detector) -> str:
    """Run the bundle's golden images; gives in words what was compared.

    A detection whose score lies within the tolerance of the threshold may be on either side of it here: it need not
    be promised, and a promised one is looked for a little below the threshold. Beyond that the two sets must be equal.

    Raises:
        ModelError: A promised detection is missing, another one is there, or an image can't be read.
    """
    cases = detector.bundle.golden_cases()
    if not cases:
        return "the bundle has no golden images: nothing compared"
    for case in cases:
        _check_case(detector, case)
    count = sum(len(case.detections) for case in cases)
    return f"{len(cases)} images, {count} detections found again (IoU {LEAST_IOU}, score {SCORE_TOLERANCE})"


def _check_case(detector: Detector, case: GoldenCase) -> None:
    bundle = detector.bundle
    image, pixel_format = _read(bundle, case.file)
    threshold = bundle.thresholds.score
    (found,) = detector.detect([image], pixel_format=pixel_format, score=max(threshold - SCORE_TOLERANCE, 0.0))
    where = f"model {bundle.name}: golden image {case.file}"
    unmatched = set(range(len(found)))
    for golden in sorted(case.detections, key=lambda one: -one.score):
        match = next((index for index in sorted(unmatched) if _is_same(bundle, golden, found, index)), None)
        if match is None:
            raise ModelError(
                f"{where}: expected {golden.class_name} {golden.score:.4f} at {_box(golden.box_px)}, "
                f"{_nearest(bundle, golden, found)}; this ONNX Runtime, provider or processor computes "
                f"otherwise than where the model was made: import or quantise it here"
            )
        unmatched.discard(match)
    for index in unmatched:
        if found.scores[index] >= threshold + SCORE_TOLERANCE:
            raise ModelError(
                f"{where}: found {bundle.class_names[found.class_ids[index]]} {found.scores[index]:.4f} at "
                f"{_box(found.boxes_in_image[index])}, which golden/expected.json doesn't have"
            )
    if case.image_score is not None and not _is_close(case.image_score, found.image_score):
        raise ModelError(f"{where}: expected image score {case.image_score:.4f}, got {found.image_score}")


def _is_close(expected: float, found: float | None) -> bool:
    return found is not None and abs(expected - found) <= SCORE_TOLERANCE + _ROUNDING


def _is_same(bundle: ModelBundle, golden: GoldenDetection, found: Detections, index: int) -> bool:
    if bundle.class_names[found.class_ids[index]] != golden.class_name:
        return False
    if not _is_close(golden.score, float(found.scores[index])):
        return False
    box = found.boxes_in_image[index]
    if _iou(golden.box_px, box) >= LEAST_IOU:
        return True
    # A region of a score map ends on whole pixels of the map: one that lies on the threshold may fall either way.
    return bundle.task == "anomaly" and float(np.abs(box - np.array(golden.box_px)).max()) <= _REGION_EDGE_PX


def _nearest(bundle: ModelBundle, golden: GoldenDetection, found: Detections) -> str:
    if not len(found):
        return "found nothing"
    overlaps = [_iou(golden.box_px, box) for box in found.boxes_in_image]
    index = int(np.argmax(overlaps))
    name = bundle.class_names[found.class_ids[index]]
    return f"nearest found is {name} {found.scores[index]:.4f} with IoU {overlaps[index]:.3f}"


def _iou(one: tuple[float, float, float, float], other: NDArray[np.float32]) -> float:
    a, b = np.array(one, np.float64), other.astype(np.float64)
    overlap = float(np.clip(np.minimum(a[2:], b[2:]) - np.maximum(a[:2], b[:2]), 0, None).prod())
    union = float((a[2:] - a[:2]).prod() + (b[2:] - b[:2]).prod()) - overlap
    return overlap / union if union > 0 else 0.0


def _box(box: tuple[float, float, float, float] | NDArray[np.float32]) -> str:
    return f"({', '.join(f'{value:.1f}' for value in box)})"


def _read(bundle: ModelBundle, name: str) -> tuple[NDArray[np.uint8], str]:
    image = cv2.imdecode(np.frombuffer(bundle.contents[name], np.uint8), cv2.IMREAD_UNCHANGED)
    if image is None or image.dtype != np.uint8 or image.ndim not in {2, 3} or image.shape[2:] not in {(), (3,)}:
        raise ModelError(f"model {bundle.name}: golden image {name} is no 8-bit grey or colour PNG")
    return np.asarray(image, np.uint8), "Mono8" if image.ndim == 2 else "BGR8"
