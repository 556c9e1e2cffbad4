"""What is known of a foreign ONNX file, and what a decode family claims about it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from numpy.typing import NDArray

PixelFormat = Literal["Mono8", "RGB8", "BGR8"]
Fit = Literal[
    "letterbox", "letterbox_gain", "letterbox_unrounded", "letterbox_top_left", "letterbox_floor", "stretch", "exact"
]
Resize = Literal["linear", "area", "antialiased"]


@dataclass(frozen=True, slots=True)
class TensorFacts:
    """One input or output as the file declares it.

    Attributes:
        shape: A free dimension is its name, or None where it has none; empty where no shape is declared.
        dtype: NumPy's name: float32, float16, uint8, int64 …
    """

    name: str
    shape: tuple[int | str | None, ...]
    dtype: str


@dataclass(frozen=True, slots=True)
class StemStep:
    """One operator between the image input and the first layer with weights.

    Attributes:
        operator: ONNX operator, e.g. Sub, Div, Cast, Transpose, Resize.
        constant: Its constant operand, flattened, where it has one of at most 16 numbers.
    """

    operator: str
    constant: tuple[float, ...] | None = None


@dataclass(frozen=True, slots=True)
class ImportOptions:
    """What the user said; None where nothing was said. An option always wins over what a family claims.

    Attributes:
        classes: Class names in the order of the network's class ids.
        size: Width and height in px.
        pixel_format, divisor, mean, std, fit, resize, pad_value: As in `Preprocessing`.
        decode: Options of the family (`--decode key=value`), e.g. anchors.
        constants: Values for inputs beside the image (`--constant name=1,2`).
    """

    family: str | None = None
    classes: tuple[str, ...] | None = None
    size: tuple[int, int] | None = None
    pixel_format: PixelFormat | None = None
    divisor: float | None = None
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None
    fit: Fit | None = None
    resize: Resize | None = None
    pad_value: int | None = None
    score: float | None = None
    nms_iou: float | None = None
    decode: Mapping[str, Any] = field(default_factory=dict)
    constants: Mapping[str, tuple[float, ...]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Preprocessing:
    """How pixels become what the network was trained on: `value = (pixel / divisor - mean) / std`.

    Attributes:
        pixel_format: Channel order of the network; Mono8 where it reads one channel.
        divisor: 255 for networks that read 0..1, 1 for those that read 0..255.
        mean, std: One number for each channel in the network's order, or one for all, in the units that the divisor
            leaves: (0.485, 0.456, 0.406) goes with divisor 255, (127,) with divisor 1. Empty: none.
        pad_value: Grey value beside a letterboxed frame.
    """

    pixel_format: PixelFormat = "RGB8"
    divisor: float = 255.0
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()
    fit: Fit = "letterbox"
    resize: Resize = "linear"
    pad_value: int = 114


@dataclass(frozen=True, slots=True)
class GraphFacts:
    """All that is known of a file before a family is chosen.

    Attributes:
        image: The input that takes the picture.
        layout: Where its channels lie.
        channels: 1 or 3.
        input_height, input_width: px; a free size is already fixed, by `--size` or by the metadata.
        inputs, outputs: In the file's order; the image is among the inputs, initialisers listed as inputs are not.
        constants: Inputs beside the image and the values they are fixed to.
        metadata: The file's metadata_props.
        operators: Operator to number of nodes, subgraphs included.
        stem: Operators between image and first layer with weights, in order: preprocessing that is already inside.
        trial: Outputs of one run on a natural-looking picture, as the file gives them, in the order of `outputs`.
            Values 0..1; 0..255 where the input is uint8. Of one picture, or of k equal ones where the batch is fixed.
        trial_255: The same with values 0..255.
        class_names: From the options, else from the metadata.
        class_count: Their number; None where no names are known.
    """

    image: TensorFacts
    layout: Literal["NCHW", "NHWC"]
    channels: int
    input_height: int
    input_width: int
    inputs: tuple[TensorFacts, ...]
    outputs: tuple[TensorFacts, ...]
    constants: Mapping[str, tuple[float, ...]]
    metadata: Mapping[str, str]
    producer: str
    opset: int
    operators: Mapping[str, int]
    stem: tuple[StemStep, ...]
    options: ImportOptions
    trial: tuple[NDArray[Any], ...]
    trial_255: tuple[NDArray[Any], ...]
    class_names: tuple[str, ...] | None = None

    @property
    def class_count(self) -> int | None:
        """How many classes the names speak of."""
        return len(self.class_names) if self.class_names is not None else None


@dataclass(frozen=True, slots=True)
class Claim:
    """A family says: this is mine, and so it is to be run.

    Attributes:
        family: Name in `FAMILIES`.
        seen: One line of evidence, for people.
        decode: For `[decode]` of model.toml.
        class_count: Classes that the outputs have room for; None where the outputs don't tell.
        class_names: Names where the family knows better than `GraphFacts.class_names`.
        preprocessing: As networks of this kind are trained; options replace single values afterwards.
        score, nms_iou: Thresholds to begin with.
        outputs: Names of the outputs that decoding needs, in the order it wants them; None for all as they are.
        rows: Set where the outputs are lists without a batch axis and of free length (torchvision): the importer cuts
            or, with zeros, pads them to so many rows, and puts a batch axis of one before them.
        doubts: What must be said to be sure, each a half sentence with the option to pass; empty when sure.
    """

    family: str
    seen: str
    decode: Mapping[str, Any] = field(default_factory=dict)
    class_count: int | None = None
    class_names: tuple[str, ...] | None = None
    preprocessing: Preprocessing = Preprocessing()
    score: float = 0.25
    nms_iou: float = 0.45
    outputs: tuple[str, ...] | None = None
    rows: int | None = None
    doubts: tuple[str, ...] = ()
