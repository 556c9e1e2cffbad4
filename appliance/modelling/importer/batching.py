"""How many pictures a network takes at a time: as many as one likes, where runs show that it doesn't matter."""

from __future__ import annotations

from typing import Any

import numpy as np
from onnx import numpy_helper

from appliance.modelling.importer.protos import constants_of, nodes_of, numbers_of, operators_of


def depends_on_its_batch(graph: Any) -> bool:
    """Whether a picture's values depend on its neighbours: dynamic INT8 takes its scale from the whole batch."""
    return "DynamicQuantizeLinear" in operators_of(graph)


def free_reshapes(graph: Any) -> None:
    """Let reshapes that write a batch of one keep the batch they get: exports for batch one fix it there."""
    constants = constants_of(graph)
    weights = set(constants)
    for node in nodes_of(graph):
        if node.op_type != "Reshape" or node.input[0] in weights or node.input[1] not in constants:
            continue
        shape = numbers_of(constants[node.input[1]])
        keeps_zero = any(one.name == "allowzero" and one.i for one in node.attribute)
        if shape.ndim == 1 and len(shape) > 1 and shape[0] == 1 and not keeps_zero:
            name = f"{node.input[1]}_any_batch"
            if name not in weights:
                graph.initializer.append(numpy_helper.from_array(_from_batch(shape), name))
                weights.add(name)
            node.input[1] = name


def _from_batch(shape: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """0 takes the size from the tensor that is reshaped (ONNX, Reshape)."""
    return np.array([0, *shape[1:]], np.int64)
