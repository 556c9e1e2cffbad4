"""What a limited child writes to its parent: frames of one kind byte, a length, and so many bytes.

kind  payload  meaning
S     JSON     started: the rights that are in force; once, first
P     JSON     progress, as the function tells it; `step` names what is being done
B     bytes    one blob of the answer; before R
R     JSON     the function's answer; last
E     JSON     `error` (class name) and `message`; last

JSON and bytes only: the parent must be able to read what a captured child sends. Nothing is ever unpickled.
"""

import json
import os
import struct
from collections.abc import Iterator
from typing import Any

HEAD = struct.Struct(">cQ")
KINDS = frozenset((b"S", b"P", b"B", b"R", b"E"))
_MIB = 1 << 20
MAX_JSON_BYTES = 4 * _MIB


class GarbledFrame(ValueError):
    """Bytes that are no frame, too many bytes, or JSON that is none."""


def write_frame(fd: int, kind: bytes, payload: Any) -> None:
    """Write a frame; JSON-ready data for every kind but B, which takes anything with a buffer."""
    body = memoryview(payload).cast("B") if kind == b"B" else memoryview(json.dumps(payload).encode())
    for part in (memoryview(HEAD.pack(kind, len(body))), body):
        rest = part
        while rest:
            rest = rest[os.write(fd, rest) :]


class FrameReader:
    """Cuts a stream of bytes into frames.

    Args:
        max_bytes: Most bytes that will be taken altogether.
    """

    def __init__(self, max_bytes: int) -> None:
        self._buffer = bytearray()
        self._left = max_bytes

    def feed(self, received: bytes) -> Iterator[tuple[bytes, Any]]:
        """Yield the frames that are complete now, as kind and content.

        Raises:
            GarbledFrame: See there.
        """
        self._left -= len(received)
        if self._left < 0:
            raise GarbledFrame("more bytes than an answer may have")
        self._buffer += received
        while len(self._buffer) >= HEAD.size:
            kind, length = HEAD.unpack_from(self._buffer)
            if kind not in KINDS:
                raise GarbledFrame(f"no frame: {bytes(self._buffer[: HEAD.size])!r}")
            if length > (self._left + len(self._buffer) if kind == b"B" else MAX_JSON_BYTES):
                raise GarbledFrame("more bytes than an answer may have")
            if len(self._buffer) < HEAD.size + length:
                return
            body = bytes(self._buffer[HEAD.size : HEAD.size + length])
            del self._buffer[: HEAD.size + length]
            yield kind, body if kind == b"B" else _object(body)


def _object(body: bytes) -> dict[str, Any]:
    try:
        content = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise GarbledFrame(f"no JSON: {body[:40]!r}") from error
    if not isinstance(content, dict):
        raise GarbledFrame(f"expected a JSON object, got {body[:40]!r}")
    return content
