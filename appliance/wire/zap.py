"""ZeroMQ's question whether a key may come in (ZAP, rfc.zeromq.org/spec/27), and our answer. No sockets here.

    [version "1.0"][request id][domain][address][routing id][mechanism][credentials: 32-byte public key]
    [version "1.0"][request id][status][text][user id][metadata]

The user id is the client's name; the metadata carries the public key, so that a name whose key was replaced isn't
mistaken for its former owner. Who is refused gets status 300, not 400: a ZeroMQ client gives up for ever at 400, and
would have to be restarted after `appliance keys add`; at 300 it is dropped after the handshake time and tries again.
"""

import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from zmq.utils import z85

from appliance.wire.client_keys import AllowedClient, Role

ADDRESS = "inproc://zeromq.zap.01"
KEY_PROPERTY = "X-Appliance-Key"
_VERSION = b"1.0"
_CURVE_KEY_BYTES = 32


@dataclass(frozen=True)
class Decision:
    """Frames of the answer, and a line for the log."""

    is_accepted: bool
    answer: list[bytes]
    story: str


def decide(frames: Sequence[bytes], role: Role, allowed: Mapping[str, AllowedClient]) -> Decision:
    """Decide on one handshake: the key must be on the list, for this role."""
    if len(frames) < 7 or frames[0] != _VERSION or frames[5] != b"CURVE" or len(frames[6]) != _CURVE_KEY_BYTES:
        return _refusal(frames[1] if len(frames) > 1 else b"", "someone refused: not a CURVE handshake")
    address = frames[3].decode("ascii", "replace")
    key = z85.encode(frames[6]).decode()
    client = allowed.get(key)
    if frames[2] != role.encode():
        return _refusal(frames[1], f"key {key} from {address} refused: asked for another endpoint")
    if client is None:
        return _refusal(frames[1], f"key {key} from {address} refused: not on the list")
    if role not in client.roles:
        return _refusal(frames[1], f"{client.name} from {address} refused: its key has no role {role}")
    answer = [_VERSION, frames[1], b"200", b"OK", client.name.encode(), _property(KEY_PROPERTY, key)]
    return Decision(True, answer, f"{client.name} from {address} accepted")


def _refusal(request_id: bytes, story: str) -> Decision:
    return Decision(False, [_VERSION, request_id, b"300", b"refused", b"", b""], story)


def _property(name: str, value: str) -> bytes:
    return bytes([len(name)]) + name.encode() + struct.pack(">I", len(value)) + value.encode()
