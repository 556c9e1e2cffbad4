"""How a consumer gets each result once and in order: the rules, without sockets and without a clock.

Two sources feed it. The result lane is quick and loses messages: a subscriber that is away or slow misses some. The
replay service answers from the journal, which knows everything: only its answers move the stream over a gap or to
another epoch.

    live, head        from the result lane: a result; a heartbeat or welcome that tells how far the journal is
    silence           the lane has said nothing for a while: look at the journal
    request           the next thing to ask the replay service; one request is under way at a time
    positions, rows, gone, recreated, confirmed, refused, request_lost     what came of that request
    take              the next item for the consumer
"""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

from appliance.client.items import Cursor, JournalRecreated, RangeLost, Result, StreamItem
from appliance.errors import PublishError

PAGE_ROWS = 500
"""Most results a replay answer holds; so many are asked for at once."""
MOST_REFUSALS = 5
"""Refusals in a row of what is asked for; then it is an error. A recorder with a failing disk ends long before."""
HOLD_ROWS = 1_000
"""Results that arrive so far ahead of their turn are kept; those farther ahead come by replay again."""


@dataclass(frozen=True)
class AskPositions:
    """Ask where the journal begins and ends."""


@dataclass(frozen=True)
class AskRows:
    """Ask for results, both ends included."""

    epoch: str
    first_seq: int
    last_seq: int


@dataclass(frozen=True)
class Acknowledge:
    """Say that everything up to here is safe with the consumer."""

    cursor: Cursor


Request = AskPositions | AskRows | Acknowledge


class ResultStream:
    """One consumer's view of the journal.

    Args:
        cursor: Where the consumer stands; None for one that has never had anything: begins at the oldest result kept.
    """

    def __init__(self, cursor: Cursor | None) -> None:
        self._epoch = cursor.epoch if cursor else None
        self._last = cursor.seq if cursor else 0
        self._known_head = self._last
        self._must_look = True  # at the journal, whatever is known: whether the cursor still holds there
        self._held: dict[int, bytes] = {}
        self._ready: deque[StreamItem] = deque()
        self._under_way: Request | None = None
        self._to_acknowledge: Cursor | None = None
        self._refused_cursor: Cursor | None = None
        self._refusals = 0
        self.acknowledged: Cursor | None = None
        """The newest acknowledgement that the journal has confirmed."""
        self.refusal: str | None = None
        """Why the last acknowledgement was refused; None once one is confirmed."""

    def take(self) -> StreamItem | None:
        """Give the next item, in order; None when there is none yet."""
        return self._ready.popleft() if self._ready else None

    # -- from the result lane

    def live(self, epoch: str, seq: int, body: bytes) -> None:
        """Take a result from the lane."""
        if epoch != self._epoch:
            self._must_look = True  # a new journal, or a message older than it: replay knows
            return
        self._known_head = max(self._known_head, seq)
        self._place(seq, body)

    def head(self, epoch: str, head_seq: int) -> None:
        """Take a heartbeat or a welcome."""
        if epoch != self._epoch:
            self._must_look = True
            return
        self._known_head = max(self._known_head, head_seq)

    def silence(self) -> None:
        """Take note that the lane is silent: what it should have said may be in the journal."""
        self._must_look = True

    # -- to and from the replay service

    def acknowledge(self, cursor: Cursor) -> None:
        """Have an acknowledgement sent; it stands for all before it."""
        self._to_acknowledge = cursor
        self._refused_cursor = None

    def acknowledge_again(self) -> None:
        """Have a refused acknowledgement sent again: the recorder's disk may have room by now."""
        if self._refused_cursor is not None:
            self.acknowledge(self._refused_cursor)

    @property
    def is_acknowledging(self) -> bool:
        """Whether an acknowledgement waits or is under way."""
        return self._to_acknowledge is not None or isinstance(self._under_way, Acknowledge)

    @property
    def is_asking(self) -> bool:
        """Whether a request is under way."""
        return self._under_way is not None

    def request(self) -> Request | None:
        """Give the next request; None while one is under way, or when nothing is to be asked."""
        if self._under_way is None:
            self._under_way = self._next_request()
            return self._under_way
        return None

    def _next_request(self) -> Request | None:
        if self._to_acknowledge is not None:
            cursor, self._to_acknowledge = self._to_acknowledge, None
            return Acknowledge(cursor)
        if self._epoch is None:
            return AskPositions()
        if len(self._ready) >= PAGE_ROWS:
            return None  # the consumer is behind: what it does not ask for need not lie in memory
        if self._must_look or self._known_head > self._last:
            first = self._last + 1
            end = min(self._held) - 1 if self._held else first + PAGE_ROWS - 1
            return AskRows(self._epoch, first, min(end, first + PAGE_ROWS - 1))
        return None

    def request_lost(self) -> None:
        """Take note that the request under way will not be answered; it is made again."""
        request, self._under_way = self._under_way, None
        if isinstance(request, Acknowledge) and self._to_acknowledge is None:
            self._to_acknowledge = request.cursor

    def positions(self, epoch: str, oldest_seq: int) -> None:
        """Take the journal's epoch and its oldest result: where a new consumer begins."""
        if isinstance(self._answered(), AskPositions):
            self._epoch = epoch
            self._last = self._known_head = max(oldest_seq, 1) - 1

    def rows(self, epoch: str, head_seq: int, rows: Sequence[tuple[int, bytes]]) -> None:
        """Take results from the journal, in order of their numbers.

        Raises:
            PublishError: The journal ends before the cursor: it is an older copy of itself.
        """
        asked = self._answered()
        if not isinstance(asked, AskRows) or asked.epoch != epoch or epoch != self._epoch:
            return
        if head_seq < asked.first_seq - 1:
            raise PublishError(
                f"the journal of epoch {epoch} ends at {head_seq}, before this consumer's cursor "
                f"{asked.first_seq - 1}: an old copy of it was put back; move the journal away so that a new epoch "
                f"begins, or set the cursor back"
            )
        before = self._last
        self._must_look = False
        self._known_head = max(self._known_head, head_seq)
        for seq, body in rows:
            self._skip_to(seq)
            self._place(seq, body)
        if not rows:
            self._skip_to(min(asked.last_seq, head_seq) + 1)
        self._notice_standstill(before)

    def gone(self, oldest_seq: int) -> None:
        """Take the answer that retention has removed results before `oldest_seq`."""
        if isinstance(self._answered(), AskRows):
            before = self._last
            self._must_look = False
            self._skip_to(oldest_seq)
            self._notice_standstill(before)

    def recreated(self, epoch: str) -> None:
        """Take the answer that the journal has another epoch than the request."""
        asked = self._answered()
        if isinstance(asked, Acknowledge):
            self._must_look = True
        elif isinstance(asked, AskRows):
            self._must_look = asked.epoch != epoch
            if self._must_look:
                self._ready.append(JournalRecreated(Cursor(asked.epoch, self._last), epoch))
                self._held.clear()
                self._to_acknowledge = self._refused_cursor = None  # numbers of a journal that is no more
                self._epoch, self._last = epoch, 0
            self._known_head = self._last

    def confirmed(self) -> None:
        """Take the answer that the acknowledgement is noted, durably."""
        asked = self._answered()
        if isinstance(asked, Acknowledge):
            self.acknowledged, self.refusal = asked.cursor, None

    def refused(self, text: str) -> bool:
        """Take the answer that a request is not granted now; results go on without their acknowledgement.

        Returns:
            Whether it was an acknowledgement.

        Raises:
            PublishError: What was asked for is refused again and again.
        """
        asked, self._under_way = self._under_way, None
        if isinstance(asked, Acknowledge):
            self.refusal = text
            self._refused_cursor = asked.cursor
            return True
        self._refusals += 1
        if self._refusals >= MOST_REFUSALS:
            raise PublishError(f"the appliance refuses {asked}, {self._refusals} times in a row: {text}")
        return False

    # -- inside

    def _answered(self) -> Request | None:
        self._refusals = 0
        request, self._under_way = self._under_way, None
        return request

    def _place(self, seq: int, body: bytes) -> None:
        """Put a result where it belongs: out, if it is its turn, with all that waited for it."""
        if self._last < seq <= self._last + HOLD_ROWS:
            self._held.setdefault(seq, body)
        self._release()

    def _release(self) -> None:
        assert self._epoch is not None
        while (body := self._held.pop(self._last + 1, None)) is not None:
            self._last += 1
            self._ready.append(Result(self._epoch, self._last, body))

    def _skip_to(self, seq: int) -> None:
        """Go on at `seq`: the journal has nothing between the last item and it, but what is held already."""
        assert self._epoch is not None
        while self._last + 1 < seq:
            first = self._last + 1
            self._last = min(min(self._held, default=seq), seq) - 1
            self._ready.append(RangeLost(self._epoch, first, self._last))
            self._release()

    def _notice_standstill(self, before: int) -> None:
        """After an answer that brought nothing, wait for news instead of asking the same again."""
        if self._last == before:
            self._known_head = self._last
