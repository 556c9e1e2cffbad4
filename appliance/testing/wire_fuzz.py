"""Rubbish for the appliance's ZeroMQ endpoints: seeded, each case replayable by (seed, number).

    report = fuzz([Target("tcp://127.0.0.1:5571", "publish"), Target("tcp://127.0.0.1:5574", "replay")], 10_000, seed=1)
    python -m appliance.testing.wire_fuzz --target control=tcp://127.0.0.1:5572 --count 100000 --seed 1

Every case is one connection: random bytes; a mutated greeting, handshake or frame; CURVE commands with rubbish inside;
frames that announce more than is allowed; messages of very many frames; connections that say half and hang; and proper
ZMTP with application messages that must be refused. What a server grants in its answers is counted as `accepted`: with
these cases any is one too many. Whether it still lives, and at what memory, its owner looks at.
"""

import argparse
import contextlib
import json
import random
import socket
import struct
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Literal, TypeVar

from appliance.testing import zmtp
from appliance.testing.bad_requests import bad_control_request, bad_replay_request, is_granted
from appliance.testing.patience import PATIENCE_S

Lane = Literal["publish", "replay", "control"]
_Peer = TypeVar("_Peer", socket.socket, zmtp.RawPeer)
_HANGING = 40
_ANSWER_S = 5.0
_BURST = 6


@dataclass(frozen=True)
class Target:
    """One endpoint; `is_keyed` endpoints get no application messages, as nobody without a key gets that far."""

    endpoint: str
    lane: Lane
    is_keyed: bool = False


@dataclass
class FuzzReport:
    """What was thrown and what came back."""

    seed: int
    cases: dict[str, int] = field(default_factory=dict)
    messages: int = 0
    """Application messages within the cases."""
    accepted: int = 0
    refused: int = 0
    hung_up: int = 0
    """Conversations the server ended: right on a publishing lane, elsewhere only by a restart."""
    unreachable: int = 0
    """Cases for which nobody listened for 10 s."""
    unanswered: int = 0
    """Times a proper request behind the rubbish got no answer within 5 s."""
    seconds: float = 0.0


def fuzz(targets: Sequence[Target], count: int, seed: int, first: int = 0) -> FuzzReport:
    """Run cases `first` to `first + count - 1`, spread over the targets."""
    report = FuzzReport(seed)
    started_s = time.monotonic()
    hanging: deque[socket.socket] = deque()
    for number in range(first, first + count):
        rng = random.Random(f"{seed}:{number}")
        target = rng.choice(targets)
        kinds = _RAW if target.is_keyed else (*_RAW, "application")
        kind = rng.choice(kinds)
        report.cases[kind] = report.cases.get(kind, 0) + 1
        _run(rng, target, kind, report, hanging)
        while len(hanging) > _HANGING:
            hanging.popleft().close()
    for peer in hanging:
        peer.close()
    report.seconds = round(time.monotonic() - started_s, 3)
    return report


def _run(rng: random.Random, target: Target, kind: str, report: FuzzReport, hanging: deque[socket.socket]) -> None:
    if kind == "application":
        _converse(rng, target, report)
        return
    raw = _MAKERS[kind](rng, target)
    peer = _patiently(lambda: zmtp.dial(target.endpoint))
    if peer is None:
        report.unreachable += 1
        return
    with contextlib.suppress(OSError):  # hanging up on us in the middle is right
        peer.sendall(raw)
    if kind == "hanging":
        hanging.append(peer)
    else:
        peer.close()


def _patiently(connect: Callable[[], _Peer]) -> _Peer | None:
    """Connect; a server may be restarting, or have just hung up on the crowd."""
    end_s = time.monotonic() + PATIENCE_S
    while True:
        try:
            return connect()
        except OSError:
            if time.monotonic() > end_s:
                return None
            time.sleep(0.02)


def _converse(rng: random.Random, target: Target, report: FuzzReport) -> None:
    """A few bad messages in a proper conversation, then a proper request that shows the server is still there."""
    rubbish = [_application_message(rng, target.lane) for _ in range(rng.randint(1, _BURST))]
    nonce = rng.randbytes(6).hex()
    peer = _patiently(lambda: zmtp.RawPeer(target.endpoint, b"XSUB" if target.lane == "publish" else b"DEALER"))
    if peer is None:
        report.unreachable += 1
        return
    try:
        for message in rubbish:
            report.messages += 1
            peer.send(message)
        if target.lane != "publish":
            _collect(peer, target.lane, nonce, report)
    except OSError:
        report.hung_up += 1
    finally:
        peer.close()


def _collect(peer: zmtp.RawPeer, lane: Lane, nonce: str, report: FuzzReport) -> None:
    last_words = {"id": nonce, "request": "fuzz.end"}
    request = zmtp.message(b"HEAD") if lane == "replay" else zmtp.message(json.dumps(last_words).encode())
    end_s = time.monotonic() + _ANSWER_S
    peer.send(request)
    while time.monotonic() < end_s:
        answer = peer.receive(0.5)
        if answer is None:
            peer.send(request)  # the answer may have been one too many for our queue
        elif answer[0] == b"HEAD" or nonce.encode() in answer[-1]:
            return
        elif is_granted(lane, answer):
            report.accepted += 1
        else:
            report.refused += 1
    report.unanswered += 1


def _application_message(rng: random.Random, lane: Lane) -> bytes:
    if lane == "replay":
        return zmtp.message(*bad_replay_request(rng))
    if lane == "control":
        envelope = [b""] if rng.random() < 0.5 else []
        return zmtp.message(*envelope, *bad_control_request(rng))
    return zmtp.message(rng.choice((b"\x00", b"\x01", b"\x02", b"")) + rng.randbytes(rng.randint(0, 300)))


# -- what is thrown below the application


def _mutate(rng: random.Random, raw: bytes) -> bytes:
    """Change, cut, repeat or insert a few bytes."""
    mutant = bytearray(raw)
    for _ in range(rng.randint(1, 6)):
        place = rng.randrange(len(mutant) + 1)
        match rng.randrange(5):
            case 0 if place < len(mutant):
                mutant[place] ^= 1 << rng.randrange(8)
            case 1:
                mutant[place:place] = rng.randbytes(rng.randint(1, 8))
            case 2:
                del mutant[place : place + rng.randint(1, 8)]
            case 3:
                mutant += mutant[place:]
            case _ if place < len(mutant):
                mutant[place] = rng.choice((0, 1, 2, 4, 127, 255))
    return bytes(mutant)


def _opening(target: Target) -> bytes:
    return zmtp.greeting() + zmtp.ready(b"XSUB" if target.lane == "publish" else b"DEALER")


def _random_bytes(rng: random.Random, _: Target) -> bytes:
    return rng.randbytes(rng.choice((1, 8, 64, 200, 2000, 70_000)))


def _mutated_greeting(rng: random.Random, _: Target) -> bytes:
    return _mutate(rng, zmtp.greeting(rng.choice((b"NULL", b"CURVE", b"PLAIN", b"GSSAPI")))) + rng.randbytes(20)


def _mutated_handshake(rng: random.Random, target: Target) -> bytes:
    return zmtp.greeting() + _mutate(rng, zmtp.ready(b"XSUB" if target.lane == "publish" else b"DEALER"))


def _mutated_frames(rng: random.Random, target: Target) -> bytes:
    # Near misses that no mutation turns into something proper: a swapped word, an array where an object belongs.
    stream = zmtp.message(b"GTE", b"e1", b"1", b"5") if target.lane == "replay" else zmtp.message(b'["line.count",1]')
    return _opening(target) + _mutate(rng, stream * rng.randint(1, 5))


def _curve_rubbish(rng: random.Random, _: Target) -> bytes:
    commands = [
        (b"\x05HELLO", 194),
        (b"\x08INITIATE", 300),
        (b"\x05READY", 60),
        (b"\x07MESSAGE", 100),
        (b"\x05ERROR", 9),
    ]
    raw = zmtp.greeting(b"CURVE")
    for _number in range(rng.randint(1, 3)):
        name, usual = rng.choice(commands)
        length = usual if rng.random() < 0.5 else rng.randrange(600)
        raw += zmtp.frame(name + (b"\x01\x00" + rng.randbytes(length))[:length], command=True)
    return raw if rng.random() < 0.5 else _mutate(rng, raw)


def _oversize(rng: random.Random, target: Target) -> bytes:
    size = rng.choice((1 << 16, 1 << 20, 1 << 31, (1 << 63) - 1, (1 << 64) - 1))
    return (
        _opening(target)
        + bytes([rng.choice((2, 3, 6))])
        + struct.pack(">Q", size)
        + rng.randbytes(rng.choice((0, 9000)))
    )


def _many_frames(rng: random.Random, target: Target) -> bytes:
    count = rng.randint(9, 3000)
    end = b"" if rng.random() < 0.5 else zmtp.frame(b"")  # half of them never end
    return _opening(target) + zmtp.frame(rng.choice((b"", b"GET", b"HEAD")), more=True) * count + end


def _hanging(rng: random.Random, target: Target) -> bytes:
    whole = _opening(target)
    return whole[: rng.randrange(len(whole))]


_MAKERS: dict[str, Callable[[random.Random, Target], bytes]] = {
    "random_bytes": _random_bytes,
    "mutated_greeting": _mutated_greeting,
    "mutated_handshake": _mutated_handshake,
    "mutated_frames": _mutated_frames,
    "curve_rubbish": _curve_rubbish,
    "oversize": _oversize,
    "many_frames": _many_frames,
    "hanging": _hanging,
}
_RAW = tuple(_MAKERS)


def main() -> None:
    """Fuzz endpoints named on the command line and print the report as JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--target", action="append", required=True, help="publish|replay|control[-keyed]=ENDPOINT")
    parser.add_argument("--count", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--first", type=int, default=0, help="number of the first case")
    arguments = parser.parse_args()
    targets = [_target(word) for word in arguments.target]
    print(json.dumps(asdict(fuzz(targets, arguments.count, arguments.seed, arguments.first)), indent=2))


def _target(word: str) -> Target:
    name, _, endpoint = word.partition("=")
    lanes: dict[str, Lane] = {"publish": "publish", "replay": "replay", "control": "control"}
    lane = lanes.get(name.removesuffix("-keyed"))
    if lane is None or not endpoint:
        raise SystemExit(f"{word}: publish, replay or control, with -keyed where keys are needed, = endpoint expected")
    return Target(endpoint, lane, name.endswith("-keyed"))


if __name__ == "__main__":
    main()
