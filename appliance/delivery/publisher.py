"""The publisher process: keeps the ledger, watches the deadlines, speaks on the verdict lane.

Small and quick on purpose: no image, no journal; one thread, one loop, nothing that waits for a disk. What the
recorder needs is appended to the spool after the verdict has gone out.
"""

import contextlib
import gc
import json
import logging
import selectors
import socket
import time
from dataclasses import dataclass, field
from typing import Any

from appliance import seqpacket
from appliance.clock import NS_PER_MS, NS_PER_S, rfc3339
from appliance.config import ApplianceConfig, load_recipe, recipe_reference
from appliance.counters import LatencyWindow, RateMeter
from appliance.delivery.ledger import Ledger, Verdict
from appliance.messages import (
    Finding,
    Outcome,
    Reason,
    TriggerFlag,
    encode,
    inspection_record,
    late_finding_record,
    verdict_message,
    verdict_topic,
)
from appliance.stage import Stage
from appliance.tally import SpoolWriter
from appliance.wire.publisher_link import publisher_socket
from appliance.wire.verdict_lane import VerdictPublisher

log = logging.getLogger(__name__)

POLL_S = 0.02
"""Longest sleep: a wake-up that was lost costs so much, no more."""
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


@dataclass
class _Peer:
    socket: socket.socket
    role: str | None = None
    camera: str = ""


@dataclass
class _CameraMeters:
    latency_ms: LatencyWindow = field(default_factory=LatencyWindow)
    rate: RateMeter = field(default_factory=RateMeter)
    unsent: int = 0


class Publisher:
    """Ledger, sockets and clock in one loop; `step` is one iteration."""

    def __init__(self, config: ApplianceConfig) -> None:
        recipe = load_recipe(config.recipe)
        self._line, self._station = config.line, config.station
        self._endpoint = config.delivery.verdict_endpoint
        self._recipe = recipe_reference(config.recipe, recipe)
        cameras = [camera.name for camera in config.cameras]
        self._lane = VerdictPublisher(self._endpoint)
        try:
            self._ledger = Ledger(
                config.runtime_dir,
                config.state_dir,
                cameras,
                deadline_ms=recipe.deadline_ms,
                send_margin_ms=min(config.delivery.send_margin_ms, recipe.deadline_ms / 2),
            )
            self._spool = SpoolWriter(config.runtime_dir, config.delivery.spool_max_mb << 20)
            self._socket_path = publisher_socket(config.runtime_dir)
            self._server = seqpacket.listen(self._socket_path)
        except BaseException:
            self._lane.close()
            raise
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._server, selectors.EVENT_READ)
        self._peers: dict[int, _Peer] = {}
        self._meters = {camera: _CameraMeters() for camera in cameras}
        self._model: dict[str, str] | None = None
        self._has_spooled = False

    def step(self, timeout_s: float) -> None:
        """Wait for a message or the next deadline, take everything in, decide and send what is due."""
        deadline_ns = self._ledger.next_deadline_ns()
        if deadline_ns is not None:
            timeout_s = min(timeout_s, max(deadline_ns - time.monotonic_ns(), 0) / NS_PER_S)
        findings: list[Finding] = []
        gone: list[_Peer] = []
        for key, _ in self._selector.select(timeout_s):
            if key.fileobj is self._server:
                self._accept()
            else:
                self._listen_to(self._peers[key.fd], findings, gone)
        # A finding may arrive before we have read its trigger: files first.
        self._ledger.take_announced()
        late = [finding for finding in findings if not self._ledger.answer(finding)]
        self._speak()
        for peer in gone:
            self._hang_up(peer)
        for finding in late:
            self._keep_late(finding)
        self._wake_recorder()
        self._lane.take_subscriptions()

    def finish(self, timeout_s: float) -> None:
        """Let peers that are stopping deliver what they have, then give everything open its verdict."""
        end_ns = time.monotonic_ns() + int(timeout_s * NS_PER_S)
        while self._peers and self._ledger.open_inspections() and time.monotonic_ns() < end_ns:
            self.step(POLL_S)
        self._ledger.take_announced()
        self._decide_open(Reason.NOT_READY)
        self._wake_recorder()

    def status(self) -> dict[str, Any]:
        """Describe the publisher for the status file."""
        now_ns = time.monotonic_ns()
        return {
            "epoch": self._ledger.epoch,
            "verdict_seq": self._ledger.verdict_seq,
            "endpoint": self._endpoint,
            "subscriptions": self._lane.subscriptions,
            "recipe": self._recipe,
            "model": self._model,
            "late_findings": self._ledger.late_findings,
            "spool_refused": self._spool.refused,
            "peers": sorted(f"{peer.role}:{peer.camera}".rstrip(":") for peer in self._peers.values() if peer.role),
            "cameras": {
                camera: {
                    "latency_ms": meters.latency_ms.summary(),
                    "verdicts_per_s": meters.rate.per_second(now_ns),
                    "open": self._ledger.open_count(camera),
                    "unsent": meters.unsent,
                }
                for camera, meters in self._meters.items()
            },
        }

    def close(self) -> None:
        """Close sockets and files; remove the socket file."""
        self._selector.close()
        for peer in self._peers.values():
            peer.socket.close()
        self._server.close()
        self._socket_path.unlink(missing_ok=True)
        self._spool.close()
        self._ledger.close()
        self._lane.close()

    # -- peers

    def _accept(self) -> None:
        peer = seqpacket.accept(self._server)
        if peer is not None:
            self._peers[peer.fileno()] = _Peer(peer)
            self._selector.register(peer, selectors.EVENT_READ)

    def _listen_to(self, peer: _Peer, findings: list[Finding], gone: list[_Peer]) -> None:
        try:
            for message in seqpacket.drain_messages(peer.socket):
                if peer.role is None:
                    self._introduce(peer, json.loads(message))
                elif peer.role == "inspector":
                    findings.append(Finding.decode(message))
                elif amended := int.from_bytes(message, "little"):
                    self._ledger.take_announced()
                    self._ledger.amend(peer.camera, amended)
        except EOFError:
            gone.append(peer)
        except (ValueError, KeyError, TypeError) as error:
            log.warning("%s %s hung up on: %s", peer.role or "peer", peer.camera, error)
            gone.append(peer)

    def _introduce(self, peer: _Peer, hello: dict[str, Any]) -> None:
        role = hello["role"]
        if role == "grabber":
            peer.camera = hello["camera"]
            self._ledger.reopen(peer.camera)
        elif role == "inspector":
            if hello["recipe"]["sha256"] != self._recipe["sha256"]:
                raise ValueError("the inspector's recipe differs from ours: the file was changed; restart both")
            self._model = hello["model"]
        elif role != "recorder":
            raise ValueError(f"unknown role {role!r}")
        peer.role = role

    def _hang_up(self, peer: _Peer) -> None:
        del self._peers[peer.socket.fileno()]
        self._selector.unregister(peer.socket)
        peer.socket.close()
        if peer.role == "grabber":
            self._ledger.orphan(peer.camera)
        elif peer.role == "inspector":
            self._decide_open(Reason.INSPECTOR_DOWN)

    # -- verdicts

    def _speak(self) -> None:
        silent_because = Reason.LATE
        if not any(peer.role == "inspector" for peer in self._peers.values()):
            silent_because = Reason.INSPECTOR_DOWN
        for inspection in self._ledger.due(time.monotonic_ns()):
            self._send(self._ledger.decide(inspection, silent_because, time.monotonic_ns()))

    def _decide_open(self, silent_because: Reason) -> None:
        for inspection in self._ledger.open_inspections():
            self._send(self._ledger.decide(inspection, silent_because, time.monotonic_ns()))

    def _send(self, verdict: Verdict) -> None:
        inspection = verdict.inspection
        outcome = Outcome(
            line=self._line,
            station=self._station,
            ledger_epoch=self._ledger.epoch,
            verdict_seq=verdict.verdict_seq,
            inspection_id=inspection.inspection_id,
            views=inspection.views,
            verdict=verdict.verdict,
            reason=verdict.reason,
            model=self._model,
            recipe=self._recipe,
            decided_ns=verdict.decided_ns,
            deadline_ns=inspection.deadline_ns,
        )
        message = verdict_message(outcome)
        was_sent = verdict.is_sent and self._say(outcome, message)
        if not was_sent:
            self._meters[inspection.views[0].camera].unsent += 1
        self._keep(inspection_record(outcome, message, was_sent=was_sent))

    def _say(self, outcome: Outcome, message: dict[str, Any]) -> bool:
        """Hand a verdict to the wire, unless its time has passed meanwhile; tells whether it went."""
        encoded = encode(message)
        now_ns = time.monotonic_ns()
        if now_ns >= outcome.deadline_ns:  # we were stopped since the decision: silence is safer than a stale OK
            return False
        self._lane.send(verdict_topic(self._line, self._station, is_simulated=outcome.is_simulated), encoded)
        first = outcome.views[0]
        meters = self._meters[first.camera]
        meters.latency_ms.add((now_ns - first.trigger.exposed_ns) / NS_PER_MS)
        meters.rate.add(now_ns)
        return True

    # -- records

    def _keep(self, record: dict[str, Any]) -> None:
        self._spool.append(encode(record))
        self._has_spooled = True

    def _keep_late(self, finding: Finding) -> None:
        trigger = self._ledger.reread(finding.camera, finding.trigger_id)
        record = late_finding_record(
            finding,
            line=self._line,
            station=self._station,
            ledger_epoch=self._ledger.epoch,
            is_simulated=trigger is not None and TriggerFlag.SIMULATED in trigger.flags,
            recorded_at=rfc3339(time.time_ns()),
        )
        self._keep(record)

    def _wake_recorder(self) -> None:
        """Say that the spool has grown; once for everything since the last call, and lost without harm."""
        if not self._has_spooled:
            return
        self._has_spooled = False
        for peer in self._peers.values():
            if peer.role == "recorder":
                with contextlib.suppress(ConnectionError):  # its end is read in the next step
                    seqpacket.send(peer.socket, b"\x01")
