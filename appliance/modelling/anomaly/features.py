"""The first layers of a detector as a feature network: cut where its convolutions halve the picture."""

from __future__ import annotations

from dataclasses import dataclass

import onnx

from appliance.errors import ModelError
from appliance.modelling.bundle import ModelBundle

STRIDES = (4, 8, 16)
"""Depths that are used, as far as the detector has them: edges, textures, shapes."""
GRID = 8
"""Model-input pixels per place of the feature grid, each axis."""

_ENLARGING = {"Resize", "Upsample", "ConvTranspose", "DepthToSpace"}
"""Behind these, a network no longer looks at less and less detail."""


@dataclass(frozen=True)
class FeatureNetwork:
    """A network cut off behind its features.

    Attributes:
        model: The nodes up to the features; input as the detector's, free batch, height and width fixed.
        features: Tensor name to its stride, smallest first.
    """

    model: onnx.ModelProto
    features: dict[str, int]


def feature_network(detector: ModelBundle, width_px: int, height_px: int) -> FeatureNetwork:
    """Cut a detector's network.

    A stage of a convolutional network ends where the next convolution halves the picture: what goes into that
    convolution is the stage's feature.

    Args:
        width_px, height_px: New input size, multiples of 16.
    Raises:
        ModelError: The network has no such stages.
    """
    model = onnx.load_from_string(detector.onnx_bytes)
    features = _stage_ends(model)
    if not features:
        raise ModelError(
            f"model {detector.name}: no convolution of stride 2 was found at a stride of {STRIDES}; anomaly features "
            f"need a convolutional detector"
        )
    _cut(model, set(features))
    sizes = {"NCHW": (1, height_px, width_px), "NHWC": (height_px, width_px, 3)}[detector.input.layout]
    shape = model.graph.input[0].type.tensor_type.shape.dim
    if detector.input.layout == "NCHW" and detector.input.pixel_format != "Mono8":
        raise ModelError(f"model {detector.name}: expected a grey or an interleaved input for features")
    shape[0].Clear()
    shape[0].dim_param = "N"
    for dimension, size in zip(shape[1:], sizes, strict=True):
        dimension.Clear()
        dimension.dim_value = size
    return FeatureNetwork(model, dict(sorted(features.items(), key=lambda one: one[1])))


def _stage_ends(model: onnx.ModelProto) -> dict[str, int]:
    """Find the tensors that go into convolutions of stride 2, with their own stride; the first of each stride."""
    strides = {model.graph.input[0].name: 1}
    found: dict[int, str] = {}
    for node in model.graph.node:
        before = [strides[name] for name in node.input if name in strides]
        if not before or node.op_type in _ENLARGING:
            continue
        step = next((list(one.ints) for one in node.attribute if one.name == "strides"), [1])
        if node.op_type == "Conv" and step == [2, 2] and before[0] in STRIDES:
            found.setdefault(before[0], node.input[0])
        strides.update(dict.fromkeys(node.output, max(before) * max(step)))
    return {name: stride for stride, name in found.items()}


def _cut(model: onnx.ModelProto, wanted: set[str]) -> None:
    """Keep the nodes and initialisers that `wanted` needs."""
    needed, kept = set(wanted), []
    for node in reversed(model.graph.node):
        if needed & set(node.output):
            kept.append(node)
            needed |= set(node.input)
    initialisers = [one for one in model.graph.initializer if one.name in needed]
    del model.graph.node[:], model.graph.initializer[:], model.graph.output[:], model.graph.value_info[:]
    model.graph.node.extend(reversed(kept))
    model.graph.initializer.extend(initialisers)
