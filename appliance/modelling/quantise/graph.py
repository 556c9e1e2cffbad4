"""A network that is being rewritten: its nodes, its constants, and who makes and reads each tensor."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper, shape_inference


class Graph:
    """Wraps an ONNX model and changes it in place. Every node has a name of its own."""

    def __init__(self, model: Any) -> None:
        self.model = model
        self._name_nodes()

    @property
    def nodes(self) -> list[Any]:
        """The nodes, in an order in which they can run."""
        return list(self.model.graph.node)

    @property
    def output_names(self) -> list[str]:
        """Names of the network's outputs."""
        return [output.name for output in self.model.graph.output]

    def constants(self) -> dict[str, NDArray[Any]]:
        """Return every constant by its name."""
        return {tensor.name: numpy_helper.to_array(tensor) for tensor in self.model.graph.initializer}

    def makers(self) -> dict[str, Any]:
        """Return the node that makes each tensor."""
        return {name: node for node in self.nodes for name in node.output if name}

    def readers(self) -> dict[str, list[Any]]:
        """Return the nodes that read each tensor."""
        readers: dict[str, list[Any]] = defaultdict(list)
        for node in self.nodes:
            for name in node.input:
                readers[name].append(node)
        return readers

    def element_types(self) -> dict[str, int]:
        """Return the element type of each tensor that ONNX can tell, as `TensorProto` numbers it."""
        inferred = shape_inference.infer_shapes(self.model)
        known = [*inferred.graph.value_info, *inferred.graph.input, *inferred.graph.output]
        return {info.name: info.type.tensor_type.elem_type for info in known}

    def set_constant(self, name: str, value: NDArray[Any]) -> None:
        """Add a constant, or replace the one of that name."""
        tensor = numpy_helper.from_array(np.asarray(value, order="C"), name)
        for old in self.model.graph.initializer:
            if old.name == name:
                old.CopyFrom(tensor)
                return
        self.model.graph.initializer.append(tensor)

    def set_nodes(self, nodes: Sequence[Any]) -> None:
        """Replace all nodes, then drop what nobody reads: nodes, constants and stale shapes."""
        kept = self._needed(nodes)
        del self.model.graph.node[:]
        self.model.graph.node.extend(kept)
        read = {name for node in kept for name in node.input} | set(self.output_names)
        constants = [tensor for tensor in self.model.graph.initializer if tensor.name in read]
        del self.model.graph.initializer[:]
        self.model.graph.initializer.extend(constants)
        del self.model.graph.value_info[:]

    def with_outputs(self, names: Iterable[str], element_types: Mapping[str, int]) -> Any:
        """Return a copy of the model that gives these tensors as well, after its own outputs."""
        copy = onnx.ModelProto()
        copy.CopyFrom(self.model)
        own = set(self.output_names)
        copy.graph.output.extend(
            helper.make_tensor_value_info(name, element_types[name], None) for name in names if name not in own
        )
        return copy

    def _needed(self, nodes: Sequence[Any]) -> list[Any]:
        needed, kept = set(self.output_names), []
        for node in reversed(list(nodes)):
            if needed.intersection(node.output):
                needed.update(node.input)
                kept.append(node)
        return kept[::-1]

    def _name_nodes(self) -> None:
        taken = {node.name for node in self.model.graph.node if node.name}
        seen: set[str] = set()
        for number, node in enumerate(self.model.graph.node):
            if not node.name or node.name in seen:
                node.name = next(
                    name for name in (f"{node.op_type}_{number + step}" for step in range(10**6)) if name not in taken
                )
                taken.add(node.name)
            seen.add(node.name)


def attributes(node: Any) -> dict[str, Any]:
    """Return a node's attributes as Python values."""
    return {attribute.name: helper.get_attribute_value(attribute) for attribute in node.attribute}
