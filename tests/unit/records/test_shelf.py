from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path

import pytest

from appliance import seqpacket
from appliance.clock import NS_PER_MS
from appliance.records.absence import Absence
from appliance.records.shelf import FrameShelf
from appliance.ring import ReaderRole, RingReader, observer_quota
from appliance.testing.marked_frames import is_intact, marked_layout
from appliance.testing.ring_stand import RingStand

SLOTS = 12
QUOTA = observer_quota(SLOTS, SLOTS)
MAX_AGE_MS = 100.0


class ShelfStand:
    """A ring with an inspector that gives every frame back at once, and a shelf as its second reader."""

    def __init__(self, runtime_dir: Path, stack: ExitStack) -> None:
        self.ring_stand = RingStand(runtime_dir / "ring.cam0.sock", stack)
        self.shelf = FrameShelf(runtime_dir, {"cam0": QUOTA}, max_age_ms=MAX_AGE_MS)
        stack.enter_context(closing(self.shelf))
        self.now_ns = 10**12
        self.start_grabber()

    def start_grabber(self, slots: int = SLOTS) -> None:
        self.ring_stand.start(marked_layout(slots))
        self.inspector: RingReader = self.ring_stand.reader(ReaderRole.INSPECTOR)
        self.now_ns += 1000 * NS_PER_MS
        self.shelf.connect_when_due(self.now_ns)
        self.ring_stand.settle()

    def expose(self, count: int, *, collecting: bool = True) -> None:
        for _ in range(count):
            assert self.ring_stand.camera.expose() is not None
            self.ring_stand.settle()
            for lease in self.inspector.receive():
                lease.release()
            if collecting:
                self.shelf.collect(self.now_ns)
            self.ring_stand.settle()

    @property
    def lent(self) -> int:
        self.ring_stand.settle()
        return self.ring_stand.ring.status()["leased"]


@pytest.fixture
def stand(tmp_path: Path) -> Iterator[ShelfStand]:
    with ExitStack() as stack:
        yield ShelfStand(tmp_path, stack)


def test_a_frame_waits_unchanged_until_it_is_taken(stand: ShelfStand) -> None:
    stand.expose(3)
    lease = stand.shelf.take("cam0", 2, stand.now_ns)
    assert lease is not None
    with lease:
        assert (lease.trigger.trigger_id, is_intact(lease)) == (2, True)
    assert len(stand.shelf) == 2
    assert stand.shelf.take("cam0", 2, stand.now_ns) is None


def test_a_frame_that_was_not_collected_yet_can_be_taken(stand: ShelfStand) -> None:
    stand.expose(1, collecting=False)
    lease = stand.shelf.take("cam0", 1, stand.now_ns)
    assert lease is not None
    lease.release()


def test_a_dropped_frame_goes_back_to_the_ring(stand: ShelfStand) -> None:
    stand.expose(2)
    stand.shelf.drop("cam0", 1, stand.now_ns)
    stand.shelf.drop("cam0", 1, stand.now_ns)
    assert (len(stand.shelf), stand.lent) == (1, 1)


def test_the_shelf_gives_up_the_oldest_rather_than_miss_the_newest(stand: ShelfStand) -> None:
    stand.expose(3 * SLOTS)
    newest = stand.ring_stand.camera.next_id - 1
    assert len(stand.shelf) == stand.lent == QUOTA - 1
    assert stand.shelf.take("cam0", 1, stand.now_ns) is None
    assert stand.shelf.why_absent("cam0", 1) is Absence.SHELF_FULL
    for number in range(newest - QUOTA + 2, newest + 1):
        lease = stand.shelf.take("cam0", number, stand.now_ns)
        assert lease is not None
        assert is_intact(lease)
        lease.release()
    status = stand.shelf.status()["cam0"]
    assert (status["leased"], status["given_up"]) == (newest, {"shelf_full": newest - QUOTA + 1})


def test_a_frame_whose_verdict_never_comes_is_given_up(stand: ShelfStand) -> None:
    stand.expose(2)
    stand.now_ns += round(MAX_AGE_MS * NS_PER_MS)
    stand.expose(1)
    assert len(stand.shelf) == 3
    stand.shelf.collect(stand.now_ns + 1)
    assert (len(stand.shelf), stand.lent) == (1, 1)
    assert stand.shelf.why_absent("cam0", 2) is Absence.TOO_OLD


def test_frames_of_a_grabber_that_died_can_still_be_taken(stand: ShelfStand) -> None:
    stand.expose(2)
    stand.ring_stand.ring.close()
    stand.shelf.collect(stand.now_ns)
    assert not stand.shelf.feeds()
    lease = stand.shelf.take("cam0", 2, stand.now_ns)
    assert lease is not None
    with lease:
        assert is_intact(lease)


def test_frames_of_a_ring_in_trouble_are_absent_not_an_error(stand: ShelfStand) -> None:
    stand.expose(1)
    *_, observer = stand.ring_stand.ring._peers.values()
    seqpacket.send(observer.socket, b"F" + bytes(70))  # a damaged descriptor: the feed hangs up
    stand.shelf.collect(stand.now_ns)
    assert not stand.shelf.feeds()
    assert stand.shelf.take("cam0", 1, stand.now_ns) is None


def test_a_restarted_grabber_is_found_and_keeps_its_own_leases(stand: ShelfStand) -> None:
    stand.expose(2)
    stand.ring_stand.ring.close()
    stand.shelf.collect(stand.now_ns)
    stand.start_grabber()
    stand.ring_stand.camera.next_id = 10
    stand.expose(2)
    stand.shelf.drop("cam0", 1, stand.now_ns)  # slot 0 of the old memory: the new grabber's slot 0 is frame 10
    assert stand.lent == 2
    lease = stand.shelf.take("cam0", 10, stand.now_ns)
    assert lease is not None
    with lease:
        assert is_intact(lease)


def test_a_frame_of_a_new_ledger_with_an_old_number_takes_its_place(stand: ShelfStand) -> None:
    stand.expose(1)
    stand.ring_stand.camera.next_id = 1
    stand.expose(1)
    assert (len(stand.shelf), stand.lent) == (1, 1)


def test_closing_gives_everything_back(stand: ShelfStand) -> None:
    stand.expose(3)
    stand.shelf.close()
    assert (len(stand.shelf), stand.lent) == (0, 0)


def test_the_smallest_ring_still_lends_one_frame(tmp_path: Path) -> None:
    with ExitStack() as stack:
        stand = ShelfStand(tmp_path, stack)
        stand.shelf.close()
        stand.ring_stand.ring.close()
        stand.shelf = stack.enter_context(
            closing(FrameShelf(tmp_path, {"cam0": observer_quota(4, 4)}, max_age_ms=MAX_AGE_MS))
        )
        stand.start_grabber(slots=4)
        stand.expose(3)
        lease = stand.shelf.take("cam0", 1, stand.now_ns)
        assert lease is not None
        lease.release()


def test_an_unknown_camera_or_frame_was_never_leased(stand: ShelfStand) -> None:
    assert stand.shelf.take("cam9", 1, stand.now_ns) is None
    assert stand.shelf.take("cam0", 99, stand.now_ns) is None
    assert stand.shelf.why_absent("cam9", 1) is stand.shelf.why_absent("cam0", 99) is Absence.NOT_LEASED
