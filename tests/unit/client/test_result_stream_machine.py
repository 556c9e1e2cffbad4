"""Whatever the lane loses, doubles and shuffles, and whatever happens to the journal: each result once, in order."""

from dataclasses import dataclass, field

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from appliance.client.items import Cursor, JournalRecreated, RangeLost, Result
from appliance.client.result_stream import Acknowledge, AskPositions, AskRows, Request, ResultStream


@dataclass
class Journal:
    """What the recorder keeps, as small as it can be said."""

    epoch: str
    head: int = 0
    oldest: int = 1
    acknowledged: int = 0
    removed: set[int] = field(default_factory=set)

    def body(self, seq: int) -> bytes:
        return f"{self.epoch}/{seq}".encode()


class AnyWeather(RuleBasedStateMachine):
    """One consumer, one journal, and between them a lane and a replay service that lose things."""

    def __init__(self) -> None:
        super().__init__()
        self.journals = [Journal("epoch0")]
        self.lane: list[tuple[str, int, bytes | None]] = []
        self.stream = ResultStream(None)
        self.at: Cursor | None = None
        self.request: Request | None = None

    @property
    def journal(self) -> Journal:
        return self.journals[-1]

    # -- the appliance

    @rule(count=st.integers(1, 600))
    def results_are_journalled_and_published(self, count: int) -> None:
        for _ in range(count):
            self.journal.head += 1
            self.lane.append((self.journal.epoch, self.journal.head, self.journal.body(self.journal.head)))

    @rule()
    def heartbeat(self) -> None:
        self.lane.append((self.journal.epoch, self.journal.head, None))

    @rule(share=st.floats(0, 1))
    def retention_removes_the_oldest(self, share: float) -> None:
        journal = self.journal
        oldest = journal.oldest + int((journal.head + 1 - journal.oldest) * share)
        journal.removed.update(range(journal.oldest, oldest))
        journal.oldest = oldest

    @rule()
    def the_journal_is_made_anew(self) -> None:
        self.journals.append(Journal(f"epoch{len(self.journals)}"))

    # -- the network

    @rule(count=st.integers(1, 700))
    def the_lane_loses(self, count: int) -> None:
        del self.lane[:count]

    @rule(first=st.integers(0, 50), second=st.integers(0, 50))
    def the_lane_swaps(self, first: int, second: int) -> None:
        if max(first, second) < len(self.lane):
            self.lane[first], self.lane[second] = self.lane[second], self.lane[first]

    @rule(count=st.integers(1, 20))
    def the_lane_doubles(self, count: int) -> None:
        self.lane = self.lane[:count] + self.lane

    @rule(count=st.integers(1, 700))
    def the_lane_delivers(self, count: int) -> None:
        delivered, self.lane = self.lane[:count], self.lane[count:]
        for epoch, seq, body in delivered:
            if body is None:
                self.stream.head(epoch, seq)
            else:
                self.stream.live(epoch, seq, body)

    @rule()
    def the_lane_is_silent(self) -> None:
        self.stream.silence()

    @rule()
    def a_request_is_made(self) -> None:
        self.request = self.stream.request() or self.request

    @rule()
    def the_request_is_lost(self) -> None:
        if self.request is not None:
            self.request = None
            self.stream.request_lost()

    @rule()
    def the_request_is_answered(self) -> None:
        self._answer()

    def _answer(self) -> None:
        request, self.request = self.request, None
        journal = self.journal
        if isinstance(request, AskPositions):
            self.stream.positions(journal.epoch, journal.oldest)
        elif isinstance(request, Acknowledge):
            if request.cursor.epoch != journal.epoch:
                self.stream.recreated(journal.epoch)
            else:
                assert request.cursor.seq <= journal.head
                journal.acknowledged = max(journal.acknowledged, request.cursor.seq)
                self.stream.confirmed()
        elif isinstance(request, AskRows):
            if request.epoch != journal.epoch:
                self.stream.recreated(journal.epoch)
            elif request.first_seq < journal.oldest:
                self.stream.gone(journal.oldest)
            else:
                last = min(request.last_seq, journal.head, request.first_seq + 499)
                found = [(seq, journal.body(seq)) for seq in range(request.first_seq, last + 1)]
                self.stream.rows(journal.epoch, journal.head, found)

    # -- the consumer

    @rule(count=st.integers(1, 700))
    def the_consumer_takes_items(self, count: int) -> None:
        for _ in range(count):
            item = self.stream.take()
            if item is None:
                return
            self._check(item)

    @rule()
    def the_consumer_acknowledges(self) -> None:
        if self.at is not None:
            self.stream.acknowledge(self.at)

    @rule()
    def the_consumer_is_killed_and_starts_again_from_its_cursor(self) -> None:
        self.stream = ResultStream(self.at)
        self.request = None

    def _check(self, item: Result | RangeLost | JournalRecreated) -> None:
        at = self.at
        if isinstance(item, JournalRecreated):
            assert at is None or item.previous == at
            assert item.epoch in [journal.epoch for journal in self.journals]
            self.at = item.cursor
            return
        journal = next(journal for journal in self.journals if journal.epoch == item.epoch)
        first = item.seq if isinstance(item, Result) else item.first_seq
        if at is not None:
            assert item.epoch == at.epoch, "the epoch changed without an event"
            assert first == at.seq + 1, "a result was left out or came twice"
        else:
            assert all(seq in journal.removed for seq in range(1, first)), "a new consumer skips what is kept"
        if isinstance(item, Result):
            assert item.body == journal.body(item.seq)
        else:
            lost = range(item.first_seq, item.last_seq + 1)
            assert lost
            assert all(seq in journal.removed for seq in lost), "told lost, but it was not removed"
        self.at = item.cursor

    @invariant()
    def memory_is_bounded(self) -> None:
        assert len(self.stream._held) <= 1000

    def teardown(self) -> None:
        """When the weather clears up, the consumer has everything."""
        self.stream.head(self.journal.epoch, self.journal.head)
        for _ in range(1000):
            self.the_consumer_takes_items(10_000)
            self.request = self.request or self.stream.request()
            if self.request is None:
                break
            self._answer()
        else:
            raise AssertionError("the stream asks without end")
        if self.at is not None:
            assert self.at == Cursor(self.journal.epoch, self.journal.head)
        else:
            assert self.journal.head == self.journal.oldest - 1


AnyWeather.TestCase.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
test_any_weather = AnyWeather.TestCase
