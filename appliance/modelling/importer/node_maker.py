"""Makes nodes and constants whose names are new to a graph, in a fixed order: the same file gives the same bytes."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from appliance.modelling.importer.protos import names_in


class NodeMaker:
    """Collects nodes for one graph.

    Attributes:
        nodes: Those made so far, in order.
    """

    def __init__(self, graph: Any) -> None:
        self._graph = graph
        self._taken = names_in(graph)
        self.nodes: list[Any] = []

    def new_name(self, wish: str) -> str:
        """Return the wish, or the wish with a number where it's taken."""
        name, count = wish, 1
        while name in self._taken:
            count += 1
            name = f"{wish}_{count}"
        self._taken.add(name)
        return name

    def add(self, operator: str, inputs: list[str], result: str | None = None, **attributes: Any) -> str:
        """Add a node of one output; returns the output's name, which is new unless `result` gives one."""
        output = result if result is not None else self.new_name(f"appliance_{operator.lower()}")
        name = self.new_name(f"appliance_{operator}")
        self.nodes.append(helper.make_node(operator, inputs, [output], name, **attributes))
        return output

    def constant(self, values: NDArray[Any]) -> str:
        """Add a constant to the graph."""
        name = self.new_name("appliance_constant")
        self._graph.initializer.append(numpy_helper.from_array(np.asarray(values), name))
        return name
