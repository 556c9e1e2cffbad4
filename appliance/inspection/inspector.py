"""The inspector process: frames of all cameras in, a finding for each one out.

In order of time: load recipe and model, warm up, connect; then take frames, check each one's evidence, batch, run the
network in its own thread, judge, tell the publisher, give the frames back; at the end finish what is held. Every frame
taken from a ring ends in one way, counted: inspected, doubted, refused, given up (too late: the publisher has said so)
or abandoned at the stop.
"""

import gc
import logging
import os
import select
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import cv2

from appliance.clock import NS_PER_MS, NS_PER_S
from appliance.config import ApplianceConfig, load_recipe
from appliance.inspection.batcher import Batcher, Waiting
from appliance.inspection.cost import BatchCost
from appliance.inspection.counters import CameraCounters, InspectionCounters
from appliance.inspection.evidence import Doubt, EvidenceChecker
from appliance.inspection.examiner import Examiner, Inference, Question
from appliance.inspection.inference_thread import DEPTH, InferenceThread
from appliance.inspection.judge import Judgement
from appliance.inspection.recipes import RecipeSet
from appliance.messages import Finding, Reason, Trigger, VerdictWord
from appliance.modelling import load_bundle
from appliance.modelling.session import ModelSession
from appliance.ring import CameraFeed, FrameLease, ReaderRole
from appliance.stage import Stage
from appliance.wire.publisher_link import PublisherLink, decode_recipes

log = logging.getLogger(__name__)

_HANDOFF_MARGIN_NS = NS_PER_MS  # from our send to the publisher's decision, on top of the publisher's own margin
_LONGEST_SLEEP_NS = 100 * NS_PER_MS  # how late a stop request or a new grabber may be noticed
_SWITCH_INTERVAL_S = 0.0005  # Python's 5 ms would let the session's thread wait for the loop's that long
_STOP_BUDGET_NS = NS_PER_S  # for finishing what is held; the rest is abandoned to the publisher's timer


@dataclass(frozen=True)
class HeldFrame:
    """A leased frame with good evidence, on its way to the model; `questions` are what it will be judged for."""

    lease: FrameLease
    evidence_ms: float
    questions: tuple[Question, ...]


HeldBatch = list[Waiting[HeldFrame]]


def run_inspector(config: ApplianceConfig, stage: Stage) -> None:
    """Run the process until the stage is stopped.

    Raises:
        ConfigError: The recipe can't be used, or names a class that the model doesn't know.
        ModelError: The bundle can't be used, or the execution provider isn't live.
    """
    try:
        stage.install_signal_handlers()
        sys.setswitchinterval(_SWITCH_INTERVAL_S)
        cv2.setNumThreads(1)  # small images: OpenCV's own pool would only compete with ONNX Runtime's
        inspector = Inspector(config, stage)
        try:
            inspector.start()
            gc.collect()
            gc.freeze()  # what start-up made stays: later collections need not walk it
            inspector.run()
            inspector.finish()
        finally:
            inspector.close()
    finally:
        stage.stopped()


class Inspector:
    """The process's state and its loop."""

    def __init__(self, config: ApplianceConfig, stage: Stage) -> None:
        """Load recipe and model; nothing is connected yet."""
        bundle = load_bundle(config.models_dir / load_recipe(config.recipe).model)
        recipes = RecipeSet(config, bundle)
        session = ModelSession(
            bundle,
            provider=config.inspector.execution_provider,
            threads=config.inspector.intra_op_num_threads,
            max_batch=config.inspector.max_batch,
        )
        self._stage = stage
        self._recipes = recipes
        self._session = session
        self._model = {"name": bundle.name, "sha256": bundle.sha256}
        names = [camera.name for camera in config.cameras]
        self._feeds = [
            CameraFeed(name, config.runtime_dir / f"ring.{name}.sock", ReaderRole.INSPECTOR) for name in names
        ]
        self._checkers = {name: EvidenceChecker(recipes.main.recipe.evidence) for name in names}
        self._counters = InspectionCounters({name: CameraCounters() for name in names})
        self._publisher = PublisherLink(config.runtime_dir)
        self._examiner = Examiner(bundle, session)
        self._cost = BatchCost()
        self._batcher = Batcher[HeldFrame](
            max_batch=session.max_batch,
            max_wait_ns=round(config.inspector.max_wait_ms * NS_PER_MS),
            margin_ns=_HANDOFF_MARGIN_NS,
            cost=self._cost,
        )
        self._session_thread = InferenceThread[HeldBatch, Inference](
            lambda batch: self._examiner.infer([waiting.frame.lease for waiting in batch])
        )

    # -- start

    def start(self) -> None:
        """Warm the model up, look for publisher and grabbers, say that work begins."""
        for size, took_ns in self._session.warm_up():
            self._cost.learn(size, took_ns)
        self._warn_of_short_deadline()
        self._connect()
        self._stage.ready()

    def _warn_of_short_deadline(self) -> None:
        needed_ms = (self._cost.mean_ns(1) + _HANDOFF_MARGIN_NS) / NS_PER_MS
        main = self._recipes.main
        given_ms = main.time_to_answer_ns / NS_PER_MS
        if given_ms < needed_ms:  # no error: the machine may be busy just now, and late parts are rejected anyway
            log.warning(
                "recipe %s: deadline_ms %g less the send margin leaves %.1f ms, but one inference takes %.1f ms with "
                "%d threads; parts will be late: raise deadline_ms, or use a faster model",
                main.recipe.name,
                main.recipe.deadline_ms,
                given_ms,
                needed_ms,
                self._session.threads,
            )

    # -- run

    def run(self) -> None:
        """Inspect until the stage is stopped."""
        while not self._stage.is_stopping:
            self._connect()
            self._await_work()
            self._step()
            self._stage.beat(self.status)

    def _step(self) -> None:
        """Give the session its next batch before judging its last one: it must not wait for us."""
        finished = self._session_thread.collect()
        self._give_up_late_frames()
        self._start_batches()
        for batch, inference in finished:
            self._answer_batch(batch, inference)

    def _connect(self) -> None:
        if not self._publisher.is_connected:
            in_use = {"in_use": self._recipes.in_use_sha256s}
            self._publisher.connect({"role": "inspector", "pid": os.getpid(), **self._introduction(), **in_use})
        now_ns = time.monotonic_ns()
        for feed in self._feeds:
            feed.connect_when_due(now_ns)

    def _await_work(self) -> None:
        """Sleep until frames come, a batch is done, or the next one is due; take the frames."""
        due_ns = self._batcher.due_ns() if self._has_room() else None
        sleep_ns = _LONGEST_SLEEP_NS if due_ns is None else due_ns - time.monotonic_ns()
        sleep_s = min(max(sleep_ns, 0), _LONGEST_SLEEP_NS) / NS_PER_S
        peers: list[PublisherLink | CameraFeed] = [self._publisher, *self._feeds]
        peers = [peer for peer in peers if peer.is_connected]
        ready, _, _ = select.select([self._session_thread, *peers], [], [], sleep_s)
        if self._publisher in ready:
            self._listen_to_publisher()
        for feed in self._feeds:
            if feed in ready:
                self._take_from(feed)

    def _listen_to_publisher(self) -> None:
        """Change recipes before the next frame is taken; then say so."""
        for message in self._publisher.poll():
            in_use = self._recipes.use(decode_recipes(message))
            for checker in self._checkers.values():
                checker.hold_against(*(one.recipe.evidence for one in self._recipes.in_use))
            self._publisher.acknowledge_recipes(in_use)

    def _has_room(self) -> bool:
        """Whether the session can take a batch now: it is idle, or a full one may wait right behind the running one."""
        running = len(self._session_thread)
        return running == 0 or (running < DEPTH and len(self._batcher) >= self._session.max_batch)

    def _start_batches(self) -> None:
        while self._has_room():
            batch = self._batcher.take(time.monotonic_ns(), is_stopping=self._stage.is_stopping)
            if not batch:
                return
            self._session_thread.submit(batch)

    def _take_from(self, feed: CameraFeed) -> None:
        for lease in feed.receive():
            self._admit(feed.camera, lease)

    def _admit(self, camera: str, lease: FrameLease) -> None:
        """Let a frame wait for the model, or answer it at once when it can't be judged."""
        counters = self._counters.cameras[camera]
        counters.frames += 1
        is_held = False
        start_ns = time.monotonic_ns()
        try:
            pixels, trigger = lease.pixels, lease.trigger
            doubts = self._checkers[camera].check_all(pixels, lease.geometry.pixel_format, trigger)
            checked_ns = time.monotonic_ns()
            evidence_ms = (checked_ns - start_ns) / NS_PER_MS
            self._counters.evidence_ms.add(evidence_ms)
            stage_ms = {"queue": (start_ns - trigger.received_ns) / NS_PER_MS, "evidence": evidence_ms}
            questions = self._questions(camera, trigger, doubts, stage_ms)
            refusal = self._examiner.refusal(lease) if questions else None
            if not questions:
                counters.doubts[next(doubt.check for doubt in doubts if doubt is not None)] += 1
            elif refusal is not None:
                counters.refused += 1
                for question in questions:
                    self._answer(camera, trigger, question, refusal, stage_ms)
            else:
                address = pixels.__array_interface__["data"][0]
                deadline_ns = trigger.exposed_ns + self._recipes.time_to_answer_ns
                frame = HeldFrame(lease, evidence_ms, questions)
                self._batcher.add(Waiting(camera, frame, checked_ns, deadline_ns, address, pixels.nbytes))
                is_held = True
        finally:
            if not is_held:
                lease.release()

    def _questions(
        self, camera: str, trigger: Trigger, doubts: Sequence[Doubt | None], stage_ms: dict[str, float]
    ) -> tuple[Question, ...]:
        """What a frame is to be judged for, by each recipe that has no doubt of it; answers for those that have."""
        questions: list[Question] = []
        for recipe, doubt in zip(self._recipes.in_use, doubts, strict=True):
            asked = [Question(recipe, view, region) for view, region in recipe.views(camera)]
            if doubt is None:
                questions += asked
                continue
            unknown = Judgement(VerdictWord.UNKNOWN, doubt.reason, doubt.detail)
            for question in asked:
                self._answer(camera, trigger, question, unknown, stage_ms)
        return tuple(questions)

    def _give_up_late_frames(self) -> None:
        for waiting in self._batcher.give_up(time.monotonic_ns()):
            self._counters.cameras[waiting.camera].given_up += 1
            waiting.frame.lease.release()

    def _answer_batch(self, batch: HeldBatch, inference: Inference) -> None:
        """Judge a batch, tell the findings, give the frames back whatever happens."""
        judging_ns = time.monotonic_ns()
        try:
            questions = [waiting.frame.questions for waiting in batch]
            judgements = self._examiner.judge([waiting.frame.lease for waiting in batch], inference, questions)
            judging_ms = (time.monotonic_ns() - judging_ns) / NS_PER_MS
            self._count(batch, judgements, inference, judging_ms)  # before anybody can hear of it
            for waiting, answers in zip(batch, judgements, strict=True):
                frame, trigger = waiting.frame, waiting.frame.lease.trigger
                stage_ms = _stage_ms(frame, inference, judging_ms)
                for question, judgement in zip(frame.questions, answers, strict=True):
                    self._answer(waiting.camera, trigger, question, judgement, stage_ms)
        finally:
            for waiting in batch:
                waiting.frame.lease.release()
        self._cost.learn(len(batch), time.monotonic_ns() - inference.start_ns)

    def _answer(
        self, camera: str, trigger: Trigger, question: Question, judgement: Judgement, stage_ms: dict[str, float]
    ) -> None:
        # Without a finding (publisher away, socket full) its own timer decides UNKNOWN/late: nothing is kept for later.
        finding = Finding(
            camera=camera,
            trigger_id=trigger.trigger_id,
            verdict=judgement.verdict,
            reason=judgement.reason,
            detail=judgement.detail,
            defects=judgement.defects,
            near_misses=judgement.near_misses,
            region_px=question.region or (0, 0, trigger.width, trigger.height),
            stage_ms={name: round(took_ms, 3) for name, took_ms in stage_ms.items()},
            view=question.view,
            recipe_sha256=question.recipe.sha256,
        )
        self._publisher.send_finding(finding)

    def _count(
        self, batch: HeldBatch, judgements: Sequence[Sequence[Judgement]], inference: Inference, judging_ms: float
    ) -> None:
        self._counters.batches += 1
        self._counters.inference_ms.add(inference.took_ms)
        self._counters.judging_ms.add(judging_ms)
        for waiting, answers in zip(batch, judgements, strict=True):
            counters = self._counters.cameras[waiting.camera]
            counters.inspected += 1
            counters.copied += inference.copies
            counters.model_errors += answers[0].reason is Reason.MODEL_ERROR

    # -- stop

    def finish(self) -> None:
        """Inspect what has been lent to us so far, as far as the time to stop allows."""
        for feed in self._feeds:
            self._take_from(feed)
        end_ns = time.monotonic_ns() + _STOP_BUDGET_NS
        self._step()
        while (len(self._batcher) or len(self._session_thread)) and time.monotonic_ns() < end_ns:
            select.select([self._session_thread], [], [], _LONGEST_SLEEP_NS / NS_PER_S)
            self._step()

    def close(self) -> None:
        """Give back every frame and hang up."""
        unanswered = [waiting for batch in self._session_thread.close() for waiting in batch]
        for waiting in unanswered + self._batcher.clear():
            self._counters.cameras[waiting.camera].abandoned += 1
            log.warning("camera %s: trigger %d abandoned", waiting.camera, waiting.frame.lease.trigger.trigger_id)
            waiting.frame.lease.release()
        for feed in self._feeds:
            feed.close()
        self._publisher.close()

    def _introduction(self) -> dict[str, Any]:
        """Which model and recipes speak: for the publisher's records."""
        return {"model": self._model, **self._recipes.introduction()}

    # -- status

    def status(self) -> dict[str, Any]:
        """Say what `appliance status` tells of the inspector."""
        told = self._counters.as_status()
        for feed in self._feeds:
            told["cameras"][feed.camera]["is_connected"] = feed.is_connected
        return {
            "model": self._model,
            "recipe": self._recipes.in_use[0].reference,
            "execution_provider": self._session.provider,
            "intra_op_num_threads": self._session.threads,
            "max_batch": self._session.max_batch,
            "is_publisher_connected": self._publisher.is_connected,
            "findings_unsent": self._publisher.unsent,
            "waiting": len(self._batcher),
            **told,
        }


def _stage_ms(frame: HeldFrame, inference: Inference, judging_ms: float) -> dict[str, float]:
    """Milliseconds per stage; the queue is all the time between receipt and inference that no check used."""
    since_receipt_ms = (inference.start_ns - frame.lease.trigger.received_ns) / NS_PER_MS
    return {
        "evidence": frame.evidence_ms,
        "queue": since_receipt_ms - frame.evidence_ms,
        "inference": inference.took_ms,
        "judge": judging_ms,
    }
