"""The inspector process: frames of all cameras in, a finding for each one out.

In order of time: load recipe and model, warm up, connect; then take frames, check each one's evidence, batch, run,
judge, tell the publisher, give the frames back; at the end finish what is held. Every frame taken from a ring ends in
one way, counted: inspected, doubted, refused, given up (too late: the publisher has said so) or abandoned at the stop.
"""

import gc
import hashlib
import logging
import os
import select
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2

from appliance.clock import NS_PER_MS, NS_PER_S
from appliance.config import ApplianceConfig, Recipe, load_recipe
from appliance.inspection.batcher import Batcher, Waiting
from appliance.inspection.cost import BatchCost
from appliance.inspection.counters import CameraCounters, InspectionCounters
from appliance.inspection.evidence import EvidenceChecker
from appliance.inspection.examiner import Examination, Examiner
from appliance.inspection.feed import CameraFeed
from appliance.inspection.judge import Judgement, check_recipe
from appliance.inspection.session import DetectorSession
from appliance.messages import Finding, Reason, Trigger, VerdictWord
from appliance.modelling import ModelBundle, load_bundle
from appliance.ring import FrameLease
from appliance.stage import Stage
from appliance.wire.publisher_link import PublisherLink

log = logging.getLogger(__name__)

_HANDOFF_MARGIN_NS = NS_PER_MS  # from our send to the publisher's decision, on top of the publisher's own margin
_LONGEST_SLEEP_NS = 100 * NS_PER_MS  # how late a stop request or a new grabber may be noticed
_STOP_BUDGET_NS = NS_PER_S  # for finishing what is held; the rest is abandoned to the publisher's timer


@dataclass(frozen=True)
class HeldFrame:
    """A leased frame with good evidence, on its way to the model."""

    lease: FrameLease
    evidence_ms: float


def run_inspector(config: ApplianceConfig, stage: Stage) -> None:
    """Run the process until the stage is stopped.

    Raises:
        ConfigError: The recipe can't be used, or names a class that the model doesn't know.
        ModelError: The bundle can't be used, or the execution provider isn't live.
    """
    try:
        stage.install_signal_handlers()
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
        recipe = load_recipe(config.recipe)
        bundle = load_bundle(config.models_dir / recipe.model)
        check_recipe(recipe, bundle)
        session = DetectorSession(
            bundle,
            provider=config.inspector.execution_provider,
            threads=config.inspector.intra_op_num_threads,
            max_batch=config.inspector.max_batch,
        )
        self._stage = stage
        self._recipe = recipe
        self._session = session
        self._introduction = _introduction(config.recipe, recipe, bundle)
        names = [camera.name for camera in config.cameras]
        self._feeds = [CameraFeed(name, config.runtime_dir / f"ring.{name}.sock") for name in names]
        self._checkers = {name: EvidenceChecker(recipe.evidence) for name in names}
        self._counters = InspectionCounters({name: CameraCounters() for name in names})
        self._publisher = PublisherLink(config.runtime_dir)
        self._examiner = Examiner(bundle, session, recipe)
        send_margin_ms = min(config.delivery.send_margin_ms, recipe.deadline_ms / 2)  # as the publisher reckons
        self._time_to_answer_ns = round((recipe.deadline_ms - send_margin_ms) * NS_PER_MS)
        self._cost = BatchCost()
        self._batcher = Batcher[HeldFrame](
            max_batch=session.max_batch,
            max_wait_ns=round(config.inspector.max_wait_ms * NS_PER_MS),
            margin_ns=_HANDOFF_MARGIN_NS,
            cost=self._cost,
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
        given_ms = self._time_to_answer_ns / NS_PER_MS
        if given_ms < needed_ms:  # no error: the machine may be busy just now, and late parts are rejected anyway
            log.warning(
                "recipe %s: deadline_ms %g less the send margin leaves %.1f ms, but one inference takes %.1f ms with "
                "%d threads; parts will be late: raise deadline_ms, or use a faster model",
                self._recipe.name,
                self._recipe.deadline_ms,
                given_ms,
                needed_ms,
                self._session.threads,
            )

    # -- run

    def run(self) -> None:
        """Inspect until the stage is stopped."""
        while not self._stage.is_stopping:
            self._connect()
            self._await_frames()
            self._give_up_late_frames()
            self._inspect(self._batcher.take(time.monotonic_ns()))
            self._stage.beat(self.status)

    def _connect(self) -> None:
        self._publisher.connect({"role": "inspector", "pid": os.getpid(), **self._introduction})
        now_ns = time.monotonic_ns()
        for feed in self._feeds:
            feed.connect_when_due(now_ns)

    def _await_frames(self) -> None:
        """Sleep until a frame comes or a batch is due, and take what came."""
        due_ns = self._batcher.due_ns()
        sleep_ns = _LONGEST_SLEEP_NS if due_ns is None else due_ns - time.monotonic_ns()
        sleep_s = min(max(sleep_ns, 0), _LONGEST_SLEEP_NS) / NS_PER_S
        peers: list[PublisherLink | CameraFeed] = [self._publisher, *self._feeds]
        ready, _, _ = select.select([peer for peer in peers if peer.is_connected], [], [], sleep_s)
        for peer in ready:
            if isinstance(peer, PublisherLink):
                peer.poll()
            else:
                self._take_from(peer)

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
            doubt = self._checkers[camera].check(pixels, lease.geometry.pixel_format, trigger)
            checked_ns = time.monotonic_ns()
            evidence_ms = (checked_ns - start_ns) / NS_PER_MS
            self._counters.evidence_ms.add(evidence_ms)
            stage_ms = {"queue": (start_ns - trigger.received_ns) / NS_PER_MS, "evidence": evidence_ms}
            refusal = self._examiner.refusal(lease)
            if doubt is not None:
                counters.doubts[doubt.check] += 1
                self._answer(camera, trigger, Judgement(VerdictWord.UNKNOWN, doubt.reason, doubt.detail), stage_ms)
            elif refusal is not None:
                counters.refused += 1
                self._answer(camera, trigger, refusal, stage_ms)
            else:
                address = pixels.__array_interface__["data"][0]
                deadline_ns = trigger.exposed_ns + self._time_to_answer_ns
                frame = HeldFrame(lease, evidence_ms)
                self._batcher.add(Waiting(camera, frame, checked_ns, deadline_ns, address, pixels.nbytes))
                is_held = True
        finally:
            if not is_held:
                lease.release()

    def _give_up_late_frames(self) -> None:
        for waiting in self._batcher.give_up(time.monotonic_ns()):
            self._counters.cameras[waiting.camera].given_up += 1
            waiting.frame.lease.release()

    def _inspect(self, batch: Sequence[Waiting[HeldFrame]]) -> None:
        """Run a batch through the model, tell the findings, give the frames back whatever happens."""
        if not batch:
            return
        start_ns = time.monotonic_ns()
        try:
            examination = self._examiner.examine([waiting.frame.lease for waiting in batch])
            for waiting, judgement in zip(batch, examination.judgements, strict=True):
                stage_ms = _stage_ms(waiting.frame, start_ns, examination)
                self._answer(waiting.camera, waiting.frame.lease.trigger, judgement, stage_ms)
        finally:
            for waiting in batch:
                waiting.frame.lease.release()
        self._cost.learn(len(batch), time.monotonic_ns() - start_ns)
        self._count(batch, examination)

    def _answer(self, camera: str, trigger: Trigger, judgement: Judgement, stage_ms: dict[str, float]) -> None:
        # Without a finding (publisher away, socket full) its own timer decides UNKNOWN/late: nothing is kept for later.
        finding = Finding(
            camera=camera,
            trigger_id=trigger.trigger_id,
            verdict=judgement.verdict,
            reason=judgement.reason,
            detail=judgement.detail,
            defects=judgement.defects,
            region_px=(0, 0, trigger.width, trigger.height),
            stage_ms={name: round(took_ms, 3) for name, took_ms in stage_ms.items()},
        )
        self._publisher.send_finding(finding)

    def _count(self, batch: Sequence[Waiting[HeldFrame]], examination: Examination) -> None:
        self._counters.batches += 1
        self._counters.inference_ms.add(examination.inference_ms)
        self._counters.judging_ms.add(examination.judging_ms)
        for waiting, judgement in zip(batch, examination.judgements, strict=True):
            counters = self._counters.cameras[waiting.camera]
            counters.inspected += 1
            counters.copied += examination.copies
            counters.model_errors += judgement.reason is Reason.MODEL_ERROR

    # -- stop

    def finish(self) -> None:
        """Inspect what has been lent to us so far, as far as the time to stop allows."""
        for feed in self._feeds:
            self._take_from(feed)
        end_ns = time.monotonic_ns() + _STOP_BUDGET_NS
        while len(self._batcher) and time.monotonic_ns() + self._cost.cautious_ns(self._session.max_batch) < end_ns:
            self._give_up_late_frames()
            self._inspect(self._batcher.take(time.monotonic_ns(), is_stopping=True))

    def close(self) -> None:
        """Give back every frame and hang up."""
        for waiting in self._batcher.clear():
            self._counters.cameras[waiting.camera].abandoned += 1
            log.warning("camera %s: trigger %d abandoned", waiting.camera, waiting.frame.lease.trigger.trigger_id)
            waiting.frame.lease.release()
        for feed in self._feeds:
            feed.close()
        self._publisher.close()

    # -- status

    def status(self) -> dict[str, Any]:
        """Say what `appliance status` tells of the inspector."""
        told = self._counters.as_status()
        for feed in self._feeds:
            told["cameras"][feed.camera]["is_connected"] = feed.is_connected
        return {
            **self._introduction,
            "execution_provider": self._session.provider,
            "intra_op_num_threads": self._session.threads,
            "max_batch": self._session.max_batch,
            "is_publisher_connected": self._publisher.is_connected,
            "findings_unsent": self._publisher.unsent,
            "waiting": len(self._batcher),
            **told,
        }


def _stage_ms(frame: HeldFrame, start_ns: int, examination: Examination) -> dict[str, float]:
    """Milliseconds per stage; the queue is all the time between receipt and batch that no check used."""
    since_receipt_ms = (start_ns - frame.lease.trigger.received_ns) / NS_PER_MS
    return {
        "evidence": frame.evidence_ms,
        "queue": since_receipt_ms - frame.evidence_ms,
        "inference": examination.inference_ms,
        "judge": examination.judging_ms,
    }


def _introduction(recipe_path: Path, recipe: Recipe, bundle: ModelBundle) -> dict[str, Any]:
    """Which model and recipe speak: for the publisher's records and for status."""
    return {
        "model": {"name": bundle.name, "sha256": bundle.sha256},
        "recipe": {
            "name": recipe.name,
            "version": recipe.version,
            "sha256": hashlib.sha256(recipe_path.read_bytes()).hexdigest(),
        },
    }
