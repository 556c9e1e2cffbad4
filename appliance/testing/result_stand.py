"""A stand-in for the recorder: real sockets, a list for a journal. For tests of whoever follows the result lane.

As a program it journals and publishes rows without end, to be killed at any time and started again:

    python -m appliance.testing.result_stand JOURNAL_FILE RESULT_ENDPOINT REPLAY_ENDPOINT ROWS_PER_S
"""

import select
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from appliance.messages import (
    Outcome,
    Reason,
    Trigger,
    TriggerFlag,
    VerdictWord,
    View,
    encode,
    inspection_record,
    result_topic,
    verdict_message,
)
from appliance.wire.keys import KeyStore
from appliance.wire.replay import (
    Ack,
    Acked,
    Answer,
    BadEpoch,
    Get,
    Gone,
    JournalHead,
    Refused,
    ReplayServer,
    Request,
    Rows,
)
from appliance.wire.result_lane import ResultPublisher, heartbeat_topic

LINE, STATION = "line1", "tabs"
_TURN_MS = 5
_MOST_ROWS_A_TURN = 100
_HEARTBEAT_S = 0.2
"""Quicker than the recorder's: tests wait for it."""


def stand_record(epoch: str, seq: int, *, is_simulated: bool = False) -> dict[str, Any]:
    """Make a record as the publisher and the journal do."""
    flags = TriggerFlag.SIMULATED if is_simulated else TriggerFlag(0)
    trigger = Trigger(seq, seq * 1_000_000, device_timestamp_ns=2**60 + seq, flags=flags)
    outcome = Outcome(
        line=LINE,
        station=STATION,
        ledger_epoch="0123456789abcdef",
        verdict_seq=seq,
        inspection_id=seq,
        views=[View("cam0", trigger)],
        verdict=VerdictWord.UNKNOWN,
        reason=Reason.LATE,
        decided_ns=seq * 1_000_000 + 5_000_000,
        deadline_ns=seq * 1_000_000 + 80_000_000,
    )
    return {**inspection_record(outcome, verdict_message(outcome), was_sent=True), "epoch": epoch, "seq": seq}


@dataclass
class StandJournal:
    """A journal in memory, and in a file where one is given: what was appended survives kill -9."""

    epoch: str = "e1"
    path: Path | None = None
    oldest_seq: int = 1
    bodies: dict[int, bytes] = field(default_factory=dict)
    acknowledged: dict[str, int] = field(default_factory=dict)
    head_seq: int = 0

    def __post_init__(self) -> None:
        if self.path is not None and self.path.exists():
            lines = self.path.read_bytes().split(b"\n")[:-1]  # what stands behind the last end of line was torn
            self.path.write_bytes(b"".join(line + b"\n" for line in lines))
            self.bodies = dict(enumerate(lines, 1))
            self.head_seq = len(lines)

    def append(self, *, is_simulated: bool = False) -> int:
        """Add one row; it would survive a kill when this returns."""
        self.head_seq += 1
        body = encode(stand_record(self.epoch, self.head_seq, is_simulated=is_simulated))
        self.bodies[self.head_seq] = body
        if self.path is not None:
            with self.path.open("ab") as file:
                file.write(body + b"\n")
        return self.head_seq

    def drop_before(self, seq: int) -> None:
        """Remove the oldest rows, as retention does."""
        for number in range(self.oldest_seq, seq):
            self.bodies.pop(number, None)
        self.oldest_seq = seq

    def answer(self, request: Request) -> Answer:
        """Answer as the recorder does."""
        match request:
            case Get() | Ack() if request.epoch != self.epoch:
                return BadEpoch(self.epoch)
            case Get() if request.first_seq < self.oldest_seq:
                return Gone(self.oldest_seq)
            case Get():
                last = min(request.last_seq, self.head_seq, request.first_seq + 499)
                rows = [(seq, self.bodies[seq]) for seq in range(request.first_seq, last + 1)]
                return Rows(self.epoch, self.head_seq, rows)
            case Ack() if request.seq > self.head_seq:
                return Refused(f"ACK {request.seq}: the journal ends at {self.head_seq}")
            case Ack():
                newest = max(request.seq, self.acknowledged.get(request.consumer, 0))
                self.acknowledged[request.consumer] = newest
                return Acked(request.consumer, newest)
            case _:
                is_empty = not self.bodies
                return JournalHead(self.epoch, 0 if is_empty else self.oldest_seq, 0 if is_empty else self.head_seq)


class ResultStand:
    """Serves a journal. One thread calls `turn`; `ServedStand` has one.

    Attributes:
        answered: Requests answered so far.
    """

    def __init__(
        self, journal: StandJournal, endpoint: str, replay_endpoint: str, keys: KeyStore | None = None
    ) -> None:
        self.journal = journal
        self._lane = ResultPublisher(endpoint, keys)
        self._replay = ReplayServer(replay_endpoint, keys)
        self.endpoint, self.replay_endpoint = self._lane.bound_endpoint, self._replay.bound_endpoint
        self.answered = 0
        self._beat_at = 0.0

    @property
    def subscriptions(self) -> int:
        """Topic subscriptions of all peers."""
        return self._lane.subscriptions

    def publish(self, *, is_simulated: bool = False, is_lost: bool = False) -> int:
        """Journal one row and send it, or let the lane lose it."""
        seq = self.journal.append(is_simulated=is_simulated)
        if not is_lost:
            topic = result_topic(LINE, STATION, is_simulated=is_simulated)
            self._lane.publish(topic, self.journal.epoch, seq, self.journal.bodies[seq])
        return seq

    def repeat(self, seq: int) -> None:
        """Send a row again."""
        self._lane.publish(
            result_topic(LINE, STATION, is_simulated=False), self.journal.epoch, seq, self.journal.bodies[seq]
        )

    def turn(self) -> None:
        """Serve what waits; heartbeat when it is time."""
        self._lane.take_subscriptions()
        for request in self._replay.requests():
            self._replay.reply(request, self.journal.answer(request))
            self.answered += 1
        if time.monotonic() >= self._beat_at:
            self._beat_at = time.monotonic() + _HEARTBEAT_S
            topic = heartbeat_topic(LINE, STATION, is_simulated=False)
            journal = self.journal
            self._lane.heartbeat(topic, journal.epoch, journal.head_seq, journal.oldest_seq, time.time_ns())

    def wait(self) -> None:
        """Sleep until something comes, for a moment at most."""
        if not (self._replay.is_waiting or self._lane.is_waiting):
            poll = select.poll()
            for descriptor in (self._replay.fileno(), self._lane.fileno()):
                poll.register(descriptor, select.POLLIN)
            poll.poll(_TURN_MS)

    def close(self) -> None:
        """Unbind."""
        self._lane.close()
        self._replay.close()


class ServedStand:
    """A stand with a thread of its own."""

    def __init__(
        self,
        journal: StandJournal | None = None,
        endpoint: str = "tcp://127.0.0.1:0",
        replay_endpoint: str = "tcp://127.0.0.1:0",
        keys: KeyStore | None = None,
    ) -> None:
        self._stand = ResultStand(journal or StandJournal(), endpoint, replay_endpoint, keys)
        self.endpoint, self.replay_endpoint = self._stand.endpoint, self._stand.replay_endpoint
        self._lock = threading.Lock()
        self._is_stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="result-stand")
        self._thread.start()

    @contextmanager
    def held(self) -> Iterator[ResultStand]:
        """Hold its thread, to look at it or change it. Held for long it is a recorder that does not answer."""
        with self._lock:
            yield self._stand

    def publish(self, count: int, *, is_lost: bool = False, is_simulated: bool = False) -> None:
        """Journal rows and send them, or let the lane lose them."""
        with self._lock:
            for _ in range(count):
                self._stand.publish(is_lost=is_lost, is_simulated=is_simulated)

    def close(self) -> None:
        """End the thread, unbind."""
        self._is_stopping.set()
        self._thread.join()
        self._stand.close()

    def _run(self) -> None:
        while not self._is_stopping.is_set():
            with self._lock:
                self._stand.turn()
            self._stand.wait()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def main(journal_file: str, endpoint: str, replay_endpoint: str, rows_per_s: str) -> None:
    """Journal and publish without end; on a slow machine fewer rows, so that there is time for answers."""
    stand = ResultStand(StandJournal(path=Path(journal_file)), endpoint, replay_endpoint)
    pause_s = 1 / float(rows_per_s)
    next_at = time.monotonic()
    while True:
        stand.turn()
        stand.wait()
        due = int((time.monotonic() - next_at) / pause_s)
        for _ in range(min(due, _MOST_ROWS_A_TURN)):
            stand.publish()
        if due > 0:
            next_at = time.monotonic()


if __name__ == "__main__":
    main(*sys.argv[1:])
