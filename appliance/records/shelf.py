"""Frames on loan that wait for their verdict: whether a picture is kept is known only then.

The recorder is each ring's second reader. Nothing is copied for a frame whose picture isn't wanted. The shelf never
takes all that the ring lends: one slot of its quota stays free for the next frame, the oldest one on the shelf is
given up for it, counted. A verdict that comes too late finds its frame gone; the record says why.
"""

from collections import Counter, OrderedDict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from appliance.clock import NS_PER_MS
from appliance.errors import LeaseReleased
from appliance.records.absence import Absence
from appliance.ring import CameraFeed, FrameLease, ReaderRole

DEFAULT_MAX_AGE_MS = 2000.0  # a verdict comes within the recipe's deadline, or not at all
_REMEMBERED = 512  # frames given up, per camera: their records come soon after


class FrameShelf:
    """Leases of all cameras until they are asked for. Single-threaded; nothing blocks.

    Args:
        runtime_dir: Where the rings' sockets are.
        quotas: Per camera, most frames that its ring lends an observer.
        max_age_ms: How long a frame may wait.
    """

    def __init__(self, runtime_dir: Path, quotas: Mapping[str, int], *, max_age_ms: float = DEFAULT_MAX_AGE_MS) -> None:
        self._max_age_ns = round(max_age_ms * NS_PER_MS)
        self._boards = {
            camera: _Board(CameraFeed(camera, runtime_dir / f"ring.{camera}.sock", ReaderRole.OBSERVER), quota)
            for camera, quota in quotas.items()
        }

    def __len__(self) -> int:
        return sum(len(board.waiting) for board in self._boards.values())

    def connect_when_due(self, now_ns: int) -> None:
        """Look for grabbers that are not connected, as often as their feeds find right."""
        for board in self._boards.values():
            board.feed.connect_when_due(now_ns)

    def feeds(self) -> list[CameraFeed]:
        """List the connected feeds, to poll; one that is readable asks for `collect`."""
        return [board.feed for board in self._boards.values() if board.feed.is_connected]

    def collect(self, now_ns: int) -> None:
        """Take the frames that the rings offer; give up those for which there is no room or no verdict came."""
        for board in self._boards.values():
            board.collect(now_ns)
            board.drop_before(now_ns - self._max_age_ns)

    def take(self, camera: str, trigger_id: int, now_ns: int) -> FrameLease | None:
        """Take a frame from the shelf, or from the ring where it was not collected yet; the caller releases it.

        Returns:
            None where it isn't; `why_absent` tells the reason.
        """
        board = self._boards.get(camera)
        if board is None:
            return None
        if trigger_id not in board.waiting:
            board.collect(now_ns)
        lease, _ = board.waiting.pop(trigger_id, (None, 0))
        return lease if lease is not None and _is_valid(lease) else None

    def drop(self, camera: str, trigger_id: int, now_ns: int) -> None:
        """Give a frame back that nobody wants."""
        lease = self.take(camera, trigger_id, now_ns)
        if lease is not None:
            lease.release()

    def why_absent(self, camera: str, trigger_id: int) -> Absence:
        """Tell why `take` found no frame."""
        board = self._boards.get(camera)
        return Absence.NOT_LEASED if board is None else board.given_up.get(trigger_id, Absence.NOT_LEASED)

    def status(self) -> dict[str, Any]:
        """Say what each camera's frames came to."""
        return {
            camera: {
                "is_connected": board.feed.is_connected,
                "waiting": len(board.waiting),
                "leased": board.leased,
                "given_up": dict(board.counts),
            }
            for camera, board in self._boards.items()
        }

    def close(self) -> None:
        """Give everything back and hang up."""
        for board in self._boards.values():
            for lease, _ in board.waiting.values():
                lease.release()
            board.waiting.clear()
            board.feed.close()


def _is_valid(lease: FrameLease) -> bool:
    """Tell whether the frame is still there; a feed that hung up over trouble with its ring ended all its leases."""
    try:
        return lease.generation is not None
    except LeaseReleased:
        return False


class _Board:
    """One camera's part of the shelf, in order of arrival."""

    def __init__(self, feed: CameraFeed, quota: int) -> None:
        self.feed = feed
        self.room = max(1, quota - 1)
        self.waiting: OrderedDict[int, tuple[FrameLease, int]] = OrderedDict()
        self.given_up: OrderedDict[int, Absence] = OrderedDict()
        self.leased = 0
        self.counts: Counter[str] = Counter()

    def collect(self, now_ns: int) -> None:
        for lease in self.feed.receive():
            self.leased += 1
            number = lease.trigger.trigger_id
            repeated = self.waiting.pop(number, None)  # only of another ledger: ids never repeat within one
            if repeated is not None:
                repeated[0].release()
            self.waiting[number] = (lease, now_ns)
            if len(self.waiting) > self.room:
                self._give_up_oldest(Absence.SHELF_FULL)

    def drop_before(self, oldest_ns: int) -> None:
        while self.waiting and next(iter(self.waiting.values()))[1] < oldest_ns:
            self._give_up_oldest(Absence.TOO_OLD)

    def _give_up_oldest(self, why: Absence) -> None:
        number, (lease, _) = self.waiting.popitem(last=False)
        lease.release()
        self.counts[why.value] += 1
        self.given_up[number] = why
        if len(self.given_up) > _REMEMBERED:
            self.given_up.popitem(last=False)
