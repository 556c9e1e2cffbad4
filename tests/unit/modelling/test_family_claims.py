"""What the families beside YOLO say of outputs that look like theirs, and of outputs that only nearly do."""

import numpy as np
import pytest

from appliance.modelling.families import FAMILIES
from appliance.modelling.importer.facts import GraphFacts, ImportOptions, StemStep, TensorFacts

RNG = np.random.default_rng(7)
RT_DETR = {"GridSample": 6, "TopK": 1, "Softmax": 7, "Erf": 1, "Conv": 60}
IMAGENET_INSIDE = (StemStep("Sub", (0.485, 0.456, 0.406)), StemStep("Div", (0.229, 0.224, 0.225)))


def facts(outputs, operators=None, stem=(), metadata=None, class_names=None, **options):
    arrays = {name: np.asarray(array) for name, array in outputs.items()}
    image = TensorFacts("images", (1, 3, 64, 64), "float32")
    return GraphFacts(
        image=image,
        layout="NCHW",
        channels=3,
        input_height=64,
        input_width=64,
        inputs=(image,),
        outputs=tuple(TensorFacts(name, array.shape, str(array.dtype)) for name, array in arrays.items()),
        constants={},
        metadata=metadata or {},
        producer="pytorch",
        opset=17,
        operators=operators or {"Conv": 20},
        stem=stem,
        options=ImportOptions(**options),
        trial=tuple(arrays.values()),
        trial_255=tuple(arrays.values()),
        class_names=class_names,
    )


def claims(given):
    own = ("detr", "ssd", "grid_head", "boxes_labels_scores", "anomaly_map")
    return [claim for name in own if (claim := FAMILIES[name].recognise(given)) is not None]


def shares(*shape):
    """Centres and sizes in 0..1, as queries have them."""
    return RNG.uniform(0.05, 0.95, shape).astype(np.float32)


def corners(*shape):
    low = RNG.uniform(0, 0.5, (*shape, 2))
    return np.concatenate([low, low + RNG.uniform(0.01, 0.5, (*shape, 2))], axis=-1).astype(np.float32)


def softmax(*shape, towards):
    raw = RNG.normal(size=shape)
    raw[..., towards] += 4
    return (np.exp(raw) / np.exp(raw).sum(-1, keepdims=True)).astype(np.float32)


def test_logits_and_boxes_of_rt_detr_are_sure():
    logits = RNG.normal(-3, 1, (1, 300, 5)).astype(np.float32)
    (claim,) = claims(facts({"pred_logits": logits, "pred_boxes": shares(1, 300, 4)}, RT_DETR))
    assert (claim.family, claim.doubts, claim.class_count) == ("detr", (), 5)
    assert claim.decode["activation"] == "sigmoid"
    assert (claim.preprocessing.fit, claim.preprocessing.resize) == ("stretch", "antialiased")


def test_a_last_column_that_nearly_always_wins_is_no_object():
    logits = RNG.normal(size=(1, 100, 6)).astype(np.float32)
    logits[..., 5] += 4
    (claim,) = claims(facts({"logits": logits, "pred_boxes": shares(1, 100, 4)}, {"Softmax": 18}, mean=(0,), std=(1,)))
    assert claim.decode["activation"] == "softmax"
    assert claim.class_count == 5


def test_queries_behind_a_transformer_backbone_ask_for_their_normalisation():
    logits = RNG.normal(-3, 1, (1, 300, 5)).astype(np.float32)
    operators = {**RT_DETR, "Erf": 13}
    (claim,) = claims(facts({"pred_logits": logits, "pred_boxes": shares(1, 300, 4)}, operators))
    assert "--mean" in claim.doubts[0]
    (claim,) = claims(facts({"pred_logits": logits, "pred_boxes": shares(1, 300, 4)}, operators, IMAGENET_INSIDE))
    assert claim.doubts == ()


@pytest.mark.parametrize(
    ("family", "resize"), [("rtdetr", "linear"), ("dfine", "antialiased"), ("deim", "antialiased")]
)
def test_libreyolos_families_are_resized_as_it_resizes_them(family, resize):
    logits = RNG.normal(-3, 1, (1, 300, 5)).astype(np.float32)
    outputs = {"pred_logits": logits, "pred_boxes": shares(1, 300, 4)}
    (claim,) = claims(facts(outputs, RT_DETR, metadata={"model_family": family}))
    assert claim.preprocessing.resize == resize


def test_rows_in_pixels_are_left_to_other_families():
    ranked = np.concatenate([corners(1, 300) * 64, np.linspace(0.9, 0, 300)[None, :, None], np.zeros((1, 300, 1))], 2)
    assert claims(facts({"output0": ranked.astype(np.float32)}, RT_DETR)) == []


def test_ranked_normalised_rows_are_detr():
    ranked = np.concatenate([shares(1, 300, 4), np.linspace(0.9, 0, 300)[None, :, None], np.ones((1, 300, 1))], 2)
    (claim,) = claims(facts({"output0": ranked.astype(np.float32)}, RT_DETR))
    assert claim.decode == {"form": "ranked_rows", "boxes": "cxcywh_normalised"}


@pytest.mark.parametrize(("column", "background"), [(0, "first"), (4, "last")])
def test_the_column_that_wins_nearly_everywhere_is_the_background(column, background):
    outputs = {"boxes": corners(1, 900), "scores": softmax(1, 900, 5, towards=column)}
    (claim,) = claims(facts(outputs, mean=(127,), std=(128,)))
    assert (claim.family, claim.doubts, claim.decode["background"]) == ("ssd", (), background)
    assert claim.outputs == ("scores", "boxes")


def test_libreyolos_ssd_is_no_yolov8():
    rows = np.concatenate([corners(1, 900) * 300, softmax(1, 900, 4, towards=0)[..., 1:]], axis=2).transpose(0, 2, 1)
    (claim,) = claims(facts({"output": rows}, metadata={"model_family": "ssd"}))
    assert (claim.family, claim.class_count, claim.decode["joined"]) == ("ssd", 3, True)


def test_offsets_to_priors_are_refused():
    outputs = {"scores": softmax(1, 900, 3, towards=0), "boxes": RNG.normal(size=(1, 900, 4)).astype(np.float32)}
    (claim,) = claims(facts(outputs, mean=(127,), std=(128,)))
    assert "offsets to priors" in claim.doubts[0]


def test_a_label_file_that_names_the_background_fits():
    outputs = {"scores": softmax(1, 900, 2, towards=0), "boxes": corners(1, 900)}
    (claim,) = claims(facts(outputs, class_names=("BACKGROUND", "face"), mean=(127,), std=(128,)))
    assert claim.class_names == ("face",)


def test_pixel_range_of_an_unknown_ssd_is_asked_for():
    (claim,) = claims(facts({"scores": softmax(1, 900, 2, towards=0), "boxes": corners(1, 900)}))
    assert "--divisor" in claim.doubts[0]


def test_batched_lists_after_suppression_ask_for_the_first_label():
    labels, scores = RNG.integers(0, 3, (1, 50)), np.linspace(0.9, 0.1, 50, dtype=np.float32)[None]
    outputs = {"boxes": corners(1, 50) * 64, "labels": labels, "scores": scores}
    (claim,) = claims(facts(outputs, {"NonMaxSuppression": 1}))
    assert claim.family == "boxes_labels_scores"
    assert "first_label" in claim.doubts[0]
    (claim,) = claims(facts(outputs, {"NonMaxSuppression": 1}, decode={"first_label": 0}))
    assert claim.doubts == ()


def test_torchvision_may_find_nothing_in_the_trial():
    outputs = {"b": np.zeros((0, 4), np.float32), "s": np.zeros(0, np.float32), "l": np.zeros(0, np.int64)}
    (claim,) = claims(facts(outputs, {"NonMaxSuppression": 1}))
    assert claim.outputs == ("b", "l", "s")
    assert claim.rows == 300


def test_labels_beyond_the_names_are_not_dropped_in_silence():
    labels, scores = np.full((1, 50), 2), np.linspace(0.9, 0.1, 50, dtype=np.float32)[None]
    outputs = {"labels": labels, "boxes": corners(1, 50) * 64, "scores": scores}
    (claim,) = claims(facts(outputs, RT_DETR, class_names=("burr", "spur")))
    assert "gave class 2 (from 0), 2 are named" in claim.doubts[0]
    (claim,) = claims(facts(outputs, RT_DETR, class_names=("burr", "spur", "hole")))
    assert (claim.decode["form"], claim.doubts) == ("lists", ())


def test_a_map_that_is_no_probability_is_no_grid_head():
    assert claims(facts({"map": RNG.normal(size=(1, 9, 8, 8)).astype(np.float32)})) == []


def test_a_smaller_anomaly_map_may_be_coarser_or_a_crop():
    outputs = {"anomaly_map": RNG.random((1, 1, 32, 32), np.float32)}
    (claim,) = claims(facts(outputs, {"Clip": 1}, IMAGENET_INSIDE))
    assert "crop_px=[32,32]" in claim.doubts[0]
    (claim,) = claims(facts(outputs, {"Clip": 1}, (*IMAGENET_INSIDE, StemStep("Slice"))))
    assert (claim.doubts, claim.decode["crop_px"]) == ((), [32, 32])
    (claim,) = claims(facts(outputs, {"Clip": 1}, (StemStep("Resize"), *IMAGENET_INSIDE)))
    assert (claim.doubts, "crop_px" in claim.decode) == ((), False)


def test_an_anomaly_network_without_preprocessing_inside_asks_for_it():
    (claim,) = claims(facts({"output": RNG.random((1, 1, 64, 64), np.float32)}, {"Clip": 1}))
    assert "--mean" in claim.doubts[0]
