"""Nonsense for the AF_UNIX sockets of the runtime directory, from a peer of the same user.

Each connection says a few datagrams, most of them almost right: a message of the protocol with bytes changed, cut off,
repeated or made up. Nothing valid is said on purpose: not a hello as the inspector, not a finding for a real trigger.
"""

import contextlib
import json
import random
import socket
import time
from collections import Counter
from pathlib import Path

from appliance import seqpacket

_OUR_DATAGRAMS = (
    json.dumps({"role": "grabber", "camera": "cam9"}).encode(),
    json.dumps(
        {"role": "inspector", "recipes": [{"name": "a", "sha256": "0" * 64}], "plans": [], "report": []}
    ).encode(),
    json.dumps({"camera": "cam0", "trigger_id": 2**62, "verdict": 1, "reason": 0, "defects": []}).encode(),
    (2**62).to_bytes(8, "little"),
    b'H{"version": 1, "role": "observer"}',
    b'H{"version": 2, "role": "inspector"}',
    b"R\x00\x00\x01\x00\x00\x00",
    b"F\x00\x00\x01\x00\x00\x00" + bytes(64),
    b'G{"generation": 1}',
    b"WATCHDOG=1",
    b"[" * 60_000,
    b'{"role": "grabber", "camera": "../../etc/passwd"}',
)
_MAX_DATAGRAM_BYTES = 65_536
_FULL_PATIENCE_S = 5.0


def fuzz_local_sockets(runtime_dir: Path, count: int, *, seed: int) -> dict[str, int]:
    """Send so many datagrams, spread over all sockets of the directory; gives how many each one was sent.

    A peer that hangs up on us is connected to again; one whose queue is full is waited for.
    """
    chance = random.Random(seed)
    sent: Counter[str] = Counter()
    paths = sorted(path for path in runtime_dir.glob("*.sock") if path.is_socket())
    while sent.total() < count:
        path = chance.choice(paths)
        sent[path.name] += _converse(path, chance, min(chance.randint(1, 20), count - sent.total()))
    return dict(sent)


def _converse(path: Path, chance: random.Random, datagrams: int) -> int:
    is_notify = path.name.startswith("notify")
    peer = _datagram_peer(path) if is_notify else seqpacket.connect(path)
    if peer is None:
        time.sleep(0.01)  # not there at the moment, or more callers wait than it accepts
        return 0
    done = 0
    with contextlib.closing(peer), contextlib.suppress(OSError):
        for _ in range(datagrams):
            _send(peer, nonsense(chance))
            done += 1
    return done


def _datagram_peer(path: Path) -> socket.socket:
    peer = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    peer.connect(str(path))
    return peer


def _send(peer: socket.socket, message: bytes) -> None:
    end = time.monotonic() + _FULL_PATIENCE_S
    while True:
        with contextlib.suppress(BlockingIOError):
            peer.send(message, socket.MSG_NOSIGNAL | socket.MSG_DONTWAIT)
            return
        if time.monotonic() > end:
            raise TimeoutError("the peer takes nothing any more")
        time.sleep(0.001)


def nonsense(chance: random.Random) -> bytes:
    """Make up one datagram: never empty, which would mean the end."""
    message = bytearray(chance.choice(_OUR_DATAGRAMS))
    for _ in range(chance.randint(1, 4)):
        message = _changed(message, chance)
    return bytes(message[:_MAX_DATAGRAM_BYTES]) or b"\0"


def _changed(message: bytearray, chance: random.Random) -> bytearray:
    how = chance.randrange(6)
    at = chance.randrange(len(message) or 1)
    if how == 0:
        return bytearray(chance.randbytes(chance.choice((1, 8, 64, 1000, _MAX_DATAGRAM_BYTES))))
    if how == 1:
        return message[:at]
    if how == 2:
        return message + message
    for _ in range(min(how, len(message))):
        message[chance.randrange(len(message))] ^= 1 << chance.randrange(8)
    return message
