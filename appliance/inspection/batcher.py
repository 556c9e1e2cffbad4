"""Which frames go into the next session run, and when: by size, longest wait or verdict deadline, whichever is first.

Pure: the clock is an argument, nothing here touches a frame. Frames of one camera leave in the order they came.
A batch prefers neighbours in memory, because they are one array as they lie in the ring; frames from elsewhere join
only where the measured cost of the larger batch pays for gathering them.
"""

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Generic, TypeVar

from appliance.inspection.cost import BatchCost

_T = TypeVar("_T")

_GATHER_GAIN = 0.75
"""A mixed batch must save a quarter: on an accelerator it does, on a processor less is the noise of a busy machine, and
the frames would be copied for it."""


@dataclass(frozen=True)
class Waiting(Generic[_T]):
    """A frame that waits for its session run.

    Attributes:
        camera: Frames of one camera keep their order.
        frame: What comes out again; never looked at.
        ready_ns: When the wait began, CLOCK_MONOTONIC.
        deadline_ns: When the finding must be with the publisher, CLOCK_MONOTONIC.
        address, size_bytes: Where its pixels lie; the next frame of the camera may follow without a gap.
    """

    camera: str
    frame: _T
    ready_ns: int
    deadline_ns: int
    address: int
    size_bytes: int

    def is_followed_by(self, other: "Waiting[_T]") -> bool:
        """Whether both together are one array."""
        return self.camera == other.camera and other.address == self.address + self.size_bytes


class Batcher(Generic[_T]):
    """The waiting frames of all cameras. One owner, the inspector's loop: add, take when due, give up what is late."""

    def __init__(self, *, max_batch: int, max_wait_ns: int, margin_ns: int, cost: BatchCost) -> None:
        """Start empty.

        Args:
            max_batch: Most frames in one session run.
            max_wait_ns: Longest a frame waits for company.
            margin_ns: Time kept free between the expected end of a run and a frame's deadline.
            cost: Expected time of a run; the caller teaches it.
        """
        self._max_batch = max_batch
        self._max_wait_ns = max_wait_ns
        self._margin_ns = margin_ns
        self._cost = cost
        self._lines: dict[str, deque[Waiting[_T]]] = {}

    def __len__(self) -> int:
        return sum(map(len, self._lines.values()))

    def add(self, waiting: Waiting[_T]) -> None:
        """Let a frame wait, behind those of its camera."""
        self._lines.setdefault(waiting.camera, deque()).append(waiting)

    def due_ns(self) -> int | None:
        """Say when `take` will have a batch, if nothing else comes; 0 when it has one now, None when none waits."""
        count = len(self)
        if count >= self._max_batch:
            return 0
        return min((self._urgency_ns(waiting, count) for waiting in self._waiting()), default=None)

    def take(self, now_ns: int, *, is_stopping: bool = False) -> list[Waiting[_T]]:
        """Hand out the next batch, neighbours first; empty while nothing is due. Stopping makes everything due."""
        due_ns = self.due_ns()
        if due_ns is None or (due_ns > now_ns and not is_stopping):
            return []
        batch = self._neighbours()
        others = min(self._max_batch, len(self)) - len(batch)
        if others and self._is_cheaper_together(len(batch), others):
            batch = list(self._most_urgent(len(batch) + others, batch))
        return [self._lines[waiting.camera].popleft() for waiting in batch[: self._size_in_time(batch, now_ns)]]

    def give_up(self, now_ns: int) -> list[Waiting[_T]]:
        """Remove the frames whose verdict is late: past the deadline, or sure to be while others wait behind them.

        A lone frame is run however little time it has: the expected cost may be wrong, and only a run corrects it.
        """
        late = [waiting for waiting in self._waiting() if waiting.deadline_ns <= now_ns]
        end_ns = now_ns + self._cost.mean_ns(1)
        hopeless = [waiting for waiting in self._waiting() if now_ns < waiting.deadline_ns < end_ns]
        if len(late) + len(hopeless) == len(self):
            hopeless = hopeless[:-1]
        gone = late + hopeless
        if gone:
            identities = set(map(id, gone))
            for camera, line in self._lines.items():
                self._lines[camera] = deque(waiting for waiting in line if id(waiting) not in identities)
        return gone

    def clear(self) -> list[Waiting[_T]]:
        """Remove and give everything that waits."""
        everything = list(self._waiting())
        self._lines.clear()
        return everything

    def _waiting(self) -> Iterator[Waiting[_T]]:
        return (waiting for line in self._lines.values() for waiting in line)

    def _urgency_ns(self, waiting: Waiting[_T], count: int) -> int:
        """Latest start of a run with this frame in it: its wait is over, or its deadline comes near."""
        latest_ns = waiting.deadline_ns - self._margin_ns - self._cost.cautious_ns(min(count, self._max_batch))
        wait_ns = self._max_wait_ns if self._pays_to_wait(count) else 0
        return min(waiting.ready_ns + wait_ns, latest_ns)

    def _pays_to_wait(self, count: int) -> bool:
        """Whether one more frame in the run saves time, as far as is known; else waiting for it only costs latency."""
        return self._cost.mean_ns(count) == 0 or self._is_cheaper_together(count, 1)

    def _neighbours(self) -> list[Waiting[_T]]:
        """Frames that are one array, from the head of the line in which the most urgent frame stands."""
        count = len(self)
        lead = min(self._waiting(), key=lambda waiting: self._urgency_ns(waiting, count))
        batch: list[Waiting[_T]] = []
        for waiting in self._lines[lead.camera]:
            if len(batch) == self._max_batch or (batch and not batch[-1].is_followed_by(waiting)):
                break
            batch.append(waiting)
        return batch

    def _is_cheaper_together(self, neighbours: int, others: int) -> bool:
        apart_ns = self._cost.mean_ns(neighbours) + self._cost.mean_ns(others)
        return self._cost.mean_ns(neighbours + others) < _GATHER_GAIN * apart_ns

    def _most_urgent(self, size: int, lead: list[Waiting[_T]]) -> Iterator[Waiting[_T]]:
        """The lead frames, then the most urgent heads of all lines, until there are `size`."""
        yield from lead
        rests = {camera: deque(line) for camera, line in self._lines.items() if line}
        for _ in lead:
            rests[lead[0].camera].popleft()
        for _ in range(size - len(lead)):
            heads = (line[0] for line in rests.values() if line)
            chosen = min(heads, key=lambda waiting: self._urgency_ns(waiting, size))
            yield rests[chosen.camera].popleft()

    def _size_in_time(self, batch: list[Waiting[_T]], now_ns: int) -> int:
        """Largest part of the batch that makes no frame late which a smaller part could still save."""
        for size in range(len(batch), 1, -1):
            alone_ns, together_ns = (now_ns + self._margin_ns + self._cost.cautious_ns(n) for n in (1, size))
            if not any(alone_ns <= waiting.deadline_ns < together_ns for waiting in batch[:size]):
                return size
        return 1
