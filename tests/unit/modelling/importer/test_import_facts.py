from collections.abc import Callable
from dataclasses import asdict
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from appliance.errors import ImportRefused, ModelError
from appliance.modelling.importer.examination import examine_job, facts_of
from appliance.modelling.importer.facts import GraphFacts, ImportOptions, StemStep
from appliance.testing.foreign_network import foreign_network


def examined(content: bytes, **options: Any) -> GraphFacts:
    said = ImportOptions(**options)
    told, blobs = examine_job({"options": asdict(said), "where": "a file"}, [memoryview(content)], lambda _: None)
    return facts_of(told, blobs, said)


def edited(content: bytes, change: Callable[[onnx.ModelProto], None]) -> bytes:
    model = onnx.load_model_from_string(content)
    change(model)
    return model.SerializeToString()


def test_file_tells_its_input_outputs_names_and_maker() -> None:
    facts = examined(foreign_network())
    assert (facts.layout, facts.channels, facts.input_width, facts.input_height) == ("NCHW", 3, 64, 96)
    assert facts.image.shape == ("N", 3, 96, 64)
    assert [(one.name, one.dtype) for one in facts.outputs] == [("output0", "float32")]
    assert (facts.class_names, facts.class_count) == (("red", "blue"), 2)
    assert (facts.producer, facts.opset, facts.operators["Conv"]) == ("exporter", 17, 3)


def test_trial_shows_the_outputs_for_values_to_1_and_to_255() -> None:
    facts = examined(foreign_network())
    assert facts.trial[0].shape == facts.trial_255[0].shape == (1, 6, 126)
    assert 0 < facts.trial[0][:, 4:].max() <= 1
    assert facts.trial_255[0][:, 4:] == pytest.approx(facts.trial[0][:, 4:] * 255, rel=1e-3)


def test_trial_of_a_fixed_batch_repeats_the_picture() -> None:
    facts = examined(foreign_network(batch=4))
    assert facts.trial[0].shape == (4, 6, 126)
    assert np.array_equal(facts.trial[0][0], facts.trial[0][3])


@pytest.mark.parametrize(("layout", "shape"), [("NCHW", (1, 3, 96, 64)), ("NHWC", (1, 96, 64, 3))])
def test_channels_are_found_first_or_last(layout: Any, shape: tuple[int, ...]) -> None:
    facts = examined(foreign_network(layout=layout, batch=1))
    assert (facts.layout, facts.image.shape) == (layout, shape)


def test_weights_listed_as_inputs_are_no_inputs() -> None:
    assert [one.name for one in examined(foreign_network(lists_weights=True)).inputs] == ["images"]


def test_preprocessing_inside_the_graph_is_seen() -> None:
    facts = examined(foreign_network(dtype="uint8"))
    assert facts.stem[:2] == (StemStep("Cast"), StemStep("Div", (255.0,)))


def test_sizes_input_is_fixed_to_the_size_of_the_model_input() -> None:
    facts = examined(foreign_network(sizes_input=True))
    assert facts.constants == {"orig_target_sizes": (64.0, 96.0)}
    assert [one.name for one in facts.inputs] == ["images", "orig_target_sizes"]
    assert facts.trial[0][0, :2].max() > 60  # boxes in px of the input


def test_value_of_an_extra_input_can_be_said() -> None:
    half = examined(foreign_network(sizes_input=True), constants={"orig_target_sizes": (32.0, 48.0)})
    assert half.constants == {"orig_target_sizes": (32.0, 48.0)}
    whole = examined(foreign_network(sizes_input=True))
    assert half.trial[0][:, :4] * 2 == pytest.approx(whole.trial[0][:, :4])


def test_unknown_extra_input_is_refused_with_the_option_to_pass() -> None:
    def rename(model: onnx.ModelProto) -> None:
        model.graph.input[1].name = "mystery"
        model.graph.node[[node.input[0] for node in model.graph.node].index("orig_target_sizes")].input[0] = "mystery"

    with pytest.raises(ImportRefused, match=r"input 'mystery' int64 .*--constant mystery=NUMBER"):
        examined(edited(foreign_network(sizes_input=True), rename))


def test_free_size_is_taken_from_the_options_or_the_metadata() -> None:
    named = {"names": "['red', 'blue']", "imgsz": "[96, 64]"}  # height first, as Ultralytics writes it
    assert examined(foreign_network(free_size=True, metadata=named)).input_height == 96
    asked = examined(foreign_network(free_size=True), size=(64, 96))
    assert (asked.input_width, asked.input_height, asked.trial[0].shape) == (64, 96, (1, 6, 126))


def test_free_size_that_nobody_knows_is_refused() -> None:
    with pytest.raises(ImportRefused, match=r"'images' float32 \(N, 3, height, width\) has no fixed size.*--size"):
        examined(foreign_network(free_size=True))


def test_size_that_contradicts_the_file_is_refused() -> None:
    with pytest.raises(ImportRefused, match=r"--size 32x32: the file's input is fixed to 64x96 px"):
        examined(foreign_network(), size=(32, 32))


@pytest.mark.parametrize(
    "names",
    [
        "{0: 'red', 1: 'blue'}",
        '{"0": "red", "1": "blue"}',
        "['red', 'blue']",
        '["red", "blue"]',
        "{1: 'blue', 0: 'red'}",
    ],
)
def test_class_names_are_read_as_python_and_json_write_them(names: str) -> None:
    assert examined(foreign_network(metadata={"names": names})).class_names == ("red", "blue")


@pytest.mark.parametrize("names", ["red, blue", "{0: 'red', 2: 'blue'}", "[1, 2]", "{0: open('x')}", "[" * 3000, ""])
def test_names_that_are_no_names_are_nobody_s_names(names: str) -> None:
    assert examined(foreign_network(metadata={"names": names})).class_names is None


def test_classes_that_are_passed_win() -> None:
    assert examined(foreign_network(), classes=("a", "b")).class_names == ("a", "b")


@pytest.mark.parametrize("content", [b"", b"not a model", foreign_network()[:2000]])
def test_bytes_that_are_no_model_are_refused(content: bytes) -> None:
    with pytest.raises(ModelError, match="is no ONNX file"):
        examined(content)


def test_external_data_and_foreign_operators_are_refused() -> None:
    def outside(model: onnx.ModelProto) -> None:
        model.graph.initializer[0].data_location = TensorProto.EXTERNAL

    def foreign(model: onnx.ModelProto) -> None:
        model.graph.node[0].domain = "com.example"

    for change in (outside, foreign):
        with pytest.raises(ModelError, match=r"lies in another file|custom operator"):
            examined(edited(foreign_network(), change))


def test_text_for_a_picture_two_pictures_or_none_are_refused() -> None:
    def with_inputs(*inputs: onnx.ValueInfoProto) -> Callable[[onnx.ModelProto], None]:
        def change(model: onnx.ModelProto) -> None:
            del model.graph.input[:]
            model.graph.input.extend(inputs)

        return change

    picture = helper.make_tensor_value_info("images", TensorProto.FLOAT, ["N", 3, 96, 64])
    other = helper.make_tensor_value_info("other", TensorProto.FLOAT, ["N", 3, 96, 64])
    four = helper.make_tensor_value_info("images", TensorProto.FLOAT, ["N", 4, 96, 64])
    whole = helper.make_tensor_value_info("images", TensorProto.INT32, ["N", 3, 96, 64])
    row = helper.make_tensor_value_info("images", TensorProto.FLOAT, ["N", 3])
    cases = {
        "expected one input for the picture": with_inputs(picture, other),
        r"expected one input for the picture.*'images' float32 \(N, 3\)": with_inputs(row),
        "expected 1 or 3 channels": with_inputs(four),
        "can't be fed: expected one of float32": with_inputs(whole),
    }
    for words, change in cases.items():
        with pytest.raises(ImportRefused, match=words):
            examined(edited(foreign_network(), change))


def test_network_that_fails_on_its_own_input_is_refused() -> None:
    def break_it(model: onnx.ModelProto) -> None:
        model.graph.input[0].type.tensor_type.shape.dim[2].dim_value = 8

    with pytest.raises(ImportRefused, match=r"ONNX Runtime .*refuses the network|fails on a picture of its own"):
        examined(edited(foreign_network(), break_it))


def test_size_of_a_score_map_is_the_size_inside() -> None:
    def map_out(model: onnx.ModelProto) -> None:
        del model.graph.node[:], model.graph.output[:]
        sizes = onnx.numpy_helper.from_array(np.array([1, 1, 48, 32], np.int64), "sizes")
        model.graph.initializer.append(sizes)
        model.graph.node.append(helper.make_node("ReduceMean", ["images"], ["grey"], axes=[1], keepdims=1))
        model.graph.node.append(helper.make_node("Resize", ["grey", "", "", "sizes"], ["map"]))
        model.graph.output.append(helper.make_tensor_value_info("map", TensorProto.FLOAT, [1, 1, 48, 32]))

    facts = examined(edited(foreign_network(free_size=True, batch=1), map_out))
    assert (facts.input_width, facts.input_height) == (32, 48)
