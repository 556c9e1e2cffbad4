"""Capture thread, service thread and reader at once; and memory over many generations."""

import gc
import re
import select
import sys
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from appliance.messages import Reason, Trigger
from appliance.ring import FrameRing, OverflowPolicy, ReaderRole, RingReader, SlotState
from appliance.testing.marked_frames import MarkingCamera, is_intact, marked_layout
from appliance.testing.ring_kills import expose_for, served, wait_until


@pytest.fixture
def restless_threads() -> Iterator[None]:
    """Make Python change threads all the time."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


class ReaderThread(threading.Thread):
    """Leases, compares, releases; comes back whenever it is hung up on, or every `patience` frames by itself."""

    def __init__(self, path: Path, role: ReaderRole, *, patience: int = 0) -> None:
        super().__init__()
        self.path, self.role, self.patience = path, role, patience
        self.seen: list[int] = []
        self.torn = 0
        self.is_over = threading.Event()

    def run(self) -> None:
        with closing(RingReader(self.path, self.role)) as reader:
            while not self.is_over.is_set():
                if not reader.connect():
                    continue
                select.select([reader.fileno()], [], [], 0.01)
                for lease in reader.receive():
                    self.torn += not is_intact(lease)
                    self.seen.append(lease.trigger.trigger_id)
                    self.torn += not is_intact(lease)
                    lease.release()
                    if self.patience and len(self.seen) % self.patience == 0:
                        reader.close()
                        break


@pytest.mark.parametrize("overflow", OverflowPolicy)
@pytest.mark.parametrize("generations", [1, 20])
@pytest.mark.usefixtures("restless_threads")
def test_capture_and_service_threads_agree_on_every_frame(
    tmp_path: Path, overflow: OverflowPolicy, generations: int
) -> None:
    lost: list[Trigger] = []
    ring = FrameRing(
        tmp_path / "ring", overflow=overflow, lease_quota=6, on_lost=lambda trigger, _: lost.append(trigger)
    )
    readers = [
        ReaderThread(tmp_path / "ring", ReaderRole.INSPECTOR),
        ReaderThread(tmp_path / "ring", ReaderRole.OBSERVER, patience=7),
        ReaderThread(tmp_path / "ring", ReaderRole.OBSERVER),
    ]
    with served(ring):
        ring.renew(marked_layout(16, words=64))
        camera = MarkingCamera(ring)
        for reader in readers:
            reader.start()
        try:
            wait_until(lambda: ring.has_inspector, "the inspector connects")
            for _ in range(generations):
                ring.renew(marked_layout(16, words=64))
                expose_for(camera, 2.0 / generations)
            wait_until(lambda: ring.table is not None and ring.table.occupied == 0, "every frame is read")
        finally:
            for reader in readers:
                reader.is_over.set()
            for reader in readers:
                reader.join()
        assert ring.table is not None
        assert ring.table.states == [SlotState.FREE] * 16
        dropped = ring.status()["dropped"]
    assert sum(reader.torn for reader in readers) == 0
    for reader in readers:
        assert reader.seen == sorted(set(reader.seen))
    offered = {i for i, reason in camera.outcomes.items() if reason is Reason.NONE} - {t.trigger_id for t in lost}
    assert offered == set(readers[0].seen), "each frame is inspected or named"
    assert dropped == list(camera.outcomes.values()).count(Reason.RING_FULL) + len(lost)
    assert len(offered) > 100


def shared_kb() -> int:
    found = re.search(r"RssShmem:\s+(\d+)", Path("/proc/self/status").read_text())
    assert found is not None
    return int(found[1])


def test_two_hundred_generations_leave_no_memory_behind(tmp_path: Path) -> None:
    ring, reader = FrameRing(tmp_path / "ring"), RingReader(tmp_path / "ring")
    with closing(ring), closing(reader):
        assert reader.connect()
        shared, descriptors = [], []
        for _ in range(200):
            ring.renew(marked_layout(4, words=64 * 1024))
            ring.serve(0)
            ring.serve(0)
            camera = MarkingCamera(ring)
            for _ in range(4):
                camera.expose()
            leases = reader.receive()
            assert leases
            assert all(is_intact(lease) for lease in leases)
            if len(shared) % 2:
                for lease in leases:  # every other generation ends with its leases out
                    lease.release()
            shared.append(shared_kb())
            descriptors.append(len(list(Path("/proc/self/fd").iterdir())))
        del lease, leases
        gc.collect()
    assert max(shared[-50:]) <= max(shared[:10]), "kB of shared memory"
    assert max(descriptors) <= max(descriptors[:10])
