"""The publisher process: keeps the ledger, watches the deadlines, speaks on the verdict lane.

Small and quick on purpose: no image, no journal; one thread, one loop, nothing that waits for a disk.
"""

import gc
import json
import logging
import selectors
import socket
import time
from dataclasses import dataclass, field
from typing import Any

from appliance import seqpacket
from appliance.clock import NS_PER_MS, NS_PER_S
from appliance.config import ApplianceConfig, load_recipe, recipe_reference
from appliance.counters import LatencyWindow, RateMeter
from appliance.delivery.ledger import Ledger, Verdict
from appliance.messages import Finding, Reason, TriggerFlag, verdict_message, verdict_topic
from appliance.stage import Stage
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
        for finding in findings:
            self._ledger.answer(finding)
        self._speak()
        for peer in gone:
            self._hang_up(peer)
        self._lane.take_subscriptions()

    def finish(self, timeout_s: float) -> None:
        """Let peers that are stopping deliver what they have, then give everything open its verdict."""
        end_ns = time.monotonic_ns() + int(timeout_s * NS_PER_S)
        while self._peers and self._ledger.open_inspections() and time.monotonic_ns() < end_ns:
            self.step(POLL_S)
        self._ledger.take_announced()
        self._decide_open(Reason.NOT_READY)

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
        else:
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
        first = inspection.views[0]
        meters = self._meters[first.camera]
        if not verdict.is_sent:
            meters.unsent += 1
            return
        topic = verdict_topic(
            self._line,
            self._station,
            is_simulated=any(TriggerFlag.SIMULATED in v.trigger.flags for v in inspection.views),
        )
        message = verdict_message(
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
        now_ns = time.monotonic_ns()
        if (
            now_ns >= inspection.deadline_ns
        ):  # we were stopped between deciding and here: silence is safer than a stale OK
            meters.unsent += 1
            return
        self._lane.send(topic, message)
        meters.latency_ms.add((now_ns - first.trigger.exposed_ns) / NS_PER_MS)
        meters.rate.add(now_ns)
