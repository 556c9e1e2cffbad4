"""Admission by key, decided without a socket."""

import pytest
import zmq
from zmq.utils import z85

from appliance.wire.client_keys import AllowedClient, Role
from appliance.wire.zap import decide

KEY = zmq.curve_keypair()[0].decode()
OTHER = zmq.curve_keypair()[0].decode()
ALLOWED = {KEY: AllowedClient("plc1", KEY, frozenset({Role.VERDICT}), "2026-01-01T00:00:00.000000Z")}


def question(key: str = KEY, domain: bytes = b"verdict") -> list[bytes]:
    return [b"1.0", b"7", domain, b"10.0.0.9", b"", b"CURVE", z85.decode(key.encode())]


def test_a_key_with_the_role_comes_in_under_its_name() -> None:
    decision = decide(question(), Role.VERDICT, ALLOWED)
    assert decision.is_accepted
    assert decision.answer[:5] == [b"1.0", b"7", b"200", b"OK", b"plc1"]
    assert KEY.encode() in decision.answer[5]


@pytest.mark.parametrize(
    ("frames", "role", "says"),
    [
        (question(OTHER), Role.VERDICT, "not on the list"),
        (question(), Role.CONTROL, "another endpoint"),
        (question(domain=b"control"), Role.CONTROL, "plc1 from 10.0.0.9 refused: its key has no role control"),
        ([b"1.0", b"7", b"verdict", b"", b"", b"NULL"], Role.VERDICT, "not a CURVE handshake"),
        ([b"1.0", b"7", b"verdict", b"", b"", b"PLAIN", b"u", b"p"], Role.VERDICT, "not a CURVE handshake"),
        ([b"2.0", b"7", b"verdict", b"", b"", b"CURVE", b"k" * 32], Role.VERDICT, "not a CURVE handshake"),
        ([b"1.0", b"7", b"verdict", b"", b"", b"CURVE", b"short"], Role.VERDICT, "not a CURVE handshake"),
        ([], Role.VERDICT, "not a CURVE handshake"),
    ],
)
def test_everybody_else_is_refused_with_a_reason_for_the_log(frames: list[bytes], role: Role, says: str) -> None:
    decision = decide(frames, role, ALLOWED)
    assert not decision.is_accepted
    assert decision.answer[2:] == [b"300", b"refused", b"", b""]
    assert says in decision.story
