"""Our trigger count against the controller's: the one check that finds a part which nobody saw. Pure.

We count by trigger id: ids are dense, and the grabber gives one to every pulse that its camera's counter saw without a
frame. `line.resync` says once which id is the controller's N-th; from then on each `line.count` is compared:

    controller's N is behind what we had counted a tolerance ago     mismatch: we took a part for two, or it lost one
    N is among what we have counted since                            agrees
    N is ahead                                                       agrees if we get there within the tolerance

The tolerance covers transfer times both ways, so a slip is found after a tolerance at the latest once a count has been
told. After a mismatch nothing agrees any more until the next `line.resync`.
"""

from collections import deque
from dataclasses import dataclass
from enum import Enum

from appliance.clock import NS_PER_MS


class Agreement(Enum):
    """What a told count means."""

    UNSYNCHRONISED = "unsynchronised"
    AGREES = "agrees"
    AHEAD = "ahead"  # not known yet: we may get there in time
    MISMATCH = "mismatch"


@dataclass
class _Ahead:
    trigger_id: int
    until_ns: int


class LineCount:
    """Both counts of one line. Times are CLOCK_MONOTONIC.

    Attributes:
        offset: Controller's count less our trigger id; None until synchronised.
        mismatch: What was found to differ; None while counts agree.
        controller_count: As told last.
        mismatches: Found since the start.
    """

    def __init__(self, tolerance_ms: float, *, offset: int | None = None, mismatch: str | None = None) -> None:
        self._tolerance_ns = int(tolerance_ms * NS_PER_MS)
        self.offset = offset
        self.mismatch = mismatch
        self.controller_count: int | None = None
        self.mismatches = 0
        self._seen: deque[tuple[int, int]] = deque()
        self._ahead: deque[_Ahead] = deque()

    @property
    def last_trigger_id(self) -> int | None:
        """Our count as it is; None before the first trigger."""
        return self._seen[-1][1] if self._seen else None

    @property
    def our_count(self) -> int | None:
        """The last trigger in the controller's numbers; in ours while not synchronised."""
        last = self.last_trigger_id
        return last if last is None or self.offset is None else last + self.offset

    def is_standing(self, now_ns: int) -> bool:
        """Whether no trigger came within the tolerance, so that "the last one" means one and the same to everybody."""
        return not self._seen or self._seen[-1][0] <= now_ns - self._tolerance_ns

    def trigger_id_of(self, controller_count: int) -> int | None:
        """Translate; None while counts don't agree, or never did."""
        return None if self.offset is None or self.mismatch is not None else controller_count - self.offset

    def see(self, trigger_id: int, exposed_ns: int) -> None:
        """Count a trigger of ours."""
        if self._seen and trigger_id <= self._seen[-1][1]:
            return
        self._seen.append((exposed_ns, trigger_id))
        while len(self._seen) > 1 and self._seen[1][0] <= exposed_ns - 2 * self._tolerance_ns:
            self._seen.popleft()
        while self._ahead and self._ahead[0].trigger_id <= trigger_id and exposed_ns <= self._ahead[0].until_ns:
            self._ahead.popleft()

    def tell(self, controller_count: int, now_ns: int) -> Agreement:
        """Compare the controller's count."""
        self.controller_count = controller_count
        if self.offset is None:
            return Agreement.UNSYNCHRONISED
        if self.mismatch is not None:
            return Agreement.MISMATCH
        trigger_id = controller_count - self.offset
        if trigger_id > (self.last_trigger_id or 0):
            if not self._ahead or trigger_id > self._ahead[-1].trigger_id:
                self._ahead.append(_Ahead(trigger_id, now_ns + self._tolerance_ns))
            return Agreement.AHEAD
        counted = self._counted_at(now_ns - self._tolerance_ns)
        if counted is not None and trigger_id < counted:
            return self._found(f"the controller counts {controller_count}, we had counted {counted + self.offset}")
        return Agreement.AGREES

    def overdue(self, now_ns: int) -> str | None:
        """Look whether a told count was not reached in time: gives the mismatch when it is found."""
        if self.mismatch is not None or not self._ahead or now_ns <= self._ahead[0].until_ns:
            return None
        assert self.offset is not None, "a count is compared with something"
        told, ours = self._ahead[0].trigger_id + self.offset, (self.last_trigger_id or 0) + self.offset
        self._found(f"the controller counted {told}, we counted {ours} until {self._tolerance_ns / 1e6:g} ms later")
        return self.mismatch

    def resync(self, controller_count: int, trigger_id: int) -> None:
        """Declare that a trigger is the controller's N-th."""
        self.offset = controller_count - trigger_id
        self.controller_count = controller_count
        self.mismatch = None
        self._ahead.clear()

    def _found(self, mismatch: str) -> Agreement:
        self.mismatch = mismatch
        self.mismatches += 1
        self._ahead.clear()
        return Agreement.MISMATCH

    def _counted_at(self, at_ns: int) -> int | None:
        counted = None
        for exposed_ns, trigger_id in self._seen:
            if exposed_ns > at_ns:
                break
            counted = trigger_id
        return counted
