"""What the YOLO families make of outputs, metadata and activations; the arrays are written as such heads write them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest

from appliance.modelling import FAMILIES
from appliance.modelling.families.grid import cell_table, grid_sizes
from appliance.modelling.importer.facts import Claim, GraphFacts, ImportOptions, StemStep, TensorFacts

HEIGHT, WIDTH, STRIDES = 96, 160, (8, 16, 32)
YOLO = ("yolov8", "yolov5", "yolov3", "yolox", "end_to_end")
ULTRALYTICS = {"author": "Ultralytics", "task": "detect"}
SILU, LEAKY = {"Sigmoid": 30, "Mul": 30}, {"LeakyRelu": 11}


def rng() -> np.random.Generator:
    return np.random.default_rng(4)


def boxes(per_cell: int = 1, form: str = "cxcywh", strides: Sequence[int] = STRIDES) -> np.ndarray:
    """Finished boxes of an untrained head: near their cells, of any size."""
    sizes = grid_sizes(HEIGHT, WIDTH, strides)
    cells = cell_table(sizes, strides, [[(1.0, 1.0)] * per_cell] * len(strides))
    centre = (cells[:, :2] + rng().uniform(0, 1, (len(cells), 2))) * cells[:, 2:3]
    size = rng().uniform(5, 60, centre.shape)
    if form == "xyxy":
        return np.concatenate([centre - size / 2, centre + size / 2], axis=1)
    return np.concatenate([centre, size], axis=1)


def shares(count: int, columns: int) -> np.ndarray:
    return rng().uniform(0, 1, (count, columns))


def listed(*parts: np.ndarray) -> np.ndarray:
    return np.concatenate(parts, axis=1).astype(np.float32)[None]


def raw(columns: int, per_cell: int = 1) -> np.ndarray:
    count = per_cell * sum(rows * columns_ for rows, columns_ in grid_sizes(HEIGHT, WIDTH, STRIDES))
    return rng().normal(0, 2, (1, count, columns)).astype(np.float32)


def raw_maps(channels: int, strides: Sequence[int] = STRIDES) -> list[np.ndarray]:
    sizes = grid_sizes(HEIGHT, WIDTH, strides)
    return [rng().normal(0, 2, (1, channels, *size)).astype(np.float32) for size in sizes]


def detections(columns: int = 6) -> np.ndarray:
    rows = np.zeros((1, 50, columns), np.float32)
    rows[0, :7, :4] = boxes(form="xyxy")[:7]
    rows[0, :7, 4] = np.linspace(0.9, 0.1, 7)
    rows[0, :7, 5] = [0, 2, 1, 0, 0, 1, 2]
    return rows


def facts_of(
    outputs: Sequence[np.ndarray],
    classes: int | None = 3,
    metadata: Mapping[str, str] | None = None,
    operators: Mapping[str, int] | None = None,
    **more: Any,
) -> GraphFacts:
    image = TensorFacts("images", (1, 3, HEIGHT, WIDTH), "float32")
    known: dict[str, Any] = {
        "image": image,
        "layout": "NCHW",
        "channels": 3,
        "input_height": HEIGHT,
        "input_width": WIDTH,
        "inputs": (image,),
        "outputs": tuple(TensorFacts(f"o{i}", one.shape, "float32") for i, one in enumerate(outputs)),
        "constants": {},
        "metadata": metadata or {},
        "producer": "pytorch",
        "opset": 17,
        "operators": operators or {},
        "stem": (),
        "options": ImportOptions(),
        "trial": tuple(outputs),
        "trial_255": tuple(outputs),
        "class_names": None if classes is None else tuple(f"c{i}" for i in range(classes)),
    }
    return GraphFacts(**{**known, **more})


def claims(facts: GraphFacts) -> dict[str, Claim]:
    asked = YOLO if facts.options.family is None else (facts.options.family,)
    found = {name: FAMILIES[name].recognise(facts) for name in asked}
    return {name: claim for name, claim in found.items() if claim is not None}


@dataclass(frozen=True)
class Case:
    """A file, and the one family that must be sure of it."""

    name: str
    outputs: Sequence[np.ndarray]
    family: str
    decode: Mapping[str, Any]
    facts: Mapping[str, Any] = field(default_factory=dict)
    fit: str = "letterbox"
    nms_iou: float = 0.45
    pixel_format: str = "RGB8"


def libreyolo(model_family: str, **more: str) -> dict[str, Any]:
    return {"metadata": {"libreyolo_version": "1.6.0", "model_family": model_family, **more}}


COUNT, COUNT_3 = len(boxes()), len(boxes(3))
LAST = {"form": "boxes", "layout": "anchors_last"}
FIRST = {"form": "boxes", "layout": "anchors_first"}
V8 = np.swapaxes(listed(boxes(), shares(COUNT, 3)), 1, 2)
V8_CORNERS = np.swapaxes(listed(boxes(form="xyxy"), shares(COUNT, 3)), 1, 2)
V5 = listed(boxes(3), shares(COUNT_3, 4))
X_RAW = raw(8)
X_RAW[..., 4:] = shares(COUNT, 4)
SURE = (
    Case("v8", [V8], "yolov8", {**LAST, "boxes": "cxcywh_px", "objectness": False, "logits": False}, nms_iou=0.7),
    Case("v8 with nameless classes", [V8], "yolov8", LAST, {"classes": None}, nms_iou=0.7),
    Case("v9 of its own exporter", [V8], "yolov8", LAST, {"metadata": {"stride": "32"}}, fit="letterbox_unrounded"),
    Case("v8 of one class", [V8[:, :5]], "yolov8", LAST, {"classes": 1}, nms_iou=0.7),
    Case("v8 transposed", [np.swapaxes(V8, 1, 2)], "yolov8", FIRST, nms_iou=0.7),
    Case("v8 in half precision", [V8.astype(np.float16)], "yolov8", LAST, nms_iou=0.7),
    Case(
        "v8 before the sigmoid",
        [np.where(np.arange(7)[:, None] < 4, V8, V8 * 8 - 4)],
        "yolov8",
        {"logits": True},
        nms_iou=0.7,
    ),
    Case(
        "v8 from TensorFlow",
        [V8 / np.where(np.arange(7)[:, None] < 4, 128, 1).astype(np.float32)],
        "yolov8",
        {"boxes": "cxcywh_normalised"},
        nms_iou=0.7,
    ),
    Case(
        "v9 of libreyolo",
        [V8_CORNERS],
        "yolov8",
        {"boxes": "xyxy_px", "multi_label": True, "clip_before_nms": True},
        libreyolo("yolo9"),
        "letterbox_top_left",
    ),
    Case(
        "v9 of libreyolo in the middle",
        [V8_CORNERS],
        "yolov8",
        LAST,
        libreyolo("yolo9", letterbox_pad="center"),
        "letterbox_floor",
    ),
    Case(
        "v9 end to end of libreyolo",
        [V8_CORNERS],
        "yolov8",
        {"multi_label": True},
        libreyolo("yolo9_e2e"),
        "letterbox_top_left",
        1.0,
    ),
    Case("v5", [V5], "yolov5", {**FIRST, "objectness": True}, fit="letterbox_unrounded"),
    Case(
        "v5 with its raw heads behind it",
        [V5, *(one.reshape(1, 3, 8, *one.shape[2:]).transpose(0, 1, 3, 4, 2) for one in raw_maps(24))],
        "yolov5",
        FIRST,
        fit="letterbox_unrounded",
    ),
    Case("v6", [listed(boxes(), np.ones((COUNT, 1)), shares(COUNT, 3))], "yolov5", FIRST, fit="letterbox_unrounded"),
    Case(
        "v3 of libreyolo, coarsest scale first",
        [np.swapaxes(listed(boxes(3, "xyxy", (32, 16, 8)), shares(COUNT_3, 3)), 1, 2)],
        "yolov3",
        {"boxes": "xyxy_px", "multi_label": False, "clip_before_nms": True},
        libreyolo("yolo3"),
        "letterbox_top_left",
    ),
    Case(
        "yolox raw",
        [X_RAW],
        "yolox",
        {"form": "raw_list", "strides": [8, 16, 32], "logits": False},
        {},
        "letterbox_top_left",
        pixel_format="BGR8",
    ),
    Case(
        "yolox raw with nameless classes",
        [X_RAW],
        "yolox",
        {"form": "raw_list"},
        {"classes": None},
        "letterbox_top_left",
        pixel_format="BGR8",
    ),
    Case(
        "yolox finished",
        [listed(boxes(), shares(COUNT, 4))],
        "yolox",
        FIRST,
        {},
        "letterbox_top_left",
        pixel_format="BGR8",
    ),
    Case("end to end", [detections()], "end_to_end", {"boxes": "xyxy_px"}),
    Case("built-in suppression that found nothing", [detections() * 0], "end_to_end", {"boxes": "xyxy_px"}),
)


@pytest.mark.parametrize("case", SURE, ids=lambda case: case.name)
def test_one_family_is_sure(case: Case) -> None:
    found = claims(facts_of(case.outputs, **case.facts))
    sure = [name for name, claim in found.items() if not claim.doubts]
    assert sure == [case.family], found
    claim = found[case.family]
    assert {key: claim.decode.get(key) for key in case.decode} == dict(case.decode)
    assert (claim.preprocessing.fit, claim.preprocessing.pixel_format) == (case.fit, case.pixel_format)
    assert claim.nms_iou == case.nms_iou
    FAMILIES[case.family].options.model_validate(dict(claim.decode))


@pytest.mark.parametrize(
    ("outputs", "more", "words"),
    [
        ([V8], {"metadata": {**ULTRALYTICS, "task": "obb"}}, "task 'obb'"),
        ([np.concatenate([V8, V8 * 3 - 90], axis=1)], {}, "columns beyond the class scores"),
        ([V8], {"classes": 9}, "9 class names are known: pass all of them with --classes"),
        ([V8_CORNERS], {}, "pass --fit"),
        ([detections(38)], {}, "32 columns beyond box, score and class"),
        (raw_maps(67), {}, "still distributions"),
        (raw_maps(24), {"operators": SILU}, "pass --decode anchors="),
        (raw_maps(24), {"operators": {"Relu": 20}}, "pass --family yolov3 or yolov5"),
        (raw_maps(24), {"operators": LEAKY}, "letterbox_floor or stretch"),
    ],
    ids=["obb", "masks", "classes", "corners", "rows with masks", "dfl", "v5 anchors", "v3 or v5", "darknet"],
)
def test_a_doubt_says_what_was_seen_or_what_to_pass(outputs: Any, more: dict[str, Any], words: str) -> None:
    found = claims(facts_of(outputs, **more))
    assert found
    assert all(claim.doubts for claim in found.values())
    assert words in " ".join(doubt for claim in found.values() for doubt in claim.doubts)


def test_raw_heads_are_sure_with_their_anchors_and_by_name_with_the_published_ones() -> None:
    anchors = [[[9, 9]] * 3] * 3
    said = ImportOptions(decode={"anchors": anchors}, fit="stretch")
    assert not claims(facts_of(raw_maps(24), operators=SILU, options=said))["yolov5"].doubts
    assert not claims(facts_of(raw_maps(24), operators=LEAKY, options=said))["yolov3"].doubts
    by_name = claims(facts_of(raw_maps(24), options=ImportOptions(family="yolov5")))["yolov5"]
    assert not by_name.doubts
    assert by_name.decode["anchors"][0][0] == [10, 13]


def test_a_list_of_raw_numbers_with_three_anchors_is_read_as_one() -> None:
    said = ImportOptions(decode={"anchors": [[[9, 9]] * 3] * 3})
    claim = claims(facts_of([raw(8, 3)], operators=SILU, options=said))["yolov5"]
    assert (claim.decode["form"], claim.decode["logits"], claim.doubts) == ("raw_list", True, ())


@pytest.mark.parametrize("family", ["yolov3", "yolov5", "yolov8"])
def test_asked_for_by_name_any_finished_list_will_do(family: str) -> None:
    outputs = V8 if family == "yolov8" else V5
    claim = claims(facts_of([outputs], options=ImportOptions(family=family)))[family]
    assert not claim.doubts
    assert claim.decode["form"] == "boxes"


def test_other_networks_are_left_to_others() -> None:
    rtdetr = {**ULTRALYTICS, "head": "RTDETRDecoder"}
    assert not claims(facts_of([detections() / np.array([160, 96, 160, 96, 1, 1], np.float32)], metadata=rtdetr))
    assert not claims(facts_of([V8_CORNERS], **libreyolo("rtmdet")))
    assert not claims(facts_of([np.zeros((1, 1000), np.float32)]))


def test_one_channel_and_a_division_inside_change_the_preprocessing() -> None:
    grey = claims(facts_of([V8], channels=1))["yolov8"].preprocessing
    assert grey.pixel_format == "Mono8"
    divides = (StemStep("Cast"), StemStep("Div", (255.0,)))
    assert claims(facts_of([V8], stem=divides))["yolov8"].preprocessing.divisor == 1.0


@pytest.mark.parametrize(
    ("version", "fit"), [("8.3.200", "letterbox_gain"), ("8.4.190", "letterbox"), ("", "letterbox")]
)
def test_boxes_go_back_as_the_version_that_exported_does_it(version: str, fit: str) -> None:
    claim = claims(facts_of([V8], metadata={**ULTRALYTICS, "version": version}))["yolov8"]
    assert claim.preprocessing.fit == fit
