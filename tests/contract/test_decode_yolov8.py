"""The decoder against a straight transcription of the format, and the shipped model against its golden parts."""

from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.errors import ModelContractMismatch
from appliance.modelling import FAMILIES, Placement, decoder_for, fit, load_bundle
from appliance.modelling.families.yolov8 import decoder_of
from appliance.modelling.session import ModelSession

MODEL = Path(__file__).parents[2] / "models" / "deeppcb-nano"
CLASSES = 3


def transcription(raw, place, score, nms_iou):
    """One candidate after the other, in plain Python."""
    candidates = []
    for column in raw.T.tolist():
        scores = column[4:]
        best = max(scores)
        if best >= score:
            cx, cy, w, h = column[:4]
            corners = [cx - w / 2, cy - h / 2, cx + w / 2, cy + h / 2]
            candidates.append((best, scores.index(best), corners))
    candidates.sort(key=lambda one: -one[0])
    kept = []
    for best, class_id, box in candidates:
        if all(class_id != other or iou(box, b) <= nms_iou for _, other, b in kept):
            kept.append((best, class_id, box))
    rows = [(best, class_id, in_frame(box, place)) for best, class_id, box in kept]
    return [row for row in rows if row[2][2] > row[2][0] and row[2][3] > row[2][1]]


def in_frame(corners, place):
    box = [
        (corners[0] - place.offset_x_px) / place.scale_x,
        (corners[1] - place.offset_y_px) / place.scale_y,
        (corners[2] - place.offset_x_px) / place.scale_x,
        (corners[3] - place.offset_y_px) / place.scale_y,
    ]
    limits = [place.image_width_px, place.image_height_px] * 2
    return [min(max(x, 0), limit) for x, limit in zip(box, limits, strict=True)]


def iou(a, b):
    both = max(0, min(a[2], b[2]) - max(a[0], b[0])) * max(0, min(a[3], b[3]) - max(a[1], b[1]))
    return both / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - both)


def random_raw(seed: int, candidates: int = 60) -> np.ndarray:
    rng = np.random.default_rng(seed)
    boxes = np.concatenate([rng.uniform(-10, 110, (2, candidates)), rng.uniform(5, 60, (2, candidates))])
    return np.concatenate([boxes, rng.random((CLASSES, candidates))]).astype(np.float32)


@given(seed=st.integers(0, 10_000), score=st.sampled_from([0.3, 0.6, 0.9]), nms_iou=st.sampled_from([0.31, 0.57]))
def test_decodes_like_the_transcription(seed, score, nms_iou):
    raw = np.stack([random_raw(seed), random_raw(seed + 1)])
    places = [Placement(100, 100), Placement(150, 90, 0.5, 0.55, 3.0, 7.0)]
    found = decoder_of(CLASSES).decode([raw], places, score=score, nms_iou=nms_iou)
    for frame, place, one in zip(raw, places, found, strict=True):
        expected = transcription(frame, place, score, nms_iou)
        np.testing.assert_allclose(one.scores, [row[0] for row in expected], rtol=1e-6)
        assert one.class_ids.tolist() == [row[1] for row in expected]
        boxes = np.array([row[2] for row in expected]).reshape(-1, 4)
        np.testing.assert_allclose(one.boxes_in_image, boxes, atol=1e-3)


def test_result_has_the_promised_types_even_when_nothing_is_found():
    for level in (0.0, 1.1):
        one = decoder_of(CLASSES).decode([random_raw(1)[None]], [Placement(100, 100)], score=level, nms_iou=0.5)[0]
        assert (one.boxes_in_image.dtype, one.scores.dtype, one.class_ids.dtype) == (np.float32, np.float32, np.int64)
        assert one.boxes_in_image.shape == (len(one), 4)


@pytest.mark.parametrize("row", range(4 + CLASSES))
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_not_a_number_never_becomes_a_detection(row, value):
    raw = random_raw(3)
    raw[row] = value
    if row >= 4 and value == -np.inf:
        raw[4:] = value
    assert len(decoder_of(CLASSES).decode([raw[None]], [Placement(99, 99)], score=0.0, nms_iou=0.9)[0]) == 0


def test_only_the_best_are_kept_up_to_the_limit():
    raw = random_raw(5, 400)
    place = Placement(200, 200, 1.0, 1.0, -50.0, -50.0)  # no box lies wholly beside the frame
    one = decoder_of(CLASSES).decode([raw[None]], [place], score=0.1, nms_iou=0.99, max_detections=7)[0]
    assert len(one) == 7
    assert one.scores[0] == raw[4:].max()
    assert (np.diff(one.scores) <= 0).all()


def test_result_does_not_hold_on_to_the_output_array():
    raw = random_raw(6)[None]
    one = decoder_of(CLASSES).decode([raw], [Placement(99, 99)], score=0.5, nms_iou=0.5)[0]
    before = one.boxes_in_image.copy(), one.scores.copy()
    raw[:] = 0.123
    np.testing.assert_array_equal(one.boxes_in_image, before[0])
    np.testing.assert_array_equal(one.scores, before[1])


@pytest.mark.parametrize(
    "outputs",
    [
        [],
        [np.zeros((1, 8, 5), np.float32)],
        [np.zeros((2, 7, 5), np.float32)],
        [np.zeros((7, 5), np.float32)],
        [np.zeros((1, 7, 5), np.float64)],
    ],
    ids=["none", "rows", "batch", "rank", "dtype"],
)
def test_output_that_is_not_the_family_s_is_refused(outputs):
    with pytest.raises(ModelContractMismatch, match="expected"):
        decoder_of(CLASSES).decode(outputs, [Placement(9, 9)], score=0.5, nms_iou=0.5)


def test_unknown_family_is_refused_with_the_known_ones():
    bundle = load_bundle(MODEL).model_copy(update={"family": "yolov99"})
    with pytest.raises(ModelContractMismatch, match=f"unknown decode family 'yolov99', known: {', '.join(FAMILIES)}"):
        decoder_for(bundle, {"detections": ("N", 10, 8000)})


@pytest.mark.parametrize(
    "shapes",
    [{"detections": ("N", 11, 8000)}, {"boxes": ("N", 10, 8000)}, {"detections": ("N", 10)}],
    ids=["rows", "name", "rank"],
)
def test_session_with_other_outputs_is_refused(shapes):
    with pytest.raises(ModelContractMismatch):
        decoder_for(load_bundle(MODEL), shapes)


def test_shipped_model_finds_in_its_golden_parts_what_it_found_when_it_was_made():
    bundle = load_bundle(MODEL)
    cases = bundle.golden_cases()
    assert {case.verdict for case in cases} == {"OK", "NG"}
    session = ModelSession(bundle, provider="CPUExecutionProvider", threads=1, max_batch=len(cases))
    decoder = decoder_for(bundle, session.output_shapes)
    fitted = [fit(grey(bundle.contents[case.file]), bundle.input) for case in cases]
    outputs = session.run(np.stack([pixels[None] for pixels, _ in fitted]))
    found = decoder.decode(
        outputs,
        [place for _, place in fitted],
        score=bundle.thresholds.score - 0.01,
        nms_iou=bundle.thresholds.nms_iou,
    )
    for case, one in zip(cases, found, strict=True):
        assert len(one.scores[one.scores >= bundle.thresholds.score + 0.01]) <= len(case.detections) <= len(one)
        for index, expected in enumerate(case.detections):
            assert bundle.class_names[one.class_ids[index]] == expected.class_name
            assert one.scores[index] == pytest.approx(expected.score, abs=0.01)
            np.testing.assert_allclose(one.boxes_in_image[index], expected.box_px, atol=0.5)


def grey(png: bytes) -> np.ndarray:
    pixels = cv2.imdecode(np.frombuffer(png, np.uint8), cv2.IMREAD_GRAYSCALE)
    assert pixels is not None
    return np.asarray(pixels, np.uint8)
