"""The sockets under a `ResultStream`, without waiting: what the sync and the async client share."""

import json
import logging
import time
from collections.abc import Callable

from appliance.client.items import Cursor, Result, StreamItem
from appliance.client.result_stream import Acknowledge, AskPositions, AskRows, Request, ResultStream
from appliance.errors import PublishError
from appliance.messages import result_topic
from appliance.wire import result_lane
from appliance.wire.client_keys import ClientKeys
from appliance.wire.replay import Acked, Answer, BadEpoch, Gone, JournalHead, Refused, Rows
from appliance.wire.replay_questions import ReplayQuestions

log = logging.getLogger(__name__)

ANSWER_TIMEOUT_S = (1.0, 8.0)
"""A question without an answer is asked again over a new connection: the recorder was killed, stopped or replaced. The
first time so soon; then twice as long each time, up to the second figure: it may just be slow."""
SILENCE_S = 3.0
"""Heartbeats come each second; without them, what the lane should have brought is looked for in the journal."""
REFUSED_PAUSE_S = 1.0
"""What was refused is asked for again after so long."""
_BATCH = 100


class ResultFeed:
    """One consumer's connections.

    Args:
        topics: Prefixes of the topics wanted; the journal's other results are skipped.
        keys: For an appliance that isn't on this machine.
        monotonic: Seconds; time.monotonic in real life.
    """

    def __init__(
        self,
        endpoint: str,
        replay_endpoint: str,
        consumer: str,
        cursor: Cursor | None,
        *,
        topics: tuple[str, ...],
        keys: ClientKeys | None = None,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._consumer = consumer
        self._topics = topics
        self._monotonic = monotonic
        self.stream = ResultStream(cursor)
        # Numbers are dense over all topics: to follow some of them only would look like gaps.
        self._lane = result_lane.ResultSubscriber(endpoint, keys=keys)
        try:
            self._replay = ReplayQuestions(replay_endpoint, keys)
        except BaseException:
            self._lane.close()
            raise
        self._heard_at = self._asked_at = self._ask_from = monotonic()
        self._answer_timeout_s = ANSWER_TIMEOUT_S[0]
        self._acknowledge_again_at: float | None = None
        self.damaged = 0
        """Messages on the lane that could not be read."""

    @property
    def is_connected(self) -> bool:
        """Whether the result lane is up."""
        return self._lane.is_connected

    def descriptors(self) -> tuple[int, int]:
        """What may end a sleep; ask each time."""
        return self._lane.fileno(), self._replay.fileno()

    def next_item(self) -> StreamItem | None:
        """Give the next item of the topics wanted, if there is one."""
        while (item := self.stream.take()) is not None:
            if not isinstance(item, Result) or self._is_wanted(item):
                return item
        return None

    def acknowledge(self, cursor: Cursor) -> None:
        """Have an acknowledgement sent, at once if nothing else is being asked."""
        if cursor.seq > 0:  # before the first result there is nothing to acknowledge
            self.stream.acknowledge(cursor)
            self.converse()

    def advance(self) -> bool:
        """Read what waits and ask what is to be asked; tells whether anything happened (then call again, don't sleep).

        Raises:
            PublishError: A request was refused, or the journal is an old copy of itself.
        """
        return any([self._listen(), self.converse()])

    def converse(self) -> bool:
        """Go on with replay and acknowledgements alone; as `advance`."""
        answer = self._replay.answer()
        now = self._monotonic()
        if answer is not None:
            self._answer_timeout_s = ANSWER_TIMEOUT_S[0]
            self._take(answer, now)
        elif self.stream.is_asking and now - self._asked_at > self._answer_timeout_s:
            self._answer_timeout_s = min(2 * self._answer_timeout_s, ANSWER_TIMEOUT_S[1])
            self._replay.forget()
            self.stream.request_lost()
        if self._acknowledge_again_at is not None and now >= self._acknowledge_again_at:
            self._acknowledge_again_at = None
            self.stream.acknowledge_again()
        request = self.stream.request() if now >= self._ask_from else None
        if request is not None:
            self._asked_at = now
            self._ask(request)
        return answer is not None or request is not None

    def sleep_s(self) -> float:
        """How long one may sleep until something must be looked at, whatever the sockets do."""
        now = self._monotonic()
        wake_at = self._heard_at + SILENCE_S
        if self.stream.is_asking:
            wake_at = min(wake_at, self._asked_at + self._answer_timeout_s)
        if self._acknowledge_again_at is not None:
            wake_at = min(wake_at, self._acknowledge_again_at)
        if now < self._ask_from:
            wake_at = min(wake_at, self._ask_from)
        return max(wake_at - now, 0.0) + 0.001

    def close(self) -> None:
        """Hang up."""
        self._lane.close()
        self._replay.close()

    def _listen(self) -> bool:
        count = 0
        for _ in range(_BATCH):
            try:
                message = self._lane.receive(0)
            except PublishError:
                self.damaged += 1  # what it should have said is in the journal
                continue
            if message is None:
                break
            count += 1
            if isinstance(message, result_lane.Result):
                self.stream.live(message.epoch, message.seq, message.body)
            elif isinstance(message, result_lane.Heartbeat):
                self.stream.head(message.epoch, message.head_seq)
        now = self._monotonic()
        if count:
            self._heard_at = now
        elif now - self._heard_at > SILENCE_S:
            self._heard_at = now
            self.stream.silence()
        return count > 0

    def _ask(self, request: Request) -> None:
        match request:
            case AskRows():
                self._replay.get(request.epoch, request.first_seq, request.last_seq)
            case Acknowledge():
                self._replay.acknowledge(self._consumer, request.cursor.epoch, request.cursor.seq)
            case AskPositions():
                self._replay.head()

    def _take(self, answer: Answer, now: float) -> None:
        match answer:
            case Rows():
                self.stream.rows(answer.epoch, answer.head_seq, answer.rows)
            case Gone():
                self.stream.gone(answer.oldest_seq)
            case BadEpoch():
                self.stream.recreated(answer.epoch)
            case Acked():
                self.stream.confirmed()
            case JournalHead():
                self.stream.positions(answer.epoch, answer.oldest_seq)
            case Refused():
                self._take_refusal(answer.text, now)

    def _take_refusal(self, text: str, now: float) -> None:
        known = self.stream.refusal
        if not self.stream.refused(text):
            self._ask_from = now + REFUSED_PAUSE_S
            log.warning("replay refused, will be tried again: %s", text)
            return
        self._acknowledge_again_at = now + REFUSED_PAUSE_S
        if text != known:
            log.warning("acknowledgement as %s refused, will be tried again: %s", self._consumer, text)

    def _is_wanted(self, result: Result) -> bool:
        """Tell by the record: replay gives no topics."""
        try:
            record = result.record
            topic = result_topic(record["line"], record["station"], is_simulated=record["is_simulated"])
        except (json.JSONDecodeError, KeyError, TypeError):
            return True  # not ours to hide
        return topic.startswith(self._topics)
