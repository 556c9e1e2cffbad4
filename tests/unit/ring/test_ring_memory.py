import ctypes
import errno
import fcntl
import gc
import mmap
import os
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.errors import RingError
from appliance.messages import BYTES_PER_PIXEL, FrameGeometry
from appliance.ring import Generation, RingLayout, RingMemory

PAGE = mmap.PAGESIZE
FALLOC_FL_KEEP_SIZE, FALLOC_FL_PUNCH_HOLE = 1, 2


@dataclass(frozen=True)
class LayoutCase:
    name: str
    geometry: FrameGeometry
    tail_bytes: int = 0
    alignment: int = 1
    is_packed: bool = True
    neighbours_touch: bool = True


CASES = [
    LayoutCase("odd mono8 without chunks", FrameGeometry(13, 7, "Mono8")),
    LayoutCase("mono16", FrameGeometry(13, 7, "Mono16")),
    LayoutCase("rgb8", FrameGeometry(13, 7, "RGB8")),
    LayoutCase("whole pages with chunks", FrameGeometry(PAGE, 2, "Mono8"), tail_bytes=100),
    LayoutCase("whole pages with pages of chunks", FrameGeometry(PAGE, 1, "BayerRG8"), tail_bytes=PAGE + 1),
    LayoutCase("whole pages aligned to pages", FrameGeometry(PAGE, 1, "Mono8"), tail_bytes=9, alignment=PAGE),
    LayoutCase("aligned, gap between images", FrameGeometry(13, 7, "Mono8"), alignment=64, neighbours_touch=False),
    LayoutCase("chunks behind odd images", FrameGeometry(13, 7, "Mono8"), 40, is_packed=False, neighbours_touch=False),
    LayoutCase("odd chunks, mono16", FrameGeometry(13, 7, "Mono16"), 13, is_packed=False, neighbours_touch=False),
]


@pytest.fixture(params=CASES, ids=lambda case: case.name)
def case(request: pytest.FixtureRequest) -> LayoutCase:
    return request.param


def plan(case: LayoutCase, slots: int = 5) -> RingLayout:
    return RingLayout.plan(case.geometry, slots, tail_bytes=case.tail_bytes, alignment=case.alignment)


@pytest.fixture
def memory() -> Iterator[RingMemory]:
    with closing(RingMemory(RingLayout.plan(FrameGeometry(PAGE, 2, "Mono8"), 4, tail_bytes=64))) as memory:
        yield memory


def view(memory: RingMemory) -> Generation:
    return Generation(1, memory.layout, os.dup(memory.fd))


def test_the_layout_is_packed_where_neighbours_can_touch(case: LayoutCase) -> None:
    layout = plan(case)
    assert layout.is_packed is case.is_packed
    assert (layout.stride_bytes == case.geometry.payload_bytes) is case.neighbours_touch
    with closing(RingMemory(layout)) as memory:
        assert view(memory).images(1, 3).flags.c_contiguous is case.neighbours_touch


def test_a_reader_sees_each_image_where_the_camera_wrote_image_and_tail_in_one_piece(case: LayoutCase) -> None:
    layout, image = plan(case), case.geometry.payload_bytes
    rng = np.random.default_rng(7)
    payloads = rng.integers(0, 256, (layout.slots, image + case.tail_bytes), np.uint8)
    with closing(RingMemory(layout)) as memory:
        reader = view(memory)
        for slot, payload in enumerate(payloads):
            assert memory.address(slot) % case.alignment == 0
            ctypes.memmove(memory.address(slot), payload.ctypes.data, payload.size)
        for slot, payload in enumerate(payloads):
            assert reader.images(slot, 1).tobytes() == payload[:image].tobytes()
            assert ctypes.string_at(memory.address(slot), payload.size) == payload.tobytes(), "tail intact"
        assert reader.images(1, 3).tobytes() == payloads[1:4, :image].tobytes()


def test_arrays_are_views_of_the_mapping_read_only_and_aligned(case: LayoutCase) -> None:
    with closing(RingMemory(plan(case))) as memory:
        reader = view(memory)
        whole = reader.images(0, 5)
        for slot in range(5):
            image = reader.images(slot, 1)[0]
            assert np.shares_memory(image, whole), "a copy"
            assert not image.flags.writeable
            assert image.flags.aligned
            with pytest.raises(ValueError, match="read-only"):
                image[0] = 1
            with pytest.raises(ValueError, match="WRITEABLE"):
                image.flags.writeable = True


def test_shapes_follow_the_pixel_format() -> None:
    for pixel_format, shape, dtype in (
        ("Mono8", (2, 7, 13), np.uint8),
        ("BayerRG8", (2, 7, 13), np.uint8),
        ("Mono16", (2, 7, 13), np.uint16),
        ("RGB8", (2, 7, 13, 3), np.uint8),
    ):
        with closing(RingMemory(RingLayout.plan(FrameGeometry(13, 7, pixel_format), 4))) as memory:
            images = view(memory).images(1, 2)
            assert (images.shape, images.dtype) == (shape, dtype)


@given(
    st.builds(FrameGeometry, st.integers(1, 5000), st.integers(1, 50), st.sampled_from(sorted(BYTES_PER_PIXEL))),
    st.integers(4, 128),
    st.integers(0, 9000),
    st.sampled_from([1, 4, 64, 4096]),
)
def test_no_two_slots_overlap_and_all_lie_inside(
    geometry: FrameGeometry, slots: int, tail_bytes: int, alignment: int
) -> None:
    layout = RingLayout.plan(geometry, slots, tail_bytes=tail_bytes, alignment=alignment)
    needed = geometry.payload_bytes if layout.is_packed else geometry.payload_bytes + tail_bytes
    assert layout.stride_bytes >= needed
    assert layout.stride_bytes % alignment == 0
    assert layout.images_bytes >= layout.slots * layout.stride_bytes
    assert layout.images_bytes % PAGE == layout.total_bytes % PAGE == 0
    assert layout.tail_stride_bytes >= (tail_bytes if layout.is_packed else 0)
    assert layout.total_bytes >= layout.images_bytes + layout.slots * layout.tail_stride_bytes


def test_readers_map_images_only_never_tails(memory: RingMemory) -> None:
    reader = view(memory)
    assert reader.images(0, 4).nbytes == memory.layout.images_bytes < memory.layout.total_bytes


# -- the seals


def refused(call: object, *arguments: object) -> int:
    with pytest.raises(OSError) as caught:  # noqa: PT011 (the number is what we look at)
        call(*arguments)  # type: ignore[operator]
    assert caught.value.errno is not None
    return caught.value.errno


def test_nobody_can_write_shrink_or_grow_sealed_memory(memory: RingMemory) -> None:
    reopened = os.open(f"/proc/self/fd/{memory.fd}", os.O_RDWR)
    libc = ctypes.CDLL(None, use_errno=True)
    try:
        for fd in (memory.fd, reopened):
            assert refused(mmap.mmap, fd, PAGE) == errno.EPERM, "shared, writable"
            assert refused(os.pwrite, fd, b"x", 0) == errno.EPERM
            assert refused(os.ftruncate, fd, 0) == errno.EPERM
            assert refused(os.ftruncate, fd, memory.layout.total_bytes + PAGE) == errno.EPERM
            assert refused(fcntl.fcntl, fd, fcntl.F_ADD_SEALS, fcntl.F_SEAL_WRITE) == errno.EPERM
            punch = FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE
            assert libc.fallocate(fd, punch, ctypes.c_long(0), ctypes.c_long(PAGE)) == -1
            assert ctypes.get_errno() == errno.EPERM
    finally:
        os.close(reopened)


def test_a_read_mapping_cannot_be_made_writable(memory: RingMemory) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    with mmap.mmap(memory.fd, PAGE, prot=mmap.PROT_READ) as mapping:
        view = np.frombuffer(mapping, np.uint8)
        assert libc.mprotect(ctypes.c_void_p(view.ctypes.data), PAGE, mmap.PROT_READ | mmap.PROT_WRITE) == -1
        assert ctypes.get_errno() == errno.EACCES
        del view


def test_a_private_mapping_changes_nobody_elses_pixels(memory: RingMemory) -> None:
    memory.writable(0)[0] = 42
    with mmap.mmap(memory.fd, PAGE, flags=mmap.MAP_PRIVATE) as private:
        private[0] = 7
    assert view(memory).images(0, 1)[0, 0, 0] == 42


def test_the_writer_still_writes_after_sealing(memory: RingMemory) -> None:
    reader = view(memory)
    memory.writable(3)[-1] = 99
    assert reader.images(3, 1).reshape(-1)[-1] == 99


# -- lifetime


def mappings() -> int:
    return Path("/proc/self/maps").read_text().count("memfd:appliance-ring")


def test_pixels_outlive_the_writer_and_the_generation_object() -> None:
    before = mappings()
    memory = RingMemory(RingLayout.plan(FrameGeometry(PAGE, 1, "Mono8"), 4))
    memory.writable(2)[:] = 17
    pixels = view(memory).images(2, 1)[0]
    memory.close()
    gc.collect()
    assert (pixels == 17).all()
    assert mappings() == before + 1
    del pixels
    gc.collect()
    assert mappings() == before


def test_closing_unmaps_everything_and_twice_does_nothing(case: LayoutCase) -> None:
    before, descriptors = mappings(), len(list(Path("/proc/self/fd").iterdir()))
    memory = RingMemory(plan(case))
    assert mappings() > before
    memory.close()
    memory.close()
    assert mappings() == before
    assert len(list(Path("/proc/self/fd").iterdir())) == descriptors


class FallocateSpy:
    """Stands in for posix_fallocate: a real one that succeeds in asking for too much ends in the OOM killer."""

    def __init__(self) -> None:
        self.calls = 0

    def __call__(self, fd: int, offset: int, length: int) -> None:
        self.calls += 1
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_more_memory_than_is_available_is_refused_before_it_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    fallocate = FallocateSpy()
    monkeypatch.setattr(os, "posix_fallocate", fallocate)
    with pytest.raises(RingError, match=r"4 slots of .*only \d+ kB available; lower cameras.ring.slots or free memory"):
        RingMemory(RingLayout(FrameGeometry(2**28, 2**28, "Mono8"), 4, 2**56, 0, is_packed=True))
    assert fallocate.calls == 0


def test_memory_that_is_refused_is_one_clear_error_and_leaks_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "posix_fallocate", FallocateSpy())
    descriptors = len(list(Path("/proc/self/fd").iterdir()))
    with pytest.raises(RingError, match=r"4 slots of 64\): No space left on device; lower cameras.ring.slots"):
        RingMemory(RingLayout.plan(FrameGeometry(8, 8, "Mono8"), 4))
    assert len(list(Path("/proc/self/fd").iterdir())) == descriptors


def test_a_layout_longer_than_the_memory_is_refused_instead_of_sigbus(memory: RingMemory) -> None:
    lie = RingLayout.plan(FrameGeometry(PAGE, 2, "Mono8"), 100)
    descriptors = len(list(Path("/proc/self/fd").iterdir()))
    with pytest.raises(RingError, match="can't be mapped"):
        Generation(1, lie, os.dup(memory.fd))
    assert len(list(Path("/proc/self/fd").iterdir())) == descriptors


def test_an_address_outside_the_ring_is_refused(memory: RingMemory) -> None:
    for slot in (-1, 4):
        with pytest.raises(RingError, match="ring with 4 slots"):
            memory.address(slot)
