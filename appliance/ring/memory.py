"""The ring's pixels: one sealed memfd, mapped once for writing, read-only for everybody else.

Byte map of the memfd (S slots; image = width * height * bytes per pixel; tail = chunk data behind the image):

    packed, whenever the tail is empty or the image fills whole pages:
        0                    image of slot 0
        stride               image of slot 1          stride = image, rounded up to the producer's alignment
        ...
        S * stride (paged)   tail of slot 0           tail area: whole pages per slot, never mapped by readers
        ...
    padded, else:
        i * stride           image and tail of slot i  stride = image + tail, rounded up to the alignment and 64

In the packed map neighbouring images touch, so a batch is a slice. A camera nevertheless needs image and tail in one
piece: the writer maps each slot's image pages and tail pages next to each other, in its own address space only.

The seals (no grow, no shrink, no new writable mapping, no more seals) are set after the writer has mapped: a reader
can neither write nor pull the memory away (SIGBUS) under anybody.
"""

import ctypes
import errno
import fcntl
import mmap
import os
from dataclasses import dataclass
from math import lcm
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from appliance.errors import RingError
from appliance.messages import FrameGeometry

_F_SEAL_FUTURE_WRITE = 0x10  # missing from fcntl in Python 3.11
_SEALS = fcntl.F_SEAL_GROW | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_SEAL | _F_SEAL_FUTURE_WRITE
_MAP_FIXED = 0x10
_MAP_FAILED = ctypes.c_void_p(-1).value
_PROT_NONE = 0

_libc = ctypes.CDLL(None, use_errno=True)
_libc.mmap.restype = ctypes.c_void_p
_libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int, ctypes.c_int, ctypes.c_int, ctypes.c_long]
_libc.munmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t]


@dataclass(frozen=True)
class RingLayout:
    """Where each slot's image lies; all a reader needs to know.

    Attributes:
        slots: Number of slots.
        stride_bytes: From one image to the next.
        tail_bytes: Chunk data a camera writes behind each image; 0 for none.
        is_packed: Whether tails live in an area of their own.
    """

    geometry: FrameGeometry
    slots: int
    stride_bytes: int
    tail_bytes: int
    is_packed: bool

    @classmethod
    def plan(cls, geometry: FrameGeometry, slots: int, *, tail_bytes: int = 0, alignment: int = 1) -> "RingLayout":
        """Choose packed where neighbours can touch, else padded.

        Args:
            tail_bytes: What the camera's payload has beyond the image.
            alignment: The producer's, in bytes; 1 for none.
        """
        image = geometry.payload_bytes
        is_packed = tail_bytes == 0 or (image % mmap.PAGESIZE == 0 and mmap.PAGESIZE % alignment == 0)
        # Padded images start on cache lines: a Mono16 array at an odd address is unaligned for everybody.
        stride = round_up(image, alignment) if is_packed else round_up(image + tail_bytes, lcm(alignment, 64))
        return cls(geometry, slots, stride, tail_bytes, is_packed)

    @property
    def images_bytes(self) -> int:
        """Length of the part that readers map."""
        return round_up(self.slots * self.stride_bytes, mmap.PAGESIZE)

    @property
    def tail_stride_bytes(self) -> int:
        """Length of one slot's tail pages in the packed map; 0 when padded or without tail."""
        return round_up(self.tail_bytes, mmap.PAGESIZE) if self.is_packed else 0

    @property
    def total_bytes(self) -> int:
        """Length of the memfd."""
        return self.images_bytes + self.slots * self.tail_stride_bytes


class RingMemory:
    """The writer's side: creates, maps and seals the memory. Freed by `close`, or by the kernel with the process."""

    def __init__(self, layout: RingLayout) -> None:
        self.layout = layout
        self.fd = os.memfd_create("appliance-ring", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        self._mappings: list[tuple[int, int]] = []
        try:
            _expect_available(layout.total_bytes)
            os.posix_fallocate(self.fd, 0, layout.total_bytes)  # ENOSPC now, not SIGBUS at the first frame
            self._base, self._slot_stride = self._map()
            fcntl.fcntl(self.fd, fcntl.F_ADD_SEALS, _SEALS)
        except OSError as error:
            self.close()
            raise RingError(
                f"ring memory of {layout.total_bytes} bytes ({layout.slots} slots of {layout.stride_bytes}): "
                f"{error.strerror}; lower cameras.ring.slots or free memory"
            ) from error

    def address(self, slot: int) -> int:
        """Give the address at which a camera may write image and tail of a slot in one piece."""
        if not 0 <= slot < self.layout.slots:
            raise RingError(f"slot {slot} of a ring with {self.layout.slots} slots")
        return self._base + slot * self._slot_stride

    def writable(self, slot: int) -> NDArray[np.uint8]:
        """Borrow a slot's image for writing: (stride,) uint8, valid until `close`."""
        buffer = (ctypes.c_uint8 * self.layout.stride_bytes).from_address(self.address(slot))
        return np.ctypeslib.as_array(buffer)

    def close(self) -> None:
        """Unmap and close. Readers keep their own mappings; nothing may write here afterwards."""
        for address, length in self._mappings:
            _libc.munmap(address, length)
        self._mappings.clear()
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1

    def _map(self) -> tuple[int, int]:
        layout = self.layout
        if not layout.tail_stride_bytes:
            return self._mmap(
                None, layout.images_bytes, mmap.PROT_READ | mmap.PROT_WRITE, self.fd, 0
            ), layout.stride_bytes
        slot_stride = layout.stride_bytes + layout.tail_stride_bytes
        base = self._mmap(None, layout.slots * slot_stride, _PROT_NONE, -1, 0)
        for slot in range(layout.slots):
            start = base + slot * slot_stride
            tail_offset = layout.images_bytes + slot * layout.tail_stride_bytes
            self._mmap(
                start, layout.stride_bytes, mmap.PROT_READ | mmap.PROT_WRITE, self.fd, slot * layout.stride_bytes
            )
            self._mmap(
                start + layout.stride_bytes,
                layout.tail_stride_bytes,
                mmap.PROT_READ | mmap.PROT_WRITE,
                self.fd,
                tail_offset,
            )
        return base, slot_stride

    def _mmap(self, address: int | None, length: int, protection: int, fd: int, offset: int) -> int:
        kind = mmap.MAP_SHARED if fd >= 0 else mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS
        fixed = _MAP_FIXED if address is not None else 0
        result = _libc.mmap(address, length, protection, kind | fixed, fd, offset)
        if result == _MAP_FAILED or result is None:
            code = ctypes.get_errno()
            raise OSError(code, os.strerror(code))
        if not fixed:
            self._mappings.append((result, length))
        return int(result)


def _expect_available(needed_bytes: int) -> None:
    # A memfd has no size limit of its own: asking for more than there is ends in the kernel's OOM killer, which may
    # choose any process of the machine, long before posix_fallocate reports ENOSPC.
    for line in Path("/proc/meminfo").read_text().splitlines():
        name, value = line.split(":")
        if name == "MemAvailable" and needed_bytes > int(value.split()[0]) * 1024:
            raise OSError(errno.ENOMEM, f"only {value.strip()} available")


def round_up(value: int, multiple: int) -> int:
    """Round up to a multiple."""
    return -(-value // multiple) * multiple
