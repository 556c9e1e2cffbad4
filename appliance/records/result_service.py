"""What consumers of records see: the result lane with its heartbeats, replay and acknowledgements."""

import time
from collections.abc import Iterable, Sequence
from typing import Any

from appliance.clock import NS_PER_S
from appliance.config import ApplianceConfig
from appliance.errors import DiskFull, JournalError
from appliance.messages import result_topic
from appliance.records.journal import Journal
from appliance.records.work_thread import WorkThread
from appliance.wire.keys import KeyStore
from appliance.wire.replay import (
    MAX_ROWS,
    Ack,
    Acked,
    Answer,
    BadEpoch,
    Get,
    Gone,
    Head,
    JournalHead,
    Refused,
    ReplayServer,
    Request,
    Rows,
)
from appliance.wire.result_lane import ResultPublisher, heartbeat_topic

HEARTBEAT_NS = NS_PER_S
_MAX_RUNNING = 8  # requests that may wait for the reading thread; further ones wait in their senders' queues

Published = tuple[str, int, bytes]
"""Topic, seq and JSON of a committed record."""


class ResultService:
    """Sockets of the result lane and of replay, in the recorder's loop; what reads the disk runs in `reading`.

    Raises:
        PublishError: An endpoint can't be bound.
        KeysError: It needs keys, and they can't be used.
    """

    def __init__(self, config: ApplianceConfig, journal: Journal, reading: WorkThread) -> None:
        self._journal, self._reading = journal, reading
        self._required = config.recorder.required_consumers
        simulated = {camera.replayed_folder is not None for camera in config.cameras}
        self._heartbeat_topics = [
            heartbeat_topic(config.line, config.station, is_simulated=each) for each in sorted(simulated)
        ]
        self._acknowledged = journal.acknowledged()
        self._heartbeat_due_ns = 0
        self.published = self.replayed_rows = 0
        keys = KeyStore(config.effective_keys_dir)
        self._lane = ResultPublisher(config.recorder.result_endpoint, keys)
        try:
            self._replay = ReplayServer(config.recorder.replay_endpoint, keys)
        except BaseException:
            self._lane.close()
            raise
        self._reader = journal.reader()

    # -- for the loop

    @property
    def is_waiting(self) -> bool:
        """Whether there is something to do right now: ask before sleeping."""
        return self._lane.is_waiting or (self._has_room and self._replay.is_waiting)

    def sockets(self) -> Sequence[ResultPublisher | ReplayServer]:
        """What ends a sleep."""
        return self._lane, self._replay

    def step(self, now_ns: int) -> None:
        """Answer a bounded number of requests, say each second that we are there."""
        self._lane.take_subscriptions()
        if self._has_room:
            for request in self._replay.requests(_MAX_RUNNING):
                self._answer(request)
        if now_ns >= self._heartbeat_due_ns:
            self._heartbeat_due_ns = now_ns + HEARTBEAT_NS
            self._heartbeat()

    def publish(self, rows: Iterable[Published]) -> None:
        """Send committed records, in the order of their seq."""
        for topic, seq, body in rows:
            self._lane.publish(topic, self._journal.epoch, seq, body)
            self.published += 1

    def status(self) -> dict[str, Any]:
        """Say where the journal stands and how far its consumers are."""
        head = self._journal.head_seq
        consumers = dict.fromkeys(self._required, 0) | self._acknowledged
        return {
            "endpoint": self._lane.bound_endpoint,
            "replay_endpoint": self._replay.bound_endpoint,
            "epoch": self._journal.epoch,
            "head_seq": head,
            "oldest_seq": self._journal.oldest_seq,
            "subscriptions": self._lane.subscriptions,
            "published": self.published,
            "replayed_rows": self.replayed_rows,
            "answers_dropped": self._replay.dropped,
            "invalid_requests": self._replay.invalid,
            "consumers": {
                name: {"acknowledged": seq, "lag": head - seq, "is_required": name in self._required}
                for name, seq in sorted(consumers.items())
            },
        }

    def close(self) -> None:
        """Close the sockets. The reading thread must have ended."""
        self._lane.close()
        self._replay.close()
        self._reader.close()

    # -- inside

    @property
    def _has_room(self) -> bool:
        return len(self._reading) < _MAX_RUNNING

    def _heartbeat(self) -> None:
        journal = self._journal
        for topic in self._heartbeat_topics:
            self._lane.heartbeat(topic, journal.epoch, journal.head_seq, journal.oldest_seq, time.time_ns())

    def _answer(self, request: Request) -> None:
        journal = self._journal
        match request:
            case Head():
                oldest = journal.oldest_seq if journal.head_seq else 0
                self._replay.reply(request, JournalHead(journal.epoch, oldest, journal.head_seq))
            case Get() | Ack() if request.epoch != journal.epoch:
                self._replay.reply(request, BadEpoch(journal.epoch))
            case Get():
                self._reading.submit(lambda: self._read(request), lambda answer: self._reply_rows(request, answer))
            case Ack():
                self._reading.submit(lambda: self._note(request), lambda answer: self._reply_ack(request, answer))

    def _read(self, request: Get) -> Answer:
        """Runs in the reading thread."""
        journal = self._journal
        head = journal.head_seq
        try:
            rows = self._reader.read(request.first_seq, min(request.last_seq, head), MAX_ROWS)
        except JournalError as error:
            return Refused(f"rows can't be read: {error}")
        if request.first_seq < journal.oldest_seq:
            return Gone(journal.oldest_seq)
        return Rows(journal.epoch, head, rows)

    def _reply_rows(self, request: Get, answer: Answer) -> None:
        if self._replay.reply(request, answer) and isinstance(answer, Rows):
            self.replayed_rows += len(answer.rows)

    def _note(self, ack: Ack) -> Answer:
        """Runs in the reading thread."""
        try:
            return Acked(ack.consumer, self._journal.acknowledge(ack.consumer, ack.seq))
        except (ValueError, DiskFull) as error:
            return Refused(str(error))

    def _reply_ack(self, ack: Ack, answer: Answer) -> None:
        if isinstance(answer, Acked):
            self._acknowledged[answer.consumer] = answer.seq
        self._replay.reply(ack, answer)


def topic_of(record: dict[str, Any]) -> str:
    """Name the topic of a record."""
    return result_topic(record["line"], record["station"], is_simulated=record["is_simulated"])
