"""Arithmetic on shapes, done once: what doesn't depend on the batch size becomes a constant.

Exporters write `chunk`, `view` and grids as chains of Shape, Gather, Div and Slice, since they don't know the frame's
size. Here it is known: the chains cost time in every run, and a slice with computed limits can't be quantised.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from appliance.modelling.bundle import ModelInput
from appliance.modelling.quantise.graph import Graph
from appliance.modelling.quantise.runtime import open_session

LARGEST = 65536
"""Elements of a tensor that is still frozen: grids are, nothing that would bloat the file is."""


def freeze_shapes(graph: Graph, model_input: ModelInput) -> int:
    """Replace what follows from the shapes alone by its value; returns how many nodes went."""
    types = graph.element_types()
    names = [name for name in _from_shapes(graph) if types.get(name)]
    if not names:
        return 0
    session = open_session(graph.with_outputs(names, types), is_optimised=False)
    batches = (model_input.batch,) if model_input.batch else (1, 2)
    runs = [
        session.run(names, {model_input.name: np.zeros((batch, *model_input.frame_shape), np.uint8)})
        for batch in batches
    ]
    frozen = {
        name: values[0]
        for name, *values in zip(names, *runs, strict=True)
        if isinstance(values[0], np.ndarray)
        and values[0].size <= LARGEST
        and all(np.array_equal(values[0], other) for other in values[1:])
    }
    return _replace(graph, frozen)


def _from_shapes(graph: Graph) -> list[str]:
    """Return the tensors that are computed from nothing but constants and shapes, whatever the pixels are."""
    known = set(graph.constants()) | {""}
    found: list[str] = []
    for node in graph.nodes:
        if node.op_type == "Shape" or (known.issuperset(node.input) and "Random" not in node.op_type):
            known.update(node.output)
            found += [name for name in node.output if name]
    return found


def _replace(graph: Graph, frozen: dict[str, Any]) -> int:
    own = set(graph.output_names)
    kept = [node for node in graph.nodes if own.intersection(node.output) or not set(node.output) <= frozen.keys()]
    gone = len(graph.nodes) - len(kept)
    made = {name for node in kept for name in node.output}
    for name, value in frozen.items():
        if name not in made:
            graph.set_constant(name, value)
    graph.set_nodes(kept)
    return gone
