"""Follow the pixels from the network's input to the first real operation, and note what happens to them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import TensorProto

from appliance.modelling.quantise.graph import Graph, attributes

LAYOUT = {"Transpose", "Reshape", "Squeeze", "Unsqueeze", "Identity", "SpaceToDepth", "Gather"}
"""Operations that move pixels and don't change them; ONNX Runtime has them for uint8, too."""
_SCALING = {"Mul", "Div", "Add", "Sub"}


@dataclass
class Way:
    """The pixels' way: a chain of nodes, each the only reader of the one before.

    Attributes:
        tensor: Where it ends.
        scale, offset: `value = pixel * scale + offset`: (1,) for all channels alike, else (C,).
        repeats: How often a grey frame is repeated to make channels of it.
    """

    nodes: list[Any]
    tensor: str
    scale: NDArray[np.float64]
    offset: NDArray[np.float64]
    repeats: int = 1

    @property
    def is_plain(self) -> bool:
        """Whether all channels are treated alike and none is made up."""
        return self.scale.size == self.offset.size == self.repeats == 1

    def scales(self, node: Any, constants: dict[str, NDArray[Any]]) -> bool:
        """Take a node that adds or multiplies by a constant; returns whether it was one."""
        if node.op_type not in _SCALING:
            return False
        is_first = node.input[0] == self.tensor
        value = _channelwise(constants.get(node.input[1 if is_first else 0]))
        if value is None or (node.op_type == "Div" and not is_first):
            return False
        if node.op_type in ("Mul", "Div"):
            factor = value if node.op_type == "Mul" else 1.0 / value
            self.scale, self.offset = self.scale * factor, self.offset * factor
        elif node.op_type == "Add":
            self.offset = self.offset + value
        else:
            sign = 1.0 if is_first else -1.0
            self.scale, self.offset = sign * self.scale, sign * (self.offset - value)
        return True

    def lays_out(self, node: Any, constants: dict[str, NDArray[Any]]) -> bool:
        """Whether a node only moves pixels, all channels still alike."""
        is_fixed = node.input[0] == self.tensor and constants.keys() >= set(node.input[1:])
        return node.op_type in LAYOUT and is_fixed and self.is_plain

    def repeats_grey(self, node: Any) -> bool:
        """Take a node that makes several equal channels of one; returns whether it was one."""
        if node.op_type != "Concat" or attributes(node)["axis"] != 1 or not self.is_plain or len(node.input) == 1:
            return False
        self.repeats = len(node.input)
        return set(node.input) == {self.tensor}


def walk(graph: Graph, name: str) -> Way | None:
    """Follow the pixels from the input of that name; None where they never become float."""
    readers, constants = graph.readers(), graph.constants()
    way = Way([], name, np.ones(1), np.zeros(1))
    is_float = False
    while way.tensor not in graph.output_names:
        reading = {node.name: node for node in readers[way.tensor]}
        if len(reading) != 1:
            break
        (node,) = reading.values()
        if not is_float and node.op_type == "Cast" and attributes(node)["to"] == TensorProto.FLOAT:
            is_float = True
        elif not (
            (is_float and way.scales(node, constants)) or way.lays_out(node, constants) or way.repeats_grey(node)
        ):
            break
        way.nodes.append(node)
        way.tensor = node.output[0]
    return way if is_float else None


def _channelwise(constant: NDArray[Any] | None) -> NDArray[np.float64] | None:
    """Return a constant as (1,) or (C,) where it is the same for a whole channel of (N, C, H, W)."""
    if constant is None:
        return None
    is_one = constant.size == 1
    is_per_channel = constant.ndim >= 3 and constant.shape[-2:] == (1, 1) and constant.size == constant.shape[-3]
    return constant.astype(np.float64).reshape(-1) if is_one or is_per_channel else None
