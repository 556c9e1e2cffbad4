"""A foreign network made ready to run: one input of a known size, constants beside it, nothing else changed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import onnx

from appliance.errors import ImportRefused
from appliance.modelling.importer.extra_inputs import extra_values, fold_extra_inputs
from appliance.modelling.importer.facts import ImportOptions, StemStep, TensorFacts
from appliance.modelling.importer.image_input import ImageInput, find_image_input
from appliance.modelling.importer.protos import (
    constants_of,
    numbers_of,
    opset_of,
    real_inputs,
    set_shape,
    tensor_facts,
)

_OLDEST_OPSET = 7
_OLDEST_IR = 4
"""From this version on a weight needn't be listed as an input."""
_LAYERS = {"Conv", "ConvTranspose", "ConvInteger", "QLinearConv", "MatMul", "MatMulInteger", "Gemm", "Concat"}
_MAX_STEM = 32
_MAX_NUMBERS = 16


@dataclass(frozen=True)
class Prepared:
    """What `prepare` makes of a file.

    Attributes:
        model: ModelProto whose only input is the picture, of fixed height and width; the batch is as in the file.
        inputs, outputs: As the file declares them.
        constants: Inputs beside the picture and the values they have now.
    """

    model: Any
    image: ImageInput
    inputs: tuple[TensorFacts, ...]
    outputs: tuple[TensorFacts, ...]
    constants: Mapping[str, tuple[float, ...]]


def prepare(model: Any, options: ImportOptions) -> Prepared:
    """Change a parsed network in place, for good.

    Raises:
        ImportRefused: Its inputs or its opset can't be used.
    """
    if opset_of(model) < _OLDEST_OPSET:
        raise ImportRefused(
            f"opset {opset_of(model)}: expected {_OLDEST_OPSET} or newer; export it anew with opset 13 to 17"
        )
    image = find_image_input(model, options)
    facts = tuple(map(tensor_facts, real_inputs(model.graph)))
    values = extra_values(model, image, options)
    without_weights(model)
    fold_extra_inputs(model, image, values)
    set_shape(model.graph.input[0], image.shape(image.batch or image.facts.shape[0] or "N"))
    del model.graph.value_info[:]  # sizes that may no longer be true
    return Prepared(model, image, facts, tuple(map(tensor_facts, model.graph.output)), values)


def without_weights(model: Any) -> None:
    """Take the weights from the inputs, where IR 3 wants them listed: what nobody can feed is a constant."""
    inputs = real_inputs(model.graph)
    del model.graph.input[:]
    model.graph.input.extend(inputs)
    model.ir_version = max(model.ir_version, _OLDEST_IR)


def stem_of(graph: Any, image_name: str) -> tuple[StemStep, ...]:
    """Follow the picture to the first layer with weights."""
    constants, name = constants_of(graph), image_name
    steps: list[StemStep] = []
    while len(steps) < _MAX_STEM:
        users = [node for node in graph.node if name in node.input and node.op_type != "Shape"]
        if not users or users[0].op_type in _LAYERS:
            break
        node = users[0]
        operands = [numbers_of(constants[one]) for one in node.input if one in constants and _is_small(constants[one])]
        constant = tuple(float(number) for number in operands[0].ravel()) if operands else None
        steps.append(StemStep(node.op_type, constant))
        if len(users) > 1:
            break
        name = node.output[0]
    return tuple(steps)


def _is_small(tensor: Any) -> bool:
    count = 1
    for size in tensor.dims:
        count *= size
    return 0 < count <= _MAX_NUMBERS and tensor.data_type not in (onnx.TensorProto.STRING, onnx.TensorProto.UNDEFINED)
