"""From a trained network to ONNX: standard operators only, one file, dynamic batch, uint8 in."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnx
import torch
from numpy.typing import NDArray

from appliance.errors import ModelError
from appliance.learning.training.networks import Network
from appliance.learning.training.plan import Plan
from appliance.modelling.importer.foreign_session import ForeignSession

OPSET = 17
INPUT_NAME = "images"
OUTPUT_NAME = "detections"
PARITY_PX = 0.05
PARITY_SCORE = 1e-3


def export(network: Network, plan: Plan, path: Path, pictures: Sequence[NDArray[np.uint8]]) -> None:
    """Write the network as the appliance runs it, and see that it computes the same.

    Args:
        pictures: A few of the set, (H, W) uint8 of the plan's size: on them both are compared.
    Raises:
        ModelError: The written file isn't plain, self-contained ONNX, or disagrees with PyTorch.
    """
    wrapped = network.to("cpu").exported().eval()  # torch.onnx puts a model that isn't in eval mode into training
    example = torch.zeros((1, 1, plan.height_px, plan.width_px), dtype=torch.uint8)
    with torch.inference_mode():
        rows = wrapped(example).shape
    with warnings.catch_warnings():
        # The tracing exporter needs nothing but onnx; its warnings are about shapes that are constants here.
        warnings.simplefilter("ignore")
        torch.onnx.export(
            wrapped,
            (example,),
            str(path),
            opset_version=OPSET,
            input_names=[INPUT_NAME],
            output_names=[OUTPUT_NAME],
            dynamic_axes={INPUT_NAME: {0: "N"}, OUTPUT_NAME: {0: "N"}},
            dynamo=False,
        )
    _finish(path, ("N", int(rows[1]), int(rows[2])))
    _check_parity(wrapped, path, np.stack([picture[None] for picture in pictures]))


def _finish(path: Path, shape: tuple[str, int, int]) -> None:
    graph = onnx.load(str(path))
    foreign = sorted({node.domain for node in graph.graph.node} - {"", "ai.onnx"})
    external = [tensor.name for tensor in graph.graph.initializer if tensor.external_data]
    if foreign or external:
        raise ModelError(f"{path}: expected standard operators and no external data, got {foreign} {external}")
    dims = graph.graph.output[0].type.tensor_type.shape.dim
    for dim, size in zip(dims, shape, strict=True):
        dim.Clear()
        if isinstance(size, int):
            dim.dim_value = size
        else:
            dim.dim_param = size
    for node in graph.graph.node:
        node.doc_string = ""
    onnx.checker.check_model(graph, full_check=True)
    onnx.save(graph, str(path))


def _check_parity(wrapped: torch.nn.Module, path: Path, images: NDArray[np.uint8]) -> None:
    with torch.inference_mode():
        wanted = wrapped(torch.from_numpy(images)).numpy()
    got = ForeignSession(path.read_bytes()).run({INPUT_NAME: images})[0]
    apart = np.abs(got - wanted)
    box_px, score = float(apart[:, :4].max()), float(apart[:, 4:].max())
    if not (box_px <= PARITY_PX and score <= PARITY_SCORE):
        raise ModelError(
            f"{path}: expected boxes within {PARITY_PX} px and scores within {PARITY_SCORE} of PyTorch's, "
            f"got {box_px:.4f} px and {score:.5f}"
        )
