"""Which input of a foreign network takes the picture, where its channels lie, and what size it has."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from appliance.errors import ImportRefused
from appliance.modelling.importer.facts import ImportOptions, TensorFacts
from appliance.modelling.importer.protos import constants_of, real_inputs, tensor_facts

_DTYPES = ("float32", "float16", "float64", "uint8")
_CHANNELS = (1, 3)
_MAX_SIDE_PX = 16384


@dataclass(frozen=True, slots=True)
class ImageInput:
    """The input that takes the picture.

    Attributes:
        facts: As the file declares it.
        has_batch_axis: False for networks that take one picture as (C, H, W) or (H, W, C).
        batch: Fixed number of pictures; None where it is free.
    """

    facts: TensorFacts
    layout: Literal["NCHW", "NHWC"]
    channels: int
    height: int
    width: int
    has_batch_axis: bool
    batch: int | None

    def shape(self, batch: int | str) -> tuple[int | str, ...]:
        """Whole shape for a batch; the batch is left out where the network has no axis for it."""
        picture = (self.height, self.width)
        one = (self.channels, *picture) if self.layout == "NCHW" else (*picture, self.channels)
        return (batch, *one) if self.has_batch_axis else one


def find_image_input(model: Any, options: ImportOptions) -> ImageInput:
    """Look at the declared inputs.

    Raises:
        ImportRefused: None or several could be the picture, its type can't be fed, or its size is free.
    """
    inputs = [tensor_facts(value) for value in real_inputs(model.graph)]
    found = [one for one in inputs if len(one.shape) == 4] or [one for one in inputs if len(one.shape) == 3]
    if len(found) != 1:
        raise ImportRefused(
            f"expected one input for the picture, (N, C, H, W) or (N, H, W, C), got {_written(inputs)}; "
            f"export a detector that takes one picture tensor"
        )
    image = found[0]
    if image.dtype not in _DTYPES:
        raise ImportRefused(
            f"the picture's input {_written([image])} can't be fed: expected one of {', '.join(_DTYPES)}; "
            f"export it with float32 inputs"
        )
    batched = len(image.shape) == 4
    axes = image.shape[1:] if batched else image.shape
    layout = _layout(image, axes)
    channels = _channels(model, image, axes[0] if layout == "NCHW" else axes[2])
    height, width = axes[1:] if layout == "NCHW" else axes[:2]
    known = size_in_metadata({one.key: one.value for one in model.metadata_props}) or size_of_map(model.graph)
    size = _size(image, (width, height), options, known)
    batch = image.shape[0] if batched else 1
    return ImageInput(
        image, layout, channels, size[1], size[0], batched, int(batch) if isinstance(batch, int) else None
    )


def _layout(image: TensorFacts, axes: tuple[int | str | None, ...]) -> Literal["NCHW", "NHWC"]:
    first, last = axes[0] in _CHANNELS, axes[2] in _CHANNELS
    if first != last:
        return "NCHW" if first else "NHWC"
    if not first and not isinstance(axes[0], int):
        return "NCHW"  # all free: every exporter that frees the channels too writes them first
    raise ImportRefused(
        f"the picture's input {_written([image])}: expected 1 or 3 channels, first or last; "
        f"export the network for pictures of 1 or 3 channels"
    )


def _channels(model: Any, image: TensorFacts, declared: int | str | None) -> int:
    if isinstance(declared, int):
        return declared
    weights = constants_of(model.graph)
    for node in model.graph.node:
        if node.op_type == "Conv" and node.input[0] == image.name and node.input[1] in weights:
            return int(weights[node.input[1]].dims[1])
    return 3


def _size(
    image: TensorFacts,
    declared: tuple[int | str | None, ...],
    options: ImportOptions,
    known: tuple[int, int] | None,
) -> tuple[int, int]:
    """Width and height: fixed in the file, else asked for, else as the file lets one know."""
    said = options.size or known or (None, None)
    width, height = (size if isinstance(size, int) else wanted for size, wanted in zip(declared, said, strict=True))
    if width is None or height is None:
        raise ImportRefused(
            f"the picture's input {_written([image])} has no fixed size, and the metadata name none; "
            f"pass --size WIDTHxHEIGHT, as it was trained"
        )
    if options.size is not None and (width, height) != options.size:
        raise ImportRefused(
            f"--size {options.size[0]}x{options.size[1]}: the file's input is fixed to {width}x{height} px; "
            f"leave --size out, or export the file anew with that size"
        )
    if not 1 <= min(width, height) <= max(width, height) <= _MAX_SIDE_PX:
        raise ImportRefused(f"input of {width}x{height} px: expected sides of 1..{_MAX_SIDE_PX} px")
    return width, height


def size_in_metadata(metadata: Mapping[str, str]) -> tuple[int, int] | None:
    """Width and height from `imgsz`, as Ultralytics (height first, or one number) and libreyolo write it."""
    raw = metadata.get("imgsz", "")
    try:
        found = json.loads(raw.replace("(", "[").replace(")", "]")) if raw else None
    except ValueError:
        return None
    numbers = [found, found] if isinstance(found, int) else found
    if isinstance(numbers, list) and len(numbers) == 2 and all(isinstance(one, int) and one > 0 for one in numbers):
        return numbers[1], numbers[0]
    return None


def size_of_map(graph: Any) -> tuple[int, int] | None:
    """Width and height of an output (N, 1, H, W) of fixed size: a network of free size resizes to it inside."""
    shapes = [tensor_facts(value).shape for value in graph.output]
    sizes = {(shape[3], shape[2]) for shape in shapes if len(shape) == 4 and shape[1] == 1}
    if len(sizes) != 1:
        return None
    width, height = sizes.pop()
    return (width, height) if isinstance(width, int) and isinstance(height, int) else None


def names_in_metadata(metadata: Mapping[str, str]) -> tuple[str, ...] | None:
    """Class names from `names`: a dictionary by class id as Python or JSON writes it, or a list."""
    raw = metadata.get("names", "") or metadata.get("classes", "")
    content = _literal(raw)
    if isinstance(content, dict):
        try:
            by_id = {int(key): str(name) for key, name in content.items()}
        except ValueError:
            return None
        content = [by_id[key] for key in sorted(by_id)] if sorted(by_id) == list(range(len(by_id))) else None
    if isinstance(content, list) and content and all(isinstance(one, str) for one in content):
        return tuple(content)
    return None


def _literal(raw: str) -> Any:

    if len(raw) > 1_000_000 or not re.match(r"\s*[\[{(]", raw):
        return None
    for read in (json.loads, ast.literal_eval):
        try:
            content = read(raw)
        except (ValueError, SyntaxError, RecursionError, MemoryError, TypeError):
            continue
        return list(content) if isinstance(content, tuple) else content
    return None


def _written(inputs: list[TensorFacts]) -> str:
    return (
        ", ".join(
            f"'{one.name}' {one.dtype} ({', '.join('*' if size is None else str(size) for size in one.shape)})"
            for one in inputs
        )
        or "no input at all"
    )
