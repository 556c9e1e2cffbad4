"""One batch from pixels to judgements: gather, run, decode, judge. A failure is an answer too, never an exception."""

import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from appliance.clock import NS_PER_MS
from appliance.config import Tiling
from appliance.errors import ModelError
from appliance.inspection.gather import WHOLE, Gatherer, Row, Tilings
from appliance.inspection.judge import Judgement, Region, judge, outside
from appliance.inspection.recipes import LoadedRecipe
from appliance.messages import Reason, VerdictWord
from appliance.modelling import ModelBundle, decoder_for
from appliance.modelling.detections import Detections
from appliance.modelling.session import ModelSession
from appliance.modelling.tiling import Tile, merge
from appliance.ring import FrameLease

log = logging.getLogger(__name__)

_MAX_DETECTIONS = 100  # in one frame; a frame with more is NG by any recipe


@dataclass(frozen=True)
class Inference:
    """What the network gave for a batch.

    Attributes:
        outputs: The network's outputs; None when it failed.
        rows: What each row of them shows.
        failure: What went wrong, for people.
        copies: How often each frame's pixels were copied before the network read them.
        start_ns, took_ms: Of the whole batch, with gathering; CLOCK_MONOTONIC.
    """

    outputs: list[NDArray[np.float32]] | None
    rows: list[Row]
    failure: str
    copies: int
    start_ns: int
    took_ms: float


@dataclass(frozen=True)
class Question:
    """One view of a frame, and the recipe to judge it by; region None: the whole frame."""

    recipe: LoadedRecipe
    view: str
    region: Region | None

    @property
    def tiling(self) -> Tiling | None:
        """How the frame is to be cut for it."""
        return self.recipe.recipe.tiling


class Examiner:
    """A model at work. `infer` belongs to the inference thread, everything else to the loop."""

    def __init__(self, bundle: ModelBundle, session: ModelSession) -> None:
        self._bundle = bundle
        self._session = session
        self._decoder = decoder_for(bundle, session.output_shapes)
        self._gatherer = Gatherer(bundle.input, session.max_batch)

    def refusal(self, lease: FrameLease, tilings: Tilings = WHOLE) -> Judgement | None:
        """Answer a frame whose shape the model can't take; None when it can."""
        told = self._gatherer.refusal(lease.geometry, tilings)
        return _model_error(told) if told else None

    def infer(self, leases: Sequence[FrameLease], tilings: Sequence[Tilings] | None = None) -> Inference:
        """Run the network on a batch, in the inference thread; a failure is told, not raised.

        Args:
            tilings: As `Gatherer.gather`.
        """
        start_ns = time.monotonic_ns()
        batch, outputs, failure = None, None, ""
        try:
            batch = self._gatherer.gather(leases, tilings)
            outputs = self._run(batch.pixels)
        except Exception as error:  # a model that fails must not take the process, and other frames, with it
            failure = _told(error)
        return Inference(
            outputs=outputs,
            rows=batch.rows if batch else [],
            failure=failure,
            copies=batch.copies if batch else 0,
            start_ns=start_ns,
            took_ms=(time.monotonic_ns() - start_ns) / NS_PER_MS,
        )

    def _run(self, pixels: NDArray[np.uint8]) -> list[NDArray[np.float32]]:
        """Run all rows, in parts where tiles make them more than the session takes at a time."""
        size = self._session.max_batch
        parts = [self._session.run(pixels[first : first + size]) for first in range(0, len(pixels), size)]
        return parts[0] if len(parts) == 1 else [np.concatenate(outputs) for outputs in zip(*parts, strict=True)]

    def judge(
        self, leases: Sequence[FrameLease], inference: Inference, questions: Sequence[Sequence[Question]]
    ) -> list[list[Judgement]]:
        """Judge each frame of a batch, one judgement a question. What failed on the way is UNKNOWN/`model_error`.

        Args:
            questions: For each frame, at least one.
        """
        if inference.outputs is None:
            return [[_model_error(inference.failure)] * len(asked) for asked in questions]
        try:
            return self._judge(leases, inference.outputs, inference.rows, questions)
        except Exception as error:  # as above: a decoder meets outputs that nobody foresaw
            failure = _model_error(_told(error))
            return [[failure] * len(asked) for asked in questions]

    def _judge(
        self,
        leases: Sequence[FrameLease],
        outputs: list[NDArray[np.float32]],
        rows: list[Row],
        questions: Sequence[Sequence[Question]],
    ) -> list[list[Judgement]]:
        in_rows = self._decoder.decode(
            outputs,
            [row.placement for row in rows],
            score=min(question.recipe.score for asked in questions for question in asked),
            nms_iou=self._bundle.thresholds.nms_iou,
            max_detections=_MAX_DETECTIONS,
        )
        found = _merged(rows, in_rows)
        strange = {row.frame for row, finite in zip(rows, finite_rows(outputs, len(rows)), strict=True) if not finite}
        failure = _model_error(f"model {self._bundle.name}: output holds NaN or infinite values")
        return [
            [
                failure if frame in strange else self._answer(lease, found[frame, question.tiling], question)
                for question in asked
            ]
            for frame, (lease, asked) in enumerate(zip(leases, questions, strict=True))
        ]

    def _answer(self, lease: FrameLease, found: Detections, question: Question) -> Judgement:
        width, height = lease.geometry.width, lease.geometry.height
        region = question.region or (0, 0, width, height)
        return outside(region, width, height) or judge(found, self._bundle.class_names, question.recipe.recipe, region)


def _merged(rows: Sequence[Row], in_rows: Sequence[Detections]) -> dict[tuple[int, Tiling | None], Detections]:
    """Put the detections of each frame's tiles together: by frame, and by how it was cut."""
    pieces: dict[tuple[int, Tiling | None], list[tuple[Tile, Detections]]] = {}
    for row, found in zip(rows, in_rows, strict=True):
        pieces.setdefault((row.frame, row.tiling), []).append((row.tile, found))
    return {
        key: merge([tile for tile, _ in each], [found for _, found in each], _MAX_DETECTIONS)
        for key, each in pieces.items()
    }


def finite_rows(outputs: Sequence[NDArray[np.float32]], count: int) -> list[bool]:
    """Tell for each of `count` rows whether every number the model gave for it is finite."""
    finite = np.ones(count, np.bool_)
    for output in outputs:
        if not np.isfinite(output).all():
            finite &= np.isfinite(output).reshape(count, -1).all(axis=1)
    return [bool(one) for one in finite]


def _told(error: Exception) -> str:
    """Log a failure, with its traceback where it is none of ours, and put it into words."""
    if isinstance(error, ModelError):
        told = str(error)
        log.error("%s", told)  # the words only: a logged error's traceback would keep the ring's memory
        return told
    log.error("inspection failed", exc_info=error)
    return f"{type(error).__name__}: {error}"


def _model_error(detail: str) -> Judgement:
    return Judgement(VerdictWord.UNKNOWN, Reason.MODEL_ERROR, detail)
