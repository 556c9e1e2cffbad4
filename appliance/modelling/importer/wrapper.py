"""The network as the appliance runs it: camera pixels in, uint8; float32 out; everything between is in the graph."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
from onnx import helper

from appliance.errors import ImportRefused
from appliance.modelling.importer.facts import Preprocessing
from appliance.modelling.importer.image_input import ImageInput
from appliance.modelling.importer.node_maker import NodeMaker
from appliance.modelling.importer.prepared import Prepared
from appliance.modelling.importer.protos import set_shape, subgraphs_of, tensor_facts

_TYPES = {"float16": onnx.TensorProto.FLOAT16, "float64": onnx.TensorProto.DOUBLE}


def wrap(
    prepared: Prepared, preprocessing: Preprocessing, batch: int, outputs: Sequence[str], rows: int | None
) -> tuple[str, tuple[str, ...]]:
    """Change the network in place: its only input becomes (N, 1, H, W) uint8 for Mono8, else (N, H, W, 3) uint8.

    Args:
        prepared: The network with one input.
        preprocessing: `pixel_format` decides the input's layout; a grey picture is repeated for each channel.
        batch: Fixed number of pictures; 0 where it is free.
        outputs: Names of those that stay, in this order; nodes that no longer count are removed.
        rows: Where the outputs have no batch axis and any number of rows: the number they are filled up to.
    Returns:
        Names of the new input and of the outputs.
    """
    graph, image = prepared.model.graph, prepared.image
    maker = NodeMaker(graph)
    pixels = maker.new_name("pixels")
    _feed(maker, pixels, image, preprocessing)
    head = maker.nodes
    maker.nodes = []
    names = tuple(_finish(maker, graph, name, rows) for name in outputs)
    nodes = [*head, *graph.node, *maker.nodes]
    del graph.node[:]
    graph.node.extend(nodes)
    del graph.input[:]
    grey = preprocessing.pixel_format == "Mono8"
    shape = (1, image.height, image.width) if grey else (image.height, image.width, 3)
    graph.input.append(helper.make_tensor_value_info(pixels, onnx.TensorProto.UINT8, [batch or "N", *shape]))
    del graph.output[:]
    graph.output.extend(helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None) for name in names)
    _drop_dead(graph)
    return pixels, names


def declare_outputs(model: Any, shapes: Sequence[Sequence[int | str]]) -> None:
    """Write down the outputs' shapes."""
    for value, shape in zip(model.graph.output, shapes, strict=True):
        set_shape(value, tuple(shape))


def _feed(maker: NodeMaker, name: str, image: ImageInput, preprocessing: Preprocessing) -> None:
    """From pixels to the tensor that the network's own nodes read.

    uint8 is turned round before it becomes float, a quarter of the bytes; division comes before mean and std, one
    after the other as in the training libraries, so that every value is rounded as there.
    """
    is_grey = preprocessing.pixel_format == "Mono8"
    per_channel = max(len(preprocessing.mean), len(preprocessing.std)) > 1
    if not is_grey and image.layout == "NCHW":
        name = maker.add("Transpose", [name], perm=[0, 3, 1, 2])
    if is_grey and per_channel:
        name = _repeat(maker, name, image.channels)
    if image.facts.dtype != "uint8":
        name = _scale(maker, name, preprocessing, channel_axis=3 if not is_grey and image.layout == "NHWC" else 1)
        if image.facts.dtype in _TYPES:
            name = _kept(maker, maker.add("Cast", [name], to=_TYPES[image.facts.dtype]))
    if is_grey and not per_channel:
        name = _repeat(maker, name, image.channels)
    if is_grey and image.layout == "NHWC":
        name = maker.add("Transpose", [name], perm=[0, 2, 3, 1])
    if image.has_batch_axis:
        maker.add("Identity", [name], image.facts.name)
    else:
        shape = maker.constant(np.array(image.shape(1), np.int64))
        maker.add("Reshape", [name, shape], image.facts.name)
    _rename_last(maker, image.facts.name)


def _rename_last(maker: NodeMaker, name: str) -> None:
    """Let the last real node write the network's input itself instead of an Identity."""
    if len(maker.nodes) > 1 and maker.nodes[-1].op_type == "Identity":
        maker.nodes.pop()
        maker.nodes[-1].output[0] = name


def _scale(maker: NodeMaker, name: str, preprocessing: Preprocessing, channel_axis: int) -> str:
    def operand(values: Sequence[float]) -> str:
        shape = [1, 1, 1, 1]
        shape[channel_axis] = len(values)
        return maker.constant(np.array(values, np.float32).reshape(shape if len(values) > 1 else []))

    name = maker.add("Cast", [name], to=onnx.TensorProto.FLOAT)
    if preprocessing.divisor != 1:
        name = maker.add("Div", [name, operand([preprocessing.divisor])])
    if any(preprocessing.mean):
        name = maker.add("Sub", [name, operand(preprocessing.mean)])
    if any(one != 1 for one in preprocessing.std):
        name = maker.add("Div", [name, operand(preprocessing.std)])
    return name


def _repeat(maker: NodeMaker, name: str, channels: int) -> str:
    return name if channels == 1 else maker.add("Concat", [name] * channels, axis=1)


def _finish(maker: NodeMaker, graph: Any, name: str, rows: int | None) -> str:
    """Bring one output to float32 with a batch axis."""
    facts = next(tensor_facts(value) for value in graph.output if value.name == name)
    if facts.dtype in ("sequence", "optional", "untyped", "object"):
        raise ImportRefused(f"output '{name}' is no tensor of numbers; export the network without it")
    if facts.dtype != "float32":
        kept = _kept(maker, name) if facts.dtype == "float16" else name
        name = maker.add("Cast", [kept], maker.new_name(f"{name}_float32"), to=onnx.TensorProto.FLOAT)
    return name if rows is None else _filled_up(maker, name, facts.shape[1:], rows)


def _kept(maker: NodeMaker, name: str) -> str:
    """Keep half precision: ONNX Runtime drops a cast to it that meets a cast back, and with it the file's rounding."""
    return maker.add("Reshape", [name, maker.add("Shape", [name])])


def _filled_up(maker: NodeMaker, name: str, row_shape: Sequence[int | str | None], rows: int) -> str:
    """Fill (K, …) up with zeros to (1, rows, …): a session's outputs must have a size, and one picture each."""
    sizes = [size if isinstance(size, int) else 1 for size in row_shape]
    zeros = maker.constant(np.zeros((rows, *sizes), np.float32))
    longer = maker.add("Concat", [name, zeros], axis=0)
    limits = [maker.constant(np.array([value], np.int64)) for value in (0, rows, 0)]
    cut = maker.add("Slice", [longer, *limits])
    shape = maker.constant(np.array([1, rows, *sizes], np.int64))
    return maker.add("Reshape", [cut, shape], maker.new_name(f"{name}_rows"))


def _drop_dead(graph: Any) -> None:
    """Remove nodes and weights that no output depends on; nodes come after those they read, as ONNX asks for."""
    makers = {name: node for node in graph.node for name in node.output if name}
    needed, open_names = set[str](), [value.name for value in graph.output]
    while open_names:
        name = open_names.pop()
        if name not in needed:
            needed.add(name)
            open_names += _read_by(makers[name]) if name in makers else ()
    nodes = [node for node in graph.node if not needed.isdisjoint(node.output)]
    weights = [tensor for tensor in graph.initializer if tensor.name in needed]
    del graph.node[:], graph.initializer[:]
    graph.node.extend(_in_order(nodes))
    graph.initializer.extend(weights)


def _in_order(nodes: list[Any]) -> list[Any]:
    """Sort nodes only as far as needed: converters append what belongs in front."""
    waited_for = {name for node in nodes for name in node.output if name}
    ordered = []
    while nodes:
        later = []
        for node in nodes:
            if waited_for.isdisjoint(_read_by(node)):
                ordered.append(node)
                waited_for -= set(node.output)
            else:
                later.append(node)
        if len(later) == len(nodes):
            raise ImportRefused("the network's operators read each other in a circle; export it anew")
        nodes = later
    return ordered


def _read_by(node: Any) -> set[str]:
    """Names a node reads, those its subgraphs take from outside included."""
    names = set(node.input)
    for subgraph in subgraphs_of(node):
        for inner in subgraph.node:
            names |= _read_by(inner)
        names |= {value.name for value in subgraph.output}
    return names
