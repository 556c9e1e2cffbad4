"""Requests that must be refused, near enough to proper ones to be worth trying."""

import json
import random
import re
from collections.abc import Sequence
from typing import Any

_NUMBER = re.compile(rb"[0-9]{1,18}")
_GRANTED = {b"ROWS", b"GONE", b"BADEPOCH", b"ACKED", b"HEAD"}
_NUMBERS = (
    b"0",
    b"-1",
    b"+1",
    b"01",
    b"1.0",
    b"1e3",
    b"0x10",
    b" 1",
    b"1\n",
    b"",
    b"9" * 19,
    b"9" * 200,
    b"\xd9\xa1",
    b"1",
)
_WORDS = (b"e1", b"", b"a b", b"../x", b"\x00", b"\xff\xfe", b"x" * 65, b"x" * 900, "é".encode(), b"-x")
_REQUESTS = ("part.set", "recipe.select", "line.count", "result.ack")
_VALUES: tuple[Any, ...] = (None, True, -1, 0, 1.5, 1e300, 2**70, "", "x" * 5000, [], {}, [[]], "\x00", "é", {"a": {}})


def is_granted(lane: str, answer: Sequence[bytes]) -> bool:
    """Tell whether a server took a request for a proper one."""
    if lane == "replay":
        return answer[0] in _GRANTED
    return json.loads(answer[-1]).get("status") in {"ok", "duplicate"}


def bad_replay_request(rng: random.Random) -> list[bytes]:
    """Frames that are no replay request."""
    while True:
        match rng.randrange(4):
            case 0:
                frames = [b"GET", rng.choice(_WORDS), rng.choice(_NUMBERS), rng.choice(_NUMBERS)]
            case 1:
                frames = [b"ACK", rng.choice(_WORDS), rng.choice(_WORDS), rng.choice(_NUMBERS)]
            case 2:
                frames = [rng.choice((b"get", b"HEADS", b"GET", b"ACK", b"", b"HEAD"))]
                frames += [rng.randbytes(rng.randint(0, 30)) for _ in range(rng.randint(0, 5))]
            case _:
                frames = [rng.randbytes(rng.randint(0, 40)) for _ in range(rng.randint(1, 12))]
        if not _may_be_proper(frames):
            return frames


def bad_control_request(rng: random.Random) -> list[bytes]:
    """Frames that are no control request: not JSON, no object, unknown, or with values of wrong types."""
    proper = json.dumps({"request": rng.choice(_REQUESTS), "id": rng.randrange(1000), "part_id": "P1"}).encode()
    match rng.randrange(6):
        case 0:
            return [proper[: rng.randrange(len(proper))]]
        case 1:
            return [
                rng.choice(
                    (b"[]", b"null", b"1", b'"part.set"', b"{}{}", b"[" * 5000, b'{"a":NaN}', b'{"a":"\\udc00"}')
                )
            ]
        case 2:
            return [proper] * rng.randint(2, 9)
        case 3:
            return [rng.randbytes(rng.randint(0, 200))]
        case 4:
            return [json.dumps({"request": rng.choice(_VALUES), "id": rng.choice(_VALUES)}).encode()]
        case _:
            names = ("part_id", "binding", "lot", "job_id", "recipe", "count", "controller_count", "seq", "epoch")
            fields = {name: rng.choice(_VALUES) for name in rng.sample(names, rng.randint(0, 4))}
            return [
                json.dumps({**fields, "request": rng.choice(_REQUESTS), "id": 1, "binding": 7, "count": "7"}).encode()
            ]


def _may_be_proper(frames: list[bytes]) -> bool:
    """Our own reading of the protocol, generous: what might be proper isn't sent. An empty first frame is REQ's."""
    match frames[1:] if frames[0] == b"" else frames:
        case [b"HEAD"]:
            return True
        case [b"GET", _, first, last]:
            return bool(_NUMBER.fullmatch(first) and _NUMBER.fullmatch(last))
        case [b"ACK", _, _, seq]:
            return bool(_NUMBER.fullmatch(seq))
    return False
