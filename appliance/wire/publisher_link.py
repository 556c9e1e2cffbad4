"""The way to the publisher: grabbers wake it, the inspector sends it findings, over AF_UNIX SOCK_SEQPACKET.

    peer -> publisher   first message   JSON hello {"role": "grabber", "camera"}, or an inspector's introduction
                        grabber         8 bytes, little endian: id of an amended trigger, 0 for "look at the file"
                        inspector       a Finding, or a report of its plans, JSON
    publisher -> peer   inspector       plans: which frames to judge by which recipe and model, JSON
                        recorder        one byte: the spool has grown

Nothing here is needed for the truth: triggers stand in `announced.<camera>`, and the publisher looks there anyway.
A lost wake-up costs its polling period; a lost finding becomes UNKNOWN by the deadline.
"""

import json
import socket
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from appliance import seqpacket
from appliance.messages import Finding
from appliance.messages.plan import PlanReport, encode_report


def publisher_socket(runtime_dir: Path) -> Path:
    """Where the publisher listens."""
    return runtime_dir / "publisher.sock"


class PublisherLink:
    """One process's connection to the publisher. Never blocks, never raises for an absent publisher.

    Attributes:
        unsent: Messages the publisher could not take: its socket was full or it was away.
    """

    def __init__(self, runtime_dir: Path) -> None:
        self._path = publisher_socket(runtime_dir)
        self._socket: socket.socket | None = None
        self.unsent = 0

    @property
    def is_connected(self) -> bool:
        """Whether the publisher was there at the last call."""
        return self._socket is not None

    def connect(self, hello: dict[str, Any]) -> bool:
        """Connect and introduce ourselves if that isn't done yet; cheap to call in every loop."""
        if self._socket is None:
            self._socket = seqpacket.connect(self._path)
            if self._socket is not None:
                self._send(json.dumps(hello).encode())
        return self._socket is not None

    def fileno(self) -> int:
        """Descriptor to poll: readable means the publisher has gone. -1 when not connected."""
        return self._socket.fileno() if self._socket is not None else -1

    def wake(self, amended: int | None = None) -> None:
        """Tell the publisher that a trigger was announced, or which one was amended."""
        self._send((amended or 0).to_bytes(8, "little"))

    def send_finding(self, finding: Finding) -> None:
        """Hand a finding over."""
        self._send(finding.encode())

    def report_plans(self, reports: Sequence[PlanReport]) -> None:
        """Say how far we are with the plans; every frame that we take from now on is judged by those that are ready."""
        self._send(encode_report(reports))

    def poll(self) -> list[bytes]:
        """Take what the publisher says, notice when it has gone; call it when `fileno` is readable, or now and then."""
        messages: list[bytes] = []
        if self._socket is None:
            return messages
        try:
            for message in seqpacket.drain_messages(self._socket):
                messages.append(message)  # noqa: PERF402 (those before the end count)
        except EOFError:
            self.close()
        return messages

    def close(self) -> None:
        """Hang up."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _send(self, message: bytes) -> None:
        if self._socket is None:
            self.unsent += 1
            return
        try:
            if not seqpacket.send(self._socket, message):
                self.unsent += 1
        except ConnectionError:
            self.unsent += 1
            self.close()
