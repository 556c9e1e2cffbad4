"""Make the network as the appliance runs it and prove that it computes what the file does, in a limited child."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from appliance.errors import ImportRefused
from appliance.limited import run_limited
from appliance.modelling.importer.agreement import farthest_apart, say_the_same
from appliance.modelling.importer.batching import depends_on_its_batch, free_reshapes
from appliance.modelling.importer.examination import options_from
from appliance.modelling.importer.extra_inputs import extra_feeds
from appliance.modelling.importer.facts import ImportOptions, Preprocessing
from appliance.modelling.importer.foreign_session import ForeignSession
from appliance.modelling.importer.limits import limits_for
from appliance.modelling.importer.output_shapes import output_shapes
from appliance.modelling.importer.picture import natural_picture
from appliance.modelling.importer.prepared import Prepared, prepare, without_weights
from appliance.modelling.importer.preprocess import network_values
from appliance.modelling.importer.wrapper import declare_outputs, wrap

_SEEDS = (11, 12, 13)
_TOLERANCE, _HALF_TOLERANCE = 1e-5, 1e-3
_BATCH_TOLERANCE, _HALF_BATCH_TOLERANCE = 1e-3, 1e-2
"""Another batch is another order of sums; that a picture leaks into its neighbour shows in whole numbers."""


@dataclass(frozen=True)
class Built:
    """A network ready for a bundle.

    Attributes:
        onnx_bytes: model.onnx; the same for the same file and options.
        input_name: Its one input.
        batch: Fixed number of pictures, 0: any.
        outputs: Name and shape of each output; a free dimension is a name.
        farthest_apart: Largest relative difference between the file and this network on the pictures of the proof.
        notes: What a person should know, each a sentence.
    """

    onnx_bytes: bytes
    input_name: str
    batch: int
    outputs: tuple[tuple[str, tuple[int | str, ...]], ...]
    farthest_apart: float
    notes: tuple[str, ...]


def build(
    onnx_bytes: bytes,
    options: ImportOptions,
    preprocessing: Preprocessing,
    *,
    outputs: Sequence[str],
    rows: int | None,
    where: str,
) -> Built:
    """Wrap the network of a file and prove it.

    Args:
        outputs, rows: As `Claim`.
        where: Begins each error's message.
    Raises:
        ImportRefused: The wrapped network doesn't compute what the file does.
        ModelError: It crashed the child, or took more memory or time than allowed.
    """
    request = build_request(options, preprocessing, outputs, rows)
    ran = run_limited(build_job, request, [onnx_bytes], where=where, limits=limits_for(len(onnx_bytes)))
    return built_of(ran.answer, ran.blobs)


def build_request(
    options: ImportOptions, preprocessing: Preprocessing, outputs: Sequence[str], rows: int | None
) -> dict[str, Any]:
    """Write what `build_job` is asked."""
    return {
        "options": asdict(options),
        "preprocessing": asdict(preprocessing),
        "outputs": list(outputs),
        "rows": rows,
    }


def built_of(told: Mapping[str, Any], blobs: Sequence[bytes]) -> Built:
    """Read what `build_job` answered."""
    return Built(
        onnx_bytes=blobs[0],
        input_name=told["input"],
        batch=told["batch"],
        outputs=tuple((name, tuple(shape)) for name, shape in told["outputs"]),
        farthest_apart=told["farthest_apart"],
        notes=tuple(told["notes"]),
    )


def build_job(
    request: dict[str, Any], blobs: list[memoryview], tell: Callable[[dict[str, Any]], None]
) -> tuple[dict[str, Any], Sequence[bytes]]:
    """Child: try the freest batch first, take the first that is proven."""
    plan = _Plan(blobs[0], request)
    tell({"step": "reference run"})
    expected = plan.reference()
    notes: list[str] = []
    tell({"step": "proof"})
    for batch, frees_reshapes in plan.batches():
        built = plan.wrapped(batch, frees_reshapes)
        found = plan.try_out(built, expected)
        if isinstance(found, str):
            notes.append(found)
            continue
        answer, content = found
        kept = notes[-1:] if batch and plan.image.batch is None else []
        return {**answer, "batch": batch, "notes": kept + plan.batch_notes(batch)}, [content]
    raise ImportRefused(
        f"the network in the bundle would not compute what the file does: {notes[-1]}; it can't be imported"
    )


class _Plan:
    """One file, what is to be made of it, and the pictures of the proof."""

    def __init__(self, content: memoryview, request: dict[str, Any]) -> None:
        self._content = content
        self._options = options_from(request["options"])
        told = request["preprocessing"]
        self._preprocessing = Preprocessing(**{**told, "mean": tuple(told["mean"]), "std": tuple(told["std"])})
        self._outputs, self._rows = request["outputs"], request["rows"]
        first = self._fresh()
        self.image = first.image
        self._constants = first.constants
        self._is_dynamic_int8 = depends_on_its_batch(first.model.graph)
        shape = (self.image.height, self.image.width)
        self._pictures = [self._seen_by_camera(natural_picture(*shape, seed)) for seed in _SEEDS]
        is_half = self.image.facts.dtype == "float16" or "float16" in {one.dtype for one in first.outputs}
        self._tolerance = _HALF_TOLERANCE if is_half else _TOLERANCE
        self._batch_tolerance = _HALF_BATCH_TOLERANCE if is_half else _BATCH_TOLERANCE

    def reference(self) -> list[list[NDArray[Any]]]:
        """Run the file as it is, fed by NumPy; per picture the outputs, of one picture or a fixed batch of equals.

        But weights aren't inputs: ONNX Runtime would not merge layers then, and half precision would round elsewhere.
        """
        model = self._parsed()
        extras = extra_feeds(model, self.image, self._constants)
        without_weights(model)
        session = ForeignSession(model.SerializeToString())
        answers = []
        for picture in self._pictures:
            values = network_values(picture, self.image, self._preprocessing)
            if self.image.batch and self.image.has_batch_axis:
                values = np.repeat(values, self.image.batch, axis=0)
            outputs = session.run({self.image.facts.name: values, **extras})
            by_name = dict(zip(session.output_names, outputs, strict=True))
            answers.append([self._as_promised(by_name[name]) for name in self._outputs])
        return answers

    def batches(self) -> Iterator[tuple[int, bool]]:
        """Batches to try, the most useful first, and whether reshapes are to be freed for it."""
        declared = self.image.batch
        is_lone = self._rows is not None or not self.image.has_batch_axis or self._is_dynamic_int8
        if declared in (None, 1) and not is_lone:
            yield 0, False
            if declared == 1:
                yield 0, True
        yield declared or 1, False

    def batch_notes(self, batch: int) -> list[str]:
        """Say what a fixed batch means."""
        if batch == 1 and self._is_dynamic_int8:
            return ["batch 1: dynamic INT8 scales by the whole batch, so neighbours would change a picture's result"]
        return [f"batch {batch} is fixed in the file"] if batch and self.image.batch else []

    def wrapped(self, batch: int, frees_reshapes: bool) -> tuple[Any, str, tuple[str, ...], int]:
        """Make the network for a batch."""
        prepared = self._fresh()
        if frees_reshapes:
            free_reshapes(prepared.model.graph)
        name, outputs = wrap(prepared, self._preprocessing, batch, self._outputs, self._rows)
        return prepared.model, name, outputs, batch

    def try_out(
        self, built: tuple[Any, str, tuple[str, ...], int], expected: list[list[NDArray[Any]]]
    ) -> tuple[dict[str, Any], bytes] | str:
        """Run what was made; gives the answer and its bytes, or why it won't do."""
        model, name, outputs, batch = built
        try:
            session = ForeignSession(_serialised(model))
            alone = [session.run({name: self._frames([one] * (batch or 1))}) for one in self._pictures]
            together = session.run({name: self._frames(self._pictures)}) if batch == 0 else None
        except ImportRefused as error:
            return str(error)
        apart = max(farthest_apart(found, wanted) for found, wanted in zip(alone, expected, strict=True))
        if not apart <= self._tolerance:
            return f"values differ by {apart:.2g}, at most {self._tolerance:g} is rounding"
        if together is not None and not self._is_sum_of(together, alone):
            return "batch 1: with several pictures at a time the network computes something else"
        shapes = output_shapes(model, session.output_shapes(), alone, batch)
        declare_outputs(model, shapes)
        answer = {"input": name, "outputs": list(zip(outputs, shapes, strict=True)), "farthest_apart": apart}
        return answer, _serialised(model)

    def _is_sum_of(self, together: list[NDArray[Any]], alone: list[list[NDArray[Any]]]) -> bool:
        joined = [np.concatenate(parts) for parts in zip(*alone, strict=True) if all(part.ndim for part in parts)]
        return len(joined) == len(together) and say_the_same(together, joined, self._batch_tolerance)

    def _seen_by_camera(self, colour: NDArray[np.uint8]) -> NDArray[np.uint8]:
        return colour[..., 1:2] if self._preprocessing.pixel_format == "Mono8" else colour

    def _frames(self, pictures: list[NDArray[np.uint8]]) -> NDArray[np.uint8]:
        """Put pictures into the layout of a bundle's input."""
        frames = np.stack(pictures)
        return np.ascontiguousarray(frames.transpose(0, 3, 1, 2)) if frames.shape[3] == 1 else frames

    def _as_promised(self, output: NDArray[Any]) -> NDArray[Any]:
        """What the wrapped network must make of an output of the file."""
        output = output.astype(np.float32)
        if self._rows is None:
            return output
        filled = np.zeros((1, self._rows, *output.shape[1:]), np.float32)
        count = min(len(output), self._rows)
        filled[0, :count] = output[:count]
        return filled

    def _fresh(self) -> Prepared:
        return prepare(self._parsed(), self._options)

    def _parsed(self) -> Any:
        return onnx.load_model_from_string(bytes(self._content))


def _serialised(model: Any) -> bytes:
    content: bytes = model.SerializeToString(deterministic=True)
    return content
