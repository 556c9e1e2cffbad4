"""Writer and readers in one process, over real sockets and memory."""

import ctypes
import os
import socket
from pathlib import Path

import numpy as np
import pytest

from appliance import seqpacket
from appliance.errors import LeaseReleased, RingError
from appliance.messages import Reason
from appliance.ring import FrameRing, OverflowPolicy, ReaderRole, RingReader, contiguous
from appliance.ring import datagrams as protocol
from appliance.testing.marked_frames import is_intact, mark, marked_layout, marked_trigger
from appliance.testing.ring_stand import RingStand

OBSERVER = ReaderRole.OBSERVER


def reasons(stand: RingStand) -> list[Reason]:
    return list(stand.camera.outcomes.values())


# -- pixels


def test_the_reader_reads_the_very_memory_the_camera_wrote(stand: RingStand) -> None:
    ring = stand.start()
    reader = stand.reader()
    stand.camera.expose()
    (lease,) = reader.receive()
    pixels = lease.pixels
    assert is_intact(lease)
    assert ring.memory is not None
    ctypes.memset(ring.memory.address(lease.slot), 0xA5, 1)  # no further call: it must show through
    assert pixels.reshape(-1)[0] == 0xA5
    assert not pixels.flags.writeable


def test_a_released_lease_refuses_and_its_slot_may_be_overwritten(stand: RingStand) -> None:
    stand.start(marked_layout(4))
    reader = stand.reader()
    stand.camera.expose()
    with reader.receive()[0] as lease:
        view = lease.pixels
        assert is_intact(lease)
    for use in ("pixels", "geometry", "generation"):
        with pytest.raises(LeaseReleased, match=r"slot 0, trigger 1: used after its release"):
            getattr(lease, use)
    lease.release()  # twice does nothing
    stand.settle()
    for _ in range(4):
        stand.camera.expose()
        for newer in reader.receive():
            assert is_intact(newer)
            newer.release()
        stand.settle()
    assert (view.reshape(-1).view("<u8") == 5).all(), "the slot came round: a view that was kept shows the new frame"


def test_a_leased_slot_is_never_given_to_the_camera(stand: RingStand) -> None:
    stand.start(marked_layout(6))
    reader = stand.reader()
    stand.camera.expose()
    (kept,) = reader.receive()
    for _ in range(50):
        stand.camera.expose()
        for lease in reader.receive():
            lease.release()
        stand.settle()
        assert is_intact(kept)
    assert set(reasons(stand)) == {Reason.NONE}


def test_neighbours_are_one_array_and_everything_else_is_none(stand: RingStand) -> None:
    stand.start(marked_layout(12))
    reader = stand.reader()
    for _ in range(6):
        stand.camera.expose()
    leases = reader.receive()
    batch = contiguous(leases[1:4])
    assert batch is not None
    assert batch.shape == (3, 1, 64)
    assert batch.ctypes.data == leases[1].pixels.ctypes.data, "a copy"
    assert np.array_equal(batch[:, 0, 0], [2, 3, 4])
    assert contiguous(leases[:1]) is not None
    assert contiguous([leases[1], leases[3]]) is None
    assert contiguous([leases[2], leases[1]]) is None
    assert contiguous([leases[1], leases[1]]) is None
    stand.ring.renew(marked_layout(12))
    stand.camera.expose()
    newer = reader.receive()
    assert contiguous([leases[0], *newer]) is None


def test_padded_neighbours_are_no_batch_but_one_frame_is(stand: RingStand) -> None:
    stand.start(marked_layout(8, words=3, tail_bytes=5))
    reader = stand.reader()
    stand.camera.expose()
    stand.camera.expose()
    leases = reader.receive()
    assert all(is_intact(lease) for lease in leases)
    assert contiguous(leases) is None
    assert contiguous(leases[:1]) is not None


# -- readers come and go


def test_several_readers_share_a_slot_until_the_last_releases(stand: RingStand) -> None:
    ring = stand.start()
    inspector, recorder = stand.reader(), stand.reader(OBSERVER)
    stand.camera.expose()
    (first,), (second,) = inspector.receive(), recorder.receive()
    assert first.slot == second.slot
    first.release()
    stand.settle()
    assert ring.status()["leased"] == 1
    second.release()
    stand.settle()
    assert ring.status()["leased"] == 0


def test_a_second_inspector_is_hung_up_on_and_the_first_goes_on(stand: RingStand) -> None:
    ring = stand.start()
    inspector, second = stand.reader(), stand.reader()
    assert second.receive() == []
    assert not second.is_connected
    assert ring.status()["readers"] == 1
    stand.camera.expose()
    assert len(inspector.receive()) == 1
    inspector.close()
    stand.settle()
    assert second.connect()
    stand.settle()
    stand.camera.expose()
    assert [lease.trigger.trigger_id for lease in second.receive()] == [2]


def test_a_dead_reader_s_leases_come_back_even_with_releases_and_frames_unread(stand: RingStand) -> None:
    freed: list[int] = []
    ring = stand.start(on_freed=freed.extend)
    reader = stand.reader()
    for _ in range(4):
        stand.camera.expose()
    leases = reader.receive()
    stand.camera.expose()  # never received
    leases[1].release()  # in flight when it dies
    reader.close()
    stand.settle()
    assert sorted(freed) == [0, 1, 2, 3, 4]
    assert (ring.status()["leased"], ring.status()["readers"]) == (0, 0)
    assert not ring.has_inspector


def test_a_closed_reader_s_leases_are_over_because_the_camera_may_overwrite_them(stand: RingStand) -> None:
    stand.start()
    reader = stand.reader()
    stand.camera.expose()
    (lease,) = reader.receive()
    reader.close()
    with pytest.raises(LeaseReleased):
        _ = lease.pixels
    lease.release()


def test_a_late_reader_gets_later_frames_only(stand: RingStand) -> None:
    stand.start()
    early = stand.reader(OBSERVER)
    stand.camera.expose()
    late = stand.reader()
    stand.camera.expose()
    assert [lease.trigger.trigger_id for lease in early.receive()] == [1, 2]
    assert [lease.trigger.trigger_id for lease in late.receive()] == [2]


@pytest.mark.parametrize(
    "garbage",
    [
        b"?",
        b"H" + b"[" * 60_000,
        b"R" * 8,
        b"R\x00",
        b"x" * 60_000,
        protocol.encode_release(0, 1),
        protocol.encode_hello(ReaderRole.INSPECTOR) + b"tail",
    ],
    ids=lambda garbage: repr(garbage[:12]),
)
@pytest.mark.parametrize("after_hello", [False, True])
def test_a_reader_that_sends_garbage_is_hung_up_on_and_hurts_nobody(
    stand: RingStand, garbage: bytes, after_hello: bool
) -> None:
    ring = stand.start()
    inspector = stand.reader()
    stand.camera.expose()
    peer = seqpacket.connect(stand.path)
    assert peer is not None
    with peer:
        if after_hello:
            seqpacket.send(peer, protocol.encode_hello(OBSERVER))
        with Path("/dev/null").open() as file:
            seqpacket.send(peer, garbage, file.fileno())
        stand.settle()
        assert ring.status()["readers"] == 1
    (lease,) = inspector.receive()
    assert is_intact(lease)
    assert ring.status()["leased"] == 1


def test_releasing_another_readers_slot_ends_the_culprit_not_the_lease(stand: RingStand) -> None:
    ring = stand.start()
    inspector = stand.reader()
    stand.camera.expose()
    (lease,) = inspector.receive()
    peer = seqpacket.connect(stand.path)
    assert peer is not None
    with peer:
        seqpacket.send(peer, protocol.encode_hello(OBSERVER))
        seqpacket.send(peer, protocol.encode_release(lease.slot, 1))
        stand.settle()
    assert (ring.status()["leased"], ring.status()["readers"]) == (1, 1)


def test_a_peer_gone_before_its_hello_leaves_nothing(stand: RingStand) -> None:
    ring = stand.start()
    for _ in range(20):
        peer = seqpacket.connect(stand.path)
        assert peer is not None
        peer.close()
        stand.settle()
    assert ring.status()["readers"] == 0


def test_readers_that_come_before_the_memory_are_told_when_it_is_there(stand: RingStand, tmp_path: Path) -> None:
    ring = FrameRing(tmp_path / "early")
    reader = RingReader(tmp_path / "early")
    try:
        assert reader.connect()
        ring.serve(0)
        ring.serve(0)
        ring.renew(marked_layout(4))
        slot = ring.loan()
        assert slot is not None
        assert ring.receive(slot).reason is Reason.NONE
        ring.offer(slot, marked_trigger(1))
        assert len(reader.receive()) == 1
    finally:
        reader.close()
        ring.close()


# -- every frame ends once


def test_frames_without_an_inspector_are_received_and_freed(stand: RingStand) -> None:
    ring = stand.start(marked_layout(4))
    for _ in range(10):
        outcome = stand.camera.expose()
        assert outcome is not None
        assert len(outcome.freed) == 1
    assert reasons(stand) == [Reason.INSPECTOR_DOWN] * 10
    assert ring.status()["dropped"] == 0


def test_a_full_ring_is_counted_and_drops_the_newest(stand: RingStand) -> None:
    ring = stand.start(marked_layout(6))
    reader = stand.reader()
    for _ in range(9):
        stand.camera.expose()
    assert reasons(stand) == [Reason.NONE] * 4 + [Reason.RING_FULL] * 5
    assert ring.status()["dropped"] == 5
    assert [lease.trigger.trigger_id for lease in reader.receive()] == [1, 2, 3, 4]


def test_drop_oldest_keeps_the_newest_waiting_and_amends_the_evicted(stand: RingStand) -> None:
    ring = stand.start(marked_layout(6), overflow=OverflowPolicy.DROP_OLDEST, lease_quota=1)
    reader = stand.reader()
    for _ in range(7):
        stand.camera.expose()
    seen = []
    while leases := reader.receive():
        for lease in leases:
            assert is_intact(lease)
            seen.append(lease.trigger.trigger_id)
            lease.release()
        stand.settle()
    assert seen == [1, 5, 6, 7]
    assert [i for i, reason in stand.camera.outcomes.items() if reason is Reason.RING_FULL] == [2, 3, 4]
    assert ring.status()["dropped"] == 3


def test_frames_that_waited_for_a_dead_inspector_are_reported_lost(stand: RingStand) -> None:
    ring = stand.start(overflow=OverflowPolicy.DROP_OLDEST, lease_quota=1)
    reader = stand.reader()
    for _ in range(3):
        stand.camera.expose()
    reader.close()
    stand.settle()
    assert reasons(stand) == [Reason.NONE, Reason.INSPECTOR_DOWN, Reason.INSPECTOR_DOWN]
    assert ring.table is not None
    assert ring.table.occupied == 0


def test_frames_that_waited_when_the_generation_ended_are_reported_lost_and_counted(stand: RingStand) -> None:
    ring = stand.start(overflow=OverflowPolicy.DROP_OLDEST, lease_quota=1)
    reader = stand.reader()
    for _ in range(3):
        stand.camera.expose()
    ring.renew(marked_layout(8))
    assert reasons(stand) == [Reason.NONE, Reason.RING_FULL, Reason.RING_FULL]
    assert ring.status()["dropped"] == 2
    assert [lease.trigger.trigger_id for lease in reader.receive()] == [1]


def test_a_frame_offered_to_a_dead_inspector_s_socket_is_inspector_down_not_ring_full(stand: RingStand) -> None:
    ring = stand.start()
    reader = stand.reader()
    reader.close()  # its EOF has not been served yet
    stand.camera.expose()
    assert reasons(stand) == [Reason.INSPECTOR_DOWN]
    assert ring.status()["dropped"] == 0


def test_a_frame_announced_as_inspector_down_is_not_offered_to_an_inspector_that_came_meanwhile(
    stand: RingStand,
) -> None:
    ring = stand.start()
    observer = stand.reader(OBSERVER)
    slot = ring.loan()
    assert slot is not None
    reason = ring.receive(slot).reason
    assert reason is Reason.INSPECTOR_DOWN
    inspector = stand.reader()
    assert ring.offer(slot, marked_trigger(1, reason)).reason is Reason.INSPECTOR_DOWN
    assert inspector.receive() == []
    assert len(observer.receive()) == 1


def fill_socket(ring: FrameRing) -> None:
    """Stuff the inspector's socket: the reader ignores what it doesn't know."""
    assert ring._primary is not None
    while seqpacket.send(ring._peers[ring._primary].socket, b"?"):
        pass


def test_a_full_socket_drops_the_newest_as_ring_full(stand: RingStand) -> None:
    ring = stand.start()
    reader = stand.reader()
    reader.receive()
    fill_socket(ring)
    outcome = stand.camera.expose()
    assert outcome is not None
    assert (outcome.reason, outcome.freed) == (Reason.RING_FULL, (0,))
    assert ring.status()["dropped"] == 1
    assert reader.receive() == []
    stand.camera.expose()
    assert [lease.trigger.trigger_id for lease in reader.receive()] == [2]


def test_a_full_socket_makes_drop_oldest_wait_for_room(stand: RingStand) -> None:
    ring = stand.start(marked_layout(6), overflow=OverflowPolicy.DROP_OLDEST)
    reader, observer = stand.reader(), stand.reader(OBSERVER)
    reader.receive()
    fill_socket(ring)
    for _ in range(6):
        stand.camera.expose()
        stand.settle()
    reader.receive()
    stand.settle()
    assert [lease.trigger.trigger_id for lease in reader.receive()] == [3, 4, 5, 6]
    assert [i for i, reason in stand.camera.outcomes.items() if reason is Reason.RING_FULL] == [1, 2]
    assert ring.status()["dropped"] == 2
    assert [lease.trigger.trigger_id for lease in observer.receive()] == [3, 4]
    assert ring.status()["missed"] == 2


def test_an_observer_s_misses_are_counted_whatever_the_cause_and_never_forgotten(stand: RingStand) -> None:
    ring = stand.start(marked_layout(6))
    inspector, observer = stand.reader(), stand.reader(OBSERVER)
    for _ in range(5):
        stand.camera.expose()
        for lease in inspector.receive():
            lease.release()
        stand.settle()
    assert ring.status()["missed"] == 3, "its quota is 2"
    ring.renew(marked_layout(6))
    observer.close()
    stand.camera.expose()  # its socket is dead, its EOF not served yet
    assert ring.status()["missed"] == 4
    stand.settle()
    assert ring.status()["missed"] == 4
    assert set(reasons(stand)) == {Reason.NONE}


def test_a_frame_whose_announcement_failed_is_taken_back(stand: RingStand) -> None:
    ring = stand.start(marked_layout(4))
    stand.reader()
    slot = ring.loan()
    assert slot is not None
    ring.receive(slot)
    ring.abandon(slot)
    stand.camera.expose()
    assert reasons(stand) == [Reason.NONE], "nothing stands in its way"


def test_offering_a_slot_without_a_new_frame_is_refused(stand: RingStand) -> None:
    ring = stand.start(marked_layout(4))
    stand.reader()
    slot = ring.loan()
    assert slot is not None
    for when in ("still the camera's", "already lent"):
        with pytest.raises(RingError, match=r"can't be offered|expected"):
            ring.offer(slot, marked_trigger(99))
        if when == "still the camera's":
            ring.receive(slot)
            ring.offer(slot, marked_trigger(1))
    with pytest.raises(RingError):
        ring.abandon(slot)


# -- generations


def test_old_leases_stay_valid_over_a_new_generation_and_their_releases_mean_nothing(stand: RingStand) -> None:
    ring = stand.start(marked_layout(6))
    reader = stand.reader()
    stand.camera.expose()
    (old,) = reader.receive()
    stand.camera.expose()  # queued in the old generation, received in the new one
    ring.renew(marked_layout(6, words=16))
    stand.camera.expose()
    second, third = reader.receive()
    assert is_intact(old)
    assert is_intact(second)
    assert is_intact(third)
    assert (old.geometry.width, third.geometry.width) == (64, 128)
    old.release()
    second.release()
    stand.settle()
    assert ring.status()["leased"] == 1
    assert is_intact(third)
    third.release()
    stand.settle()
    assert ring.status()["leased"] == 0


def test_a_release_that_crosses_a_new_generation_frees_nothing_there(stand: RingStand) -> None:
    ring = stand.start(marked_layout(6))
    reader = stand.reader()
    stand.camera.expose()
    (old,) = reader.receive()
    ring.renew(marked_layout(6))
    stand.camera.expose()
    old.release()  # the reader has not heard of the new generation yet, and slot 0 is lent there too
    stand.settle()
    assert ring.status()["leased"] == 1
    (new,) = reader.receive()
    assert new.slot == old.slot
    assert is_intact(new)


def test_a_release_to_a_dead_writer_never_reaches_its_successor(stand: RingStand) -> None:
    first = stand.start(marked_layout(6))
    reader = stand.reader()
    stand.camera.expose()
    (old,) = reader.receive()
    first.close()
    assert reader.receive() == []
    assert not reader.is_connected
    second = stand.start(marked_layout(6))  # its generation is number 1 again
    assert reader.connect()
    stand.settle()
    stand.camera.expose()
    (new,) = reader.receive()
    assert new.slot == old.slot
    assert is_intact(old)
    old.release()
    stand.settle()
    assert second.status()["leased"] == 1, "the successor's own lease was ended"
    assert second.status()["readers"] == 1
    new.release()
    stand.settle()
    assert second.status()["leased"] == 0


def test_a_reader_that_cannot_be_told_of_a_new_generation_is_hung_up_on(stand: RingStand) -> None:
    ring = stand.start(marked_layout(4))
    reader = stand.reader()
    stand.camera.expose()
    fill_socket(ring)
    ring.renew(marked_layout(4))
    assert not ring.has_inspector
    stand.camera.expose()
    assert reasons(stand) == [Reason.NONE, Reason.INSPECTOR_DOWN]
    while reader.is_connected:
        leases = reader.receive()
        assert all(is_intact(lease) for lease in leases)
    assert reader.connect()
    stand.settle()
    stand.camera.expose()
    assert [lease.trigger.trigger_id for lease in reader.receive()] == [3]


def test_a_writer_s_end_comes_after_everything_it_sent(stand: RingStand) -> None:
    ring = stand.start()
    reader = stand.reader()
    for _ in range(3):
        stand.camera.expose()
    (first, *_) = reader.receive()[:1]
    first.release()  # unread by the writer: its end shows as a reset first
    stand.camera.expose()
    ring.close()
    (last,) = reader.receive()
    assert not reader.is_connected
    assert is_intact(last)
    assert not reader.connect()
    last.release()


def test_closing_an_old_writer_leaves_its_successor_s_socket_alone(stand: RingStand) -> None:
    first = stand.start()
    stand.start()
    first.close()
    stand.reader()


# -- a broken writer


def fake_writer(path: Path, reader: RingReader, *messages: tuple[bytes, int | None]) -> socket.socket:
    with seqpacket.listen(path) as server:
        assert reader.connect()
        peer = seqpacket.accept(server)
    assert peer is not None
    for message, fd in messages:
        seqpacket.send(peer, message, fd)
    return peer


@pytest.mark.parametrize(
    "message",
    [b"G{}", b"G\xff", b"G[]", b"F", b"F" + b"\x00" * 70, protocol.encode_frame(0, 1, marked_trigger(1))],
    ids=lambda message: repr(message[:8]),
)
@pytest.mark.parametrize("with_fd", [False, True])
def test_a_writer_that_makes_no_sense_is_a_ring_error_hung_up_on_and_nothing_leaks(
    tmp_path: Path, message: bytes, with_fd: bool
) -> None:
    reader = RingReader(tmp_path / "s")
    fd = os.open("/dev/null", os.O_RDONLY) if with_fd else None
    before = len(list(Path("/proc/self/fd").iterdir()))
    with fake_writer(tmp_path / "s", reader, (message, fd)):
        with pytest.raises(RingError):
            reader.receive()
        assert not reader.is_connected
    assert len(list(Path("/proc/self/fd").iterdir())) == before
    if fd is not None:
        os.close(fd)


def test_frames_already_drained_when_the_writer_goes_wrong_are_not_kept_from_it(stand: RingStand) -> None:
    ring = stand.start()
    reader = stand.reader()
    stand.camera.expose()
    assert ring._primary is not None
    seqpacket.send(ring._peers[ring._primary].socket, b"F broken")
    with pytest.raises(RingError, match="damaged"):
        reader.receive()
    stand.settle()
    assert ring.status()["leased"] == 0


def test_memory_is_freed_with_its_generation(stand: RingStand) -> None:
    ring = stand.start()
    reader = stand.reader()
    mapped = []
    for words in range(8, 40):
        ring.renew(marked_layout(4, words))
        stand.camera.expose()
        mark(ring.memory, 1, 77)
        for lease in reader.receive():
            assert is_intact(lease)
            lease.release()
        del lease
        stand.settle()
        mapped.append(Path("/proc/self/maps").read_text().count("memfd:appliance-ring"))
    assert set(mapped) == {2}, "one for the writer, one for the reader"
