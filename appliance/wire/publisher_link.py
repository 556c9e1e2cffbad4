"""The way to the publisher: grabbers wake it, the inspector sends it findings, over AF_UNIX SOCK_SEQPACKET.

    peer -> publisher   first message   JSON hello {"role": "grabber", "camera"} or {"role": "inspector", "model", ...}
                        grabber         8 bytes, little endian: id of an amended trigger, 0 for "look at the file"
                        inspector       a Finding, JSON; or {"recipes": [sha256, …]}: it judges by these from now on
    publisher -> peer   inspector       {"recipes": [sha256, …]}: judge each frame by these
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

_RECIPES = b'{"recipes":'


def publisher_socket(runtime_dir: Path) -> Path:
    """Where the publisher listens."""
    return runtime_dir / "publisher.sock"


def encode_recipes(sha256s: Sequence[str]) -> bytes:
    """Write the recipes that frames are judged by, the one in use first."""
    return _RECIPES + json.dumps(list(sha256s)).encode() + b"}"


def is_recipes(message: bytes) -> bool:
    """Whether a message is one of `encode_recipes`."""
    return message.startswith(_RECIPES)


def decode_recipes(message: bytes) -> list[str]:
    """Read what `encode_recipes` wrote.

    Raises:
        ValueError: Something else.
    """
    content = json.loads(message)
    sha256s = content["recipes"] if isinstance(content, dict) and "recipes" in content else None
    if not isinstance(sha256s, list) or not all(isinstance(each, str) for each in sha256s):
        raise ValueError(f"not a list of recipes: {message[:120]!r}")
    return sha256s


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

    def acknowledge_recipes(self, sha256s: Sequence[str]) -> None:
        """Say by which recipes each frame is judged that we take from now on."""
        self._send(encode_recipes(sha256s))

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
