"""One batch from pixels to judgements: gather, run, decode, judge. A failure is an answer too, never an exception."""

import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from appliance.clock import NS_PER_MS
from appliance.config import Recipe
from appliance.errors import ModelError
from appliance.inspection.gather import Gatherer
from appliance.inspection.judge import Judgement, judge, lowest_score
from appliance.inspection.session import DetectorSession
from appliance.messages import Reason, VerdictWord
from appliance.modelling import ModelBundle, Placement, decoder_for
from appliance.ring import FrameLease

log = logging.getLogger(__name__)

_MAX_DETECTIONS = 100  # in one frame; a frame with more is NG by any recipe


@dataclass(frozen=True)
class Inference:
    """What the network gave for a batch.

    Attributes:
        outputs: The network's outputs; None when it failed.
        placements: How each frame lies in the model input.
        failure: What went wrong, for people.
        copies: How often each frame's pixels were copied before the network read them.
        start_ns, took_ms: Of the whole batch, with gathering; CLOCK_MONOTONIC.
    """

    outputs: list[NDArray[np.float32]] | None
    placements: list[Placement]
    failure: str
    copies: int
    start_ns: int
    took_ms: float


class Examiner:
    """A model and a recipe at work. `infer` belongs to the inference thread, everything else to the loop."""

    def __init__(self, bundle: ModelBundle, session: DetectorSession, recipe: Recipe) -> None:
        self._bundle = bundle
        self._session = session
        self._recipe = recipe
        self._decoder = decoder_for(bundle, session.output_shapes)
        self._gatherer = Gatherer(bundle.input, session.max_batch)
        self._score = lowest_score(recipe)

    def refusal(self, lease: FrameLease) -> Judgement | None:
        """Answer a frame whose shape the model can't take; None when it can."""
        told = self._gatherer.refusal(lease.geometry)
        return _model_error(told) if told else None

    def infer(self, leases: Sequence[FrameLease]) -> Inference:
        """Run the network on a batch, in the inference thread; a failure is told, not raised."""
        start_ns = time.monotonic_ns()
        batch, outputs, failure = None, None, ""
        try:
            batch = self._gatherer.gather(leases)
            outputs = self._session.run(batch.pixels)
        except Exception as error:  # a model that fails must not take the process, and other frames, with it
            failure = _told(error)
        return Inference(
            outputs=outputs,
            placements=batch.placements if batch else [],
            failure=failure,
            copies=batch.copies if batch else 0,
            start_ns=start_ns,
            took_ms=(time.monotonic_ns() - start_ns) / NS_PER_MS,
        )

    def judge(self, leases: Sequence[FrameLease], inference: Inference) -> list[Judgement]:
        """Judge each frame of a batch. What failed on the way makes its frames UNKNOWN/`model_error`."""
        if inference.outputs is None:
            return [_model_error(inference.failure)] * len(leases)
        try:
            return self._judge(leases, inference.outputs, inference.placements)
        except Exception as error:  # as above: a decoder meets outputs that nobody foresaw
            return [_model_error(_told(error))] * len(leases)

    def _judge(
        self, leases: Sequence[FrameLease], outputs: list[NDArray[np.float32]], placements: list[Placement]
    ) -> list[Judgement]:
        detections = self._decoder.decode(
            outputs,
            placements,
            score=self._score,
            nms_iou=self._bundle.thresholds.nms_iou,
            max_detections=_MAX_DETECTIONS,
        )
        judgements = []
        for lease, found, finite in zip(leases, detections, finite_frames(outputs, len(leases)), strict=True):
            if not finite:
                judgements.append(_model_error(f"model {self._bundle.name}: output holds NaN or infinite values"))
                continue
            whole = (0, 0, lease.geometry.width, lease.geometry.height)
            judgements.append(judge(found, self._bundle.class_names, self._recipe, whole))
        return judgements


def finite_frames(outputs: Sequence[NDArray[np.float32]], count: int) -> list[bool]:
    """Tell for each of `count` frames whether every number the model gave for it is finite."""
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
