"""The inspector process: frames of all cameras in, a finding for each one out.

In order of time: load recipe and model, warm up, connect; then take frames, check each one's evidence, batch, run the
network in its own thread, judge, tell the publisher, give the frames back; at the end finish what is held. Every frame
taken from a ring ends in one way, counted: inspected, doubted, refused, unjudged (its model isn't there), given up (too
late: the publisher has said so) or abandoned at the stop.
"""

import gc
import logging
import os
import select
import sys
import time
from collections.abc import Sequence
from typing import Any

import cv2

from appliance.clock import NS_PER_MS, NS_PER_S
from appliance.config import ApplianceConfig
from appliance.inspection.batcher import Waiting
from appliance.inspection.counters import CameraCounters, InspectionCounters
from appliance.inspection.evidence import Doubt, EvidenceChecker
from appliance.inspection.examiner import Inference, Question
from appliance.inspection.inference_thread import DEPTH, InferenceThread
from appliance.inspection.judge import Judgement
from appliance.inspection.plans import Assignment, PlanSet
from appliance.inspection.running_model import HANDOFF_MARGIN_NS, HeldBatch, HeldFrame, RunningModel, Task
from appliance.messages import Finding, FrameEvidence, ModelIdentity, Reason, VerdictWord
from appliance.messages.plan import decode_plans
from appliance.ring import CameraFeed, FrameLease, ReaderRole
from appliance.stage import Stage
from appliance.wire.publisher_link import PublisherLink

log = logging.getLogger(__name__)

_LONGEST_SLEEP_NS = 100 * NS_PER_MS  # how late a stop request or a new grabber may be noticed
_SWITCH_INTERVAL_S = 0.0005  # Python's 5 ms would let the session's thread wait for the loop's that long
_STOP_BUDGET_NS = NS_PER_S  # for finishing what is held; the rest is abandoned to the publisher's timer


Job = tuple[RunningModel, HeldBatch]


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
        """Load recipes and the model in use; nothing is connected yet."""
        self._stage = stage
        self._settings = config.inspector
        self._plans = PlanSet(config)
        names = [camera.name for camera in config.cameras]
        self._feeds = [
            CameraFeed(name, config.runtime_dir / f"ring.{name}.sock", ReaderRole.INSPECTOR) for name in names
        ]
        self._checkers = {name: EvidenceChecker(self._plans.main.recipe.evidence) for name in names}
        self._counters = InspectionCounters({name: CameraCounters() for name in names})
        self._publisher = PublisherLink(config.runtime_dir)
        self._session_thread = InferenceThread[Job, Inference](
            lambda job: job[0].examiner.infer(
                [waiting.frame.lease for waiting in job[1]], [waiting.frame.tilings for waiting in job[1]]
            )
        )

    # -- start

    def start(self) -> None:
        """Look for publisher and grabbers, say that work begins."""
        self._warn_of_short_deadline()
        self._connect()
        self._stage.ready()

    def _warn_of_short_deadline(self) -> None:
        first = self._plans.first
        assert first.model is not None, "without a model there is no start"
        needed_ms = (first.model.cost.mean_ns(1) + HANDOFF_MARGIN_NS) / NS_PER_MS
        given_ms = first.recipe.time_to_answer_ns / NS_PER_MS
        if given_ms < needed_ms:  # no error: the machine may be busy just now, and late parts are rejected anyway
            log.warning(
                "recipe %s: deadline_ms %g less the send margin leaves %.1f ms, but one inference takes %.1f ms with "
                "%d threads; parts will be late: raise deadline_ms, or use a faster model",
                first.recipe.recipe.name,
                first.recipe.recipe.deadline_ms,
                given_ms,
                needed_ms,
                first.model.detector.session.threads,
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
        for (model, _), _ in finished:
            model.running -= 1
        self._give_up_late_frames()
        self._start_batches()
        for (model, batch), inference in finished:
            self._answer_batch(model, batch, inference)
        self._plans.drop_idle()

    def _connect(self) -> None:
        if not self._publisher.is_connected:
            self._publisher.connect({"pid": os.getpid(), **self._plans.introduction()})
        now_ns = time.monotonic_ns()
        for feed in self._feeds:
            feed.connect_when_due(now_ns)

    def _await_work(self) -> None:
        """Sleep until frames come, a batch is done, or the next one is due; take the frames."""
        due = [due_ns for model in self._plans.models() if (due_ns := model.batcher.due_ns()) is not None]
        sleep_ns = min(due) - time.monotonic_ns() if due and self._has_room() else _LONGEST_SLEEP_NS
        sleep_s = min(max(sleep_ns, 0), _LONGEST_SLEEP_NS) / NS_PER_S
        peers: list[PublisherLink | CameraFeed] = [self._publisher, *self._feeds]
        peers = [peer for peer in peers if peer.is_connected]
        ready, _, _ = select.select([self._session_thread, self._plans, *peers], [], [], sleep_s)
        if self._publisher in ready:
            self._listen_to_publisher()
        if self._plans in ready and self._plans.collect():
            self._publisher.report_plans(self._plans.report())
        for feed in self._feeds:
            if feed in ready:
                self._take_from(feed)

    def _listen_to_publisher(self) -> None:
        """Change plans before the next frame is looked at; then say so."""
        for message in self._publisher.poll():
            self._plans.want(decode_plans(message))
            self._publisher.report_plans(self._plans.report())

    def _has_room(self) -> bool:
        """Whether the session can take a batch now: it is idle, or a full one may wait right behind the running one."""
        running = len(self._session_thread)
        if running == 0:
            return True
        full = (len(model.batcher) >= model.detector.session.max_batch for model in self._plans.models())
        return running < DEPTH and any(full)

    def _start_batches(self) -> None:
        """Give the session what is due, of the model that waits most urgently; its batches never mix models."""
        while self._has_room():
            now_ns = time.monotonic_ns()
            due = [(due_ns, model) for model in self._plans.models() if (due_ns := model.batcher.due_ns()) is not None]
            model = min(due, key=lambda one: one[0])[1] if due else None
            batch = model.batcher.take(now_ns, is_stopping=self._stage.is_stopping) if model is not None else []
            if model is None or not batch:
                return
            model.running += 1
            self._session_thread.submit((model, batch))

    def _take_from(self, feed: CameraFeed) -> None:
        leases = feed.receive()
        if leases and self._publisher.is_connected:
            self._listen_to_publisher()  # a change was told before any frame was exposed that it concerns
        for lease in leases:
            self._admit(feed.camera, lease)

    def _admit(self, camera: str, lease: FrameLease) -> None:
        """Let a frame wait for its model, or answer it at once when it can't be judged."""
        counters = self._counters.cameras[camera]
        counters.frames += 1
        frame = HeldFrame(lease, evidence_ms=0.0)  # ours until every model that is asked has its share
        start_ns = time.monotonic_ns()
        try:
            pixels, trigger = lease.pixels, lease.trigger
            assignments = self._plans.assignments(trigger.exposed_ns)
            limits = [one.recipe.recipe.evidence for one in assignments]
            measured, doubts = self._checkers[camera].check_all(pixels, lease.geometry.pixel_format, trigger, limits)
            frame.evidence = FrameEvidence(
                round(measured.mean_grey, 2), round(measured.saturated_fraction, 4), round(measured.sharpness, 3)
            )
            frame.evidence_ms = (time.monotonic_ns() - start_ns) / NS_PER_MS
            self._counters.evidence_ms.add(frame.evidence_ms)
            asked = self._questions(camera, frame, start_ns, list(zip(assignments, doubts, strict=True)))
            if not asked and any(doubts):
                counters.doubts[next(doubt.check for doubt in doubts if doubt is not None)] += 1
            elif not asked:
                counters.unjudged += 1
            for model, questions in asked.items():
                self._hand_over(camera, frame, model, tuple(questions), start_ns)
        finally:
            frame.done()

    def _questions(
        self, camera: str, frame: HeldFrame, start_ns: int, assigned: Sequence[tuple[Assignment, Doubt | None]]
    ) -> dict[RunningModel, list[Question]]:
        """What a frame is to be judged for, by model; answers at once where evidence or the model is missing."""
        asked: dict[RunningModel, list[Question]] = {}
        for assignment, doubt in assigned:
            recipe = assignment.recipe
            questions = [Question(recipe, view, region) for view, region in recipe.views(camera)]
            if doubt is None and assignment.model is not None:
                asked.setdefault(assignment.model, []).extend(questions)
                continue
            unknown = Judgement(VerdictWord.UNKNOWN, Reason.NOT_READY, assignment.trouble)
            if doubt is not None:
                unknown = Judgement(VerdictWord.UNKNOWN, doubt.reason, doubt.detail)
            for question in questions:
                stage_ms = _first_ms(frame, start_ns)
                self._answer(camera, frame, question, unknown, stage_ms=stage_ms, model=assignment.identity)
        return asked

    def _hand_over(
        self, camera: str, frame: HeldFrame, model: RunningModel, questions: tuple[Question, ...], start_ns: int
    ) -> None:
        """Let a frame wait for a model; one of a shape that it can't take is answered at once."""
        lease, trigger = frame.lease, frame.lease.trigger
        task = Task(frame, questions)
        refusal = model.examiner.refusal(lease, task.tilings)
        if refusal is not None:
            self._counters.cameras[camera].refused += 1
            for question in questions:
                stage_ms = _first_ms(frame, start_ns)
                self._answer(camera, frame, question, refusal, stage_ms=stage_ms, model=model.identity)
            return
        address, size_bytes = lease.pixels.__array_interface__["data"][0], lease.pixels.nbytes
        deadline_ns = trigger.exposed_ns + max(question.recipe.time_to_answer_ns for question in questions)
        frame.shares += 1
        model.batcher.add(Waiting(camera, task, time.monotonic_ns(), deadline_ns, address, size_bytes))

    def _give_up_late_frames(self) -> None:
        for model in self._plans.models():
            for waiting in model.batcher.give_up(time.monotonic_ns()):
                self._counters.cameras[waiting.camera].given_up += 1
                waiting.frame.frame.done()

    def _answer_batch(self, model: RunningModel, batch: HeldBatch, inference: Inference) -> None:
        """Judge a batch, tell the findings, give the frames back whatever happens."""
        judging_ns = time.monotonic_ns()
        try:
            questions = [waiting.frame.questions for waiting in batch]
            judgements = model.examiner.judge([waiting.frame.lease for waiting in batch], inference, questions)
            judging_ms = (time.monotonic_ns() - judging_ns) / NS_PER_MS
            self._count(batch, judgements, inference, judging_ms)  # before anybody can hear of it
            for waiting, answers in zip(batch, judgements, strict=True):
                task = waiting.frame
                stage_ms = _stage_ms(task.frame, inference, judging_ms)
                for question, judgement in zip(task.questions, answers, strict=True):
                    self._answer(
                        waiting.camera, task.frame, question, judgement, stage_ms=stage_ms, model=model.identity
                    )
        finally:
            for waiting in batch:
                waiting.frame.frame.done()
        model.cost.learn(len(batch), time.monotonic_ns() - inference.start_ns)

    def _answer(
        self,
        camera: str,
        frame: HeldFrame,
        question: Question,
        judgement: Judgement,
        *,
        stage_ms: dict[str, float],
        model: ModelIdentity,
    ) -> None:
        trigger = frame.lease.trigger
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
            model=model,
            evidence=frame.evidence,
        )
        self._publisher.send_finding(finding)

    def _count(
        self, batch: HeldBatch, judgements: Sequence[Sequence[Judgement]], inference: Inference, judging_ms: float
    ) -> None:
        self._counters.batches += 1
        self._counters.inference_ms.add(inference.took_ms)
        self._counters.judging_ms.add(judging_ms)
        for waiting, answers in zip(batch, judgements, strict=True):
            counters, frame = self._counters.cameras[waiting.camera], waiting.frame.frame
            counters.model_errors += answers[0].reason is Reason.MODEL_ERROR
            if not frame.is_counted:
                frame.is_counted = True
                counters.inspected += 1
                counters.copied += inference.copies

    # -- stop

    def finish(self) -> None:
        """Inspect what has been lent to us so far, as far as the time to stop allows."""
        for feed in self._feeds:
            self._take_from(feed)
        end_ns = time.monotonic_ns() + _STOP_BUDGET_NS
        self._step()
        while (self._waiting or len(self._session_thread)) and time.monotonic_ns() < end_ns:
            select.select([self._session_thread], [], [], _LONGEST_SLEEP_NS / NS_PER_S)
            self._step()

    def close(self) -> None:
        """Give back every frame and hang up."""
        unanswered = [waiting for _, batch in self._session_thread.close() for waiting in batch]
        for model in self._plans.models():
            unanswered += model.batcher.clear()
        for waiting in unanswered:
            self._counters.cameras[waiting.camera].abandoned += 1
            log.warning("camera %s: trigger %d abandoned", waiting.camera, waiting.frame.lease.trigger.trigger_id)
            waiting.frame.frame.done()
        for feed in self._feeds:
            feed.close()
        self._publisher.close()
        self._plans.close()

    @property
    def _waiting(self) -> int:
        """Frames that wait for a model."""
        return sum(len(model.batcher) for model in self._plans.models())

    # -- status

    def status(self) -> dict[str, Any]:
        """Say what `appliance status` tells of the inspector."""
        told = self._counters.as_status()
        for feed in self._feeds:
            told["cameras"][feed.camera]["is_connected"] = feed.is_connected
        first = self._plans.first
        session = first.model.detector.session if first.model is not None else None
        return {
            "model": first.identity.reference,
            "models_loaded": [model.identity.reference for model in self._plans.models()],
            "recipe": first.recipe.reference,
            "execution_provider": self._settings.execution_provider,
            "intra_op_num_threads": session.threads if session is not None else None,
            "max_batch": self._settings.max_batch,
            "is_publisher_connected": self._publisher.is_connected,
            "findings_unsent": self._publisher.unsent,
            "waiting": self._waiting,
            **told,
        }


def _first_ms(frame: HeldFrame, start_ns: int) -> dict[str, float]:
    """Milliseconds per stage of a frame that no model sees."""
    return {"queue": (start_ns - frame.lease.trigger.received_ns) / NS_PER_MS, "evidence": frame.evidence_ms}


def _stage_ms(frame: HeldFrame, inference: Inference, judging_ms: float) -> dict[str, float]:
    """Milliseconds per stage; the queue is all the time between receipt and inference that no check used."""
    since_receipt_ms = (inference.start_ns - frame.lease.trigger.received_ns) / NS_PER_MS
    return {
        "evidence": frame.evidence_ms,
        "queue": since_receipt_ms - frame.evidence_ms,
        "inference": inference.took_ms,
        "judge": judging_ms,
    }
