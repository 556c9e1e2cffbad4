"""The publisher process: keeps the ledger, watches the deadlines, speaks on the verdict lane.

Small and quick on purpose: no image, no journal; one thread, one loop, nothing that waits for a disk. What the
recorder needs is appended to the spool after the verdict has gone out.
"""

import contextlib
import functools
import gc
import json
import logging
import selectors
import time
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from appliance import seqpacket
from appliance.clock import NS_PER_S
from appliance.config import ApplianceConfig
from appliance.delivery.control_desk import ControlDesk
from appliance.delivery.inspection import Inspection
from appliance.delivery.ledger import Ledger, Verdict
from appliance.delivery.line_report import LineReport
from appliance.delivery.line_rules import LineRules
from appliance.delivery.line_state import LineState
from appliance.delivery.model_desk import ModelDesk, ModelEvent
from appliance.delivery.notes import NoteFile
from appliance.delivery.peer import Peer
from appliance.delivery.plan_talk import PlanTalk
from appliance.delivery.recipes import RecipeBook, load_recipes
from appliance.delivery.speaker import Speaker
from appliance.messages import Finding, ModelRef, Reason, TriggerFlag
from appliance.messages.plan import decode_report, is_report
from appliance.stage import Stage
from appliance.tally import SpoolWriter, ledger_epoch
from appliance.wire.control_lane import ControlServer
from appliance.wire.keys import KeyStore
from appliance.wire.publisher_link import publisher_socket
from appliance.wire.verdict_lane import VerdictPublisher

log = logging.getLogger(__name__)

POLL_S = 0.02
"""Longest sleep: a wake-up that was lost costs so much, no more."""
_REQUESTS_A_STEP = 16
STOPPING_FLUSH_S = 1.0
"""How long a stopping publisher waits for peers to hang up before it gives what is open UNKNOWN."""


def run_publisher(config: ApplianceConfig, stage: Stage) -> None:
    """Run until the stage is stopped.

    Raises:
        ConfigError: The recipe can't be used.
        PublishError: The endpoint can't be bound.
        TallyError: Ledger files can't be used.
    """
    publisher = Publisher(config)
    try:
        stage.install_signal_handlers()
        gc.freeze()  # what lives now lives for ever: later collections stay short
        stage.ready()
        while not stage.is_stopping:
            publisher.step(POLL_S)
            stage.beat(publisher.status)
        publisher.finish(STOPPING_FLUSH_S)
    finally:
        publisher.close()
        stage.stopped()


class Publisher:
    """Ledger, sockets and clock in one loop; `step` is one iteration."""

    def __init__(self, config: ApplianceConfig) -> None:
        shelf = load_recipes(config)
        self._cameras = [camera.name for camera in config.cameras]
        self._is_simulated = all(camera.replayed_folder is not None for camera in config.cameras)
        keys = KeyStore(config.effective_keys_dir)
        self._open = contextlib.ExitStack()
        with contextlib.ExitStack() as opened:
            self._lane = VerdictPublisher(config.delivery.verdict_endpoint, keys)
            opened.callback(self._lane.close)
            self._control = ControlServer(config.delivery.control_endpoint, keys)
            opened.callback(self._control.close)
            notes = NoteFile(config.runtime_dir, ledger_epoch(config.state_dir))
            opened.callback(notes.close)
            self._rules = LineRules(
                notes,
                RecipeBook(shelf),
                count_camera=self._cameras[0],
                count_tolerance_ms=config.delivery.count_tolerance_ms,
            )
            self._ledger = Ledger(config.runtime_dir, config.state_dir, self._cameras, self._rules)
            opened.callback(self._ledger.close)
            self._spool = SpoolWriter(config.runtime_dir, config.delivery.spool_max_mb << 20)
            opened.callback(self._spool.close)
            self._speaker = Speaker(config, self._ledger.epoch, self._lane, self._spool)
            self._models = ModelDesk(config.state_dir, self._rules, self._keep_event)
            opened.callback(self._models.close)
            self._socket_path = publisher_socket(config.runtime_dir)
            self._server = seqpacket.listen(self._socket_path)
            opened.callback(self._leave_socket)
            self._open = opened.pop_all()
        self._line = LineState()
        self._report = LineReport(
            config, self._lane, ledger=self._ledger, rules=self._rules, line=self._line, speaker=self._speaker
        )
        self._desk = ControlDesk(self._ledger, self._rules, self._line, self._models, self._report.message)
        self._talk = PlanTalk(self._rules, self._desk, self._models)
        self._selector = selectors.DefaultSelector()
        for each in (self._server, self._control, self._lane):
            self._selector.register(each, selectors.EVENT_READ)
        self._peers: dict[int, Peer] = {}
        self._take_over()

    def _take_over(self) -> None:
        """Go on where a predecessor stopped; the tally files are ours now, so the notes are too."""
        self._rules.compact()
        self._models.take_over(time.monotonic_ns())
        last = self._ledger.last_trigger(self._rules.count_camera)
        if last is not None:
            self._rules.count.see(last.trigger_id, last.exposed_ns)
        self._ledger.take_announced()
        self._desk.drop_passed()
        self._rules.compact()
        self._line.stop_requested = self._rules.stop_requested
        self._look_around()

    def step(self, timeout_s: float) -> None:
        """Wait for a message or the next deadline, take everything in, decide and send what is due."""
        findings: list[Finding] = []
        gone: list[Peer] = []
        has_requests, has_subscriptions = self._control.is_waiting, self._lane.is_waiting
        sleep_s = 0.0 if has_requests or has_subscriptions else self._sleep_s(timeout_s)
        for key, _ in self._selector.select(sleep_s):
            if key.fd in self._peers:
                self._listen_to(self._peers[key.fd], findings, gone)
            elif key.fileobj is self._server:
                self._accept()
            else:
                has_requests |= key.fileobj is self._control
                has_subscriptions |= key.fileobj is self._lane
        # A finding may arrive before we have read its trigger: files first.
        seen = self._rules.triggers_seen
        self._ledger.take_announced()
        if self._rules.triggers_seen != seen:
            self._line.trigger_seen()
        late = [finding for finding in findings if not self._ledger.answer(finding)]
        self._speak()
        for peer in gone:
            self._hang_up(peer)
        for finding in late:
            self._keep_late(finding)
        self._wake_recorder()
        self._attend_to_the_line(time.monotonic_ns(), has_requests=has_requests)
        if has_subscriptions:
            self._lane.take_subscriptions()

    def _sleep_s(self, longest_s: float) -> float:
        deadline_ns = self._ledger.next_deadline_ns()
        if deadline_ns is None:
            return longest_s
        return min(longest_s, max(deadline_ns - time.monotonic_ns(), 0) / NS_PER_S)

    def finish(self, timeout_s: float) -> None:
        """Let peers that are stopping deliver what they have, then give everything open its verdict."""
        self._line.hindrances.is_stopping = True
        end_ns = time.monotonic_ns() + int(timeout_s * NS_PER_S)
        while (
            any(peer.role != "recorder" for peer in self._peers.values())
            and self._ledger.has_open
            and time.monotonic_ns() < end_ns
        ):
            self.step(POLL_S)
        self._ledger.take_announced()
        self._decide_open(Reason.NOT_READY)
        self._wake_recorder()

    def status(self) -> dict[str, Any]:
        """Describe the publisher for the status file."""
        now_ns = time.monotonic_ns()
        line, current = self._line.status(), self._rules.recipes.current
        return {
            "epoch": self._ledger.epoch,
            "verdict_seq": self._ledger.verdict_seq,
            "endpoint": self._lane.bound_endpoint,
            "subscriptions": self._lane.subscriptions,
            "recipe": current.reference,
            "model": self._model_of(current.model),
            "models": self._models.status(),
            "late_findings": self._ledger.late_findings,
            "spool_refused": self._spool.refused,
            "line": {"ready": line.ready, "not_ready_because": line.not_ready_because, "error_id": line.error_id},
            "control": {"invalid": self._control.invalid, "answered": self._desk.answered},
            "peers": sorted(f"{peer.role}:{peer.camera}".rstrip(":") for peer in self._peers.values() if peer.role),
            "cameras": {
                camera: {
                    "latency_ms": meters.latency_ms.summary(),
                    "verdicts_per_s": meters.rate.per_second(now_ns),
                    "open": self._ledger.open_count(camera),
                    "unsent": meters.unsent,
                }
                for camera, meters in self._speaker.meters.items()
            },
        }

    def close(self) -> None:
        """Close sockets and files; remove the socket file."""
        self._selector.close()
        for peer in self._peers.values():
            peer.socket.close()
        self._open.close()

    def _leave_socket(self) -> None:
        self._server.close()
        self._socket_path.unlink(missing_ok=True)

    # -- peers

    def _accept(self) -> None:
        peer = seqpacket.accept(self._server)
        if peer is not None:
            self._peers[peer.fileno()] = Peer(peer)
            self._selector.register(peer, selectors.EVENT_READ)

    def _listen_to(self, peer: Peer, findings: list[Finding], gone: list[Peer]) -> None:
        try:
            for message in seqpacket.drain_messages(peer.socket):
                if peer.role is None:
                    self._introduce(peer, json.loads(message))
                elif peer.role == "inspector":
                    self._hear_inspector(peer, message, findings)
                elif amended := int.from_bytes(message, "little"):
                    self._ledger.take_announced()
                    self._ledger.amend(peer.camera, amended)
        except EOFError:
            gone.append(peer)
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            log.warning("%s %s hung up on: %s", peer.role or "peer", peer.camera, error)
            gone.append(peer)

    def _hear_inspector(self, peer: Peer, message: bytes, findings: list[Finding]) -> None:
        if is_report(message):
            peer.reports = decode_report(message)
            self._models.learn(peer.reports)
            self._look_around()
            return
        finding = Finding.decode(message)
        if finding.recipe_sha256 is None:  # it says nothing else than at its introduction
            finding = replace(finding, recipe_sha256=peer.recipe_sha256)
        findings.append(finding)
        self._models.heard(finding)

    def _introduce(self, peer: Peer, hello: dict[str, Any]) -> None:
        role = hello["role"]
        if role == "grabber":
            peer.camera = hello["camera"]
            self._ledger.reopen(peer.camera)
        elif role == "inspector":
            peer.introduce_inspector(hello, self._rules.recipes.shelf)
            self._models.learn(peer.reports)
        elif role != "recorder":
            raise ValueError(f"unknown role {role!r}")
        peer.role = role
        self._look_around()

    def _hang_up(self, peer: Peer) -> None:
        del self._peers[peer.socket.fileno()]
        self._selector.unregister(peer.socket)
        peer.socket.close()
        if peer.role == "grabber":
            self._ledger.orphan(peer.camera)
        elif peer.role == "inspector":
            self._decide_open(Reason.INSPECTOR_DOWN)
        self._look_around()

    @property
    def _inspector(self) -> Peer | None:
        """The inspector that came last."""
        return next((peer for peer in reversed(self._peers.values()) if peer.role == "inspector"), None)

    # -- verdicts

    def _speak(self) -> None:
        now_ns = time.monotonic_ns()
        due = self._ledger.due(now_ns)
        if due:
            self._decide(due, Reason.LATE if self._inspector is not None else Reason.INSPECTOR_DOWN)

    def _decide_open(self, silent_because: Reason) -> None:
        self._decide(self._ledger.open_inspections(), silent_because)

    def _decide(self, inspections: Iterable[Inspection], silent_because: Reason) -> None:
        for inspection in inspections:
            overruled_by = Reason.NOT_READY if self._rules.count.mismatch is not None else None
            verdict = self._ledger.decide(inspection, silent_because, time.monotonic_ns(), overruled_by=overruled_by)
            was_sent = self._speaker.say(verdict, self._model_behind(inspection))
            self._after(verdict, was_sent=was_sent)

    def _after(self, verdict: Verdict, *, was_sent: bool) -> None:
        """Tell the line's books of a verdict."""
        plan, announcement = verdict.inspection.plan, verdict.inspection.announcement
        if announcement is not None:
            self._rules.parts.settle(announcement)
        is_stopping = self._line.hindrances.is_stopping  # what we leave open then says nothing about parts
        asks_to_stop = self._line.result_given(
            verdict.verdict_seq,
            verdict.verdict,
            stop_after_rejects=0 if is_stopping else plan.stop_after_rejects,
            is_sent=was_sent,
        )
        if asks_to_stop:
            self._rules.stop_requested = True
            self._rules.note({"note": "stop"})
            log.error("%d rejects in a row: the line should stop, until line.release", self._line.rejects_in_a_row)

    # -- the line

    def _attend_to_the_line(self, now_ns: int, *, has_requests: bool) -> None:
        """Answer requests, compare counts, tell recipes and state: all that no verdict waits for."""
        for request in self._control.requests(_REQUESTS_A_STEP) if has_requests else ():
            reply = functools.partial(self._control.reply, request.peer)
            self._desk.handle(request.body, now_ns, reply, request.client)
        if self._rules.count.overdue(now_ns) is not None:
            self._desk.mismatch_found()
        self._talk.step(self._inspector, now_ns)
        self._look_around()
        if not self._ledger.has_open:
            self._line.nothing_open()
        self._line.hindrances.count_mismatch = self._rules.count.mismatch
        self._report.tell_when_due(now_ns)

    def _look_around(self) -> None:
        """See who is there, after somebody came, went or spoke of plans."""
        present = {peer.camera for peer in self._peers.values() if peer.role == "grabber"}
        inspector, current = self._inspector, self._rules.recipes.current
        hindrances = self._line.hindrances
        hindrances.is_inspector_missing = inspector is None
        hindrances.missing_cameras = [camera for camera in self._cameras if camera not in present]
        hindrances.unloaded_recipe = None if inspector is None or inspector.is_ready_for(current) else current.name
        hindrances.failed_model = self._models.hindrance

    def _model_behind(self, inspection: Inspection) -> dict[str, str] | None:
        """The model whose findings these are; of an unanswered part, the one that was asked."""
        found = inspection.model
        return found.reference if found is not None and found.sha256 else self._model_of(inspection.plan.model)

    def _model_of(self, ref: ModelRef | None) -> dict[str, str] | None:
        """Name and hash of a model, as far as an inspector has told."""
        identity = self._models.identity(ref)
        return identity.reference if identity is not None else None

    # -- the recorder

    def _keep_late(self, finding: Finding) -> None:
        trigger = self._ledger.reread(finding.camera, finding.trigger_id)
        self._speaker.keep_late(finding, is_simulated=trigger is not None and TriggerFlag.SIMULATED in trigger.flags)

    def _keep_event(self, event: ModelEvent) -> None:
        plan = self._rules.recipes.shelf.plans[event.recipe]
        old, new = self._model_of(event.old), self._model_of(event.new)
        self._speaker.keep_event(event, plan.reference, old=old, new=new, is_simulated=self._is_simulated)

    def _wake_recorder(self) -> None:
        """Say that the spool has grown; once for everything since the last call, and lost without harm."""
        if not self._speaker.has_spooled:
            return
        self._speaker.has_spooled = False
        for peer in self._peers.values():
            if peer.role == "recorder":
                with contextlib.suppress(ConnectionError):  # its end is read in the next step
                    seqpacket.send(peer.socket, b"\x01")
