"""One batch from pixels to judgements: gather, run, decode, judge. A failure is an answer too, never an exception."""

import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from appliance.clock import NS_PER_MS
from appliance.config import Recipe
from appliance.inspection.gather import Batch, Gatherer
from appliance.inspection.judge import Judgement, judge, lowest_score
from appliance.inspection.session import DetectorSession
from appliance.messages import Reason, VerdictWord
from appliance.modelling import ModelBundle, decoder_for
from appliance.ring import FrameLease

log = logging.getLogger(__name__)

_MAX_DETECTIONS = 100  # in one frame; a frame with more is NG by any recipe


@dataclass(frozen=True)
class Examination:
    """What a batch came to.

    Attributes:
        judgements: One per frame, in order.
        copies: How often each frame's pixels were copied before the model read them.
        inference_ms: Of the whole batch, with gathering.
        judging_ms: Decoding and judging of the whole batch.
    """

    judgements: list[Judgement]
    copies: int
    inference_ms: float
    judging_ms: float


class Examiner:
    """A model and a recipe at work. One owner, the inspector's loop."""

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

    def examine(self, leases: Sequence[FrameLease]) -> Examination:
        """Judge a batch. Whatever fails on the way makes its frames UNKNOWN/`model_error`, told in `detail`."""
        start_ns = time.monotonic_ns()
        copies = 0
        try:
            batch = self._gatherer.gather(leases)
            copies = batch.copies
            outputs = self._session.run(batch.pixels)
            decoding_ns = time.monotonic_ns()
            judgements = self._judge(leases, batch, outputs)
        except Exception as error:  # a model that fails must not take the process, and other frames, with it
            log.exception("batch of %d frames failed", len(leases))
            judgements = [_model_error(str(error))] * len(leases)
            decoding_ns = time.monotonic_ns()
        end_ns = time.monotonic_ns()
        return Examination(judgements, copies, (decoding_ns - start_ns) / NS_PER_MS, (end_ns - decoding_ns) / NS_PER_MS)

    def _judge(self, leases: Sequence[FrameLease], batch: Batch, outputs: list[NDArray[np.float32]]) -> list[Judgement]:
        detections = self._decoder.decode(
            outputs,
            batch.placements,
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


def _model_error(detail: str) -> Judgement:
    return Judgement(VerdictWord.UNKNOWN, Reason.MODEL_ERROR, detail)
