"""Inputs beside the picture: values that never change on a line, made constants of the graph."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from appliance.errors import ImportRefused
from appliance.modelling.importer.facts import ImportOptions, TensorFacts
from appliance.modelling.importer.image_input import ImageInput
from appliance.modelling.importer.protos import names_in, real_inputs, tensor_facts

_WIDTH_FIRST = ("orig_target_sizes", "orig_size", "orig_sizes", "target_sizes", "size", "sizes", "orig_image_size")
"""RT-DETR, D-FINE and DEIM: width and height of the picture that boxes are to be scaled to."""
_HEIGHT_FIRST = ("im_shape", "image_shape")
"""PaddleDetection; Keras YOLOv3."""
_ONES = ("scale_factor", "pixel_mask")
"""PaddleDetection's scale of the picture; DETR of Hugging Face: every pixel counts."""


def extra_values(model: Any, image: ImageInput, options: ImportOptions) -> dict[str, tuple[float, ...]]:
    """Choose the value of every input beside the picture; boxes then come out in px of the model input.

    Raises:
        ImportRefused: An input is unknown and no value was passed, or a value was passed for no input.
    """
    extras = {
        facts.name: facts for facts in map(tensor_facts, real_inputs(model.graph)) if facts.name != image.facts.name
    }
    if strange := sorted(set(options.constants) - set(extras)):
        raise ImportRefused(f"--constant {strange[0]}: the file has no such input beside the picture")
    return {name: _value(facts, image, options.constants) for name, facts in extras.items()}


def _value(facts: TensorFacts, image: ImageInput, said: Mapping[str, tuple[float, ...]]) -> tuple[float, ...]:
    name = facts.name.lower()
    if facts.name in said:
        return said[facts.name]
    if name in _WIDTH_FIRST:
        return float(image.width), float(image.height)
    if name in _HEIGHT_FIRST:
        return float(image.height), float(image.width)
    if name in _ONES:
        return (1.0,)
    raise ImportRefused(
        f"input '{facts.name}' {facts.dtype} {facts.shape} beside the picture is unknown; "
        f"pass its fixed value with --constant {facts.name}=NUMBER,…, or export the network without it"
    )


def extra_feeds(model: Any, image: ImageInput, values: Mapping[str, tuple[float, ...]]) -> dict[str, NDArray[Any]]:
    """Give the values as the unchanged file wants them fed with one picture, or with its fixed batch."""
    facts = {one.name: one for one in map(tensor_facts, real_inputs(model.graph))}
    return {name: _filled(facts[name], image, numbers) for name, numbers in values.items()}


def fold_extra_inputs(model: Any, image: ImageInput, values: Mapping[str, tuple[float, ...]]) -> None:
    """Replace these inputs by constants; a free first dimension follows the picture's batch.

    Raises:
        ImportRefused: The values don't fill the input's shape.
    """
    graph = model.graph
    folded = []
    for value in [one for one in real_inputs(graph) if one.name in values]:
        facts = tensor_facts(value)
        constant = _filled(facts, image, values[value.name])
        graph.input.remove(value)
        if facts.shape and facts.shape[0] is not None and not isinstance(facts.shape[0], int) and image.batch is None:
            folded += _repeated(graph, facts.name, constant, image.facts.name)
        else:
            graph.initializer.append(numpy_helper.from_array(constant, facts.name))
    nodes = [*folded, *graph.node]
    del graph.node[:]
    graph.node.extend(nodes)


def _filled(facts: TensorFacts, image: ImageInput, numbers: tuple[float, ...]) -> NDArray[Any]:
    """A free first dimension is one here; other free ones are the picture's height and width, then the numbers'."""
    sides = {2: (image.height, image.width)}.get(len(facts.shape) - 1, (len(numbers),))
    rest = [size if isinstance(size, int) else side for size, side in zip(facts.shape[1:], sides, strict=False)]
    first = facts.shape[:1] if facts.shape else ()
    shape = [size if isinstance(size, int) else (image.batch or 1) for size in first] + rest
    try:
        return np.ascontiguousarray(np.broadcast_to(np.array(numbers, facts.dtype), shape))
    except (ValueError, TypeError) as error:
        raise ImportRefused(
            f"input '{facts.name}' {facts.dtype} {facts.shape}: the values {numbers} don't fill it; "
            f"pass as many with --constant {facts.name}=NUMBER,…"
        ) from error


def _repeated(graph: Any, name: str, constant: NDArray[Any], image_name: str) -> list[Any]:
    """Repeat a constant of batch one for every picture of the batch."""
    own = _names(names_in(graph), name, ("one", "shape", "first", "count", "rest", "wanted"))
    graph.initializer.append(numpy_helper.from_array(constant, own["one"]))
    graph.initializer.append(numpy_helper.from_array(np.array([0], np.int64), own["first"]))
    graph.initializer.append(numpy_helper.from_array(np.array(constant.shape[1:], np.int64), own["rest"]))
    return [
        helper.make_node("Shape", [image_name], [own["shape"]], own["shape"]),
        helper.make_node("Gather", [own["shape"], own["first"]], [own["count"]], own["count"], axis=0),
        helper.make_node("Concat", [own["count"], own["rest"]], [own["wanted"]], own["wanted"], axis=0),
        helper.make_node("Expand", [own["one"], own["wanted"]], [name], f"{own['one']}_expand"),
    ]


def _names(taken: set[str], name: str, parts: tuple[str, ...]) -> dict[str, str]:
    prefix = f"appliance_{name}"
    while any(one.startswith(prefix) for one in taken):
        prefix += "_"
    return {part: f"{prefix}_{part}" for part in parts}
