"""A reader's end of the ring: leases on frames, as read-only arrays over the writer's memory."""

import mmap
import os
import socket
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np
from numpy.typing import NDArray

from appliance import seqpacket
from appliance.errors import LeaseReleased, RingError
from appliance.messages import FrameGeometry, Trigger
from appliance.ring import datagrams
from appliance.ring.datagrams import ReaderRole
from appliance.ring.memory import RingLayout

Pixels = NDArray[np.uint8] | NDArray[np.uint16]


class Generation:
    """A read-only mapping of one generation; unmapped when its last lease and array are gone."""

    def __init__(self, number: int, layout: RingLayout, fd: int) -> None:
        self.number = number
        self.layout = layout
        self.is_revoked = False  # the reader hung up: the camera may overwrite every slot
        try:
            mapping = mmap.mmap(fd, layout.images_bytes, prot=mmap.PROT_READ)
        except (OSError, ValueError) as error:
            raise RingError(
                f"ring generation {number}: {layout.images_bytes} bytes can't be mapped: {error}"
            ) from error
        finally:
            os.close(fd)
        # Arrays made by frombuffer keep the mapping alive: it can't be closed under a view (BufferError).
        self._images = np.frombuffer(mapping, dtype=np.uint8)

    def images(self, first: int, count: int) -> Pixels:
        """View `count` neighbouring images: (count, H, W) or (count, H, W, 3), read-only, contiguous when packed."""
        layout, geometry = self.layout, self.layout.geometry
        stride, start = layout.stride_bytes, first * layout.stride_bytes
        rows = self._images[start : start + count * stride].reshape(count, stride)[:, : geometry.payload_bytes]
        shape: tuple[int, ...] = (count, geometry.height, geometry.width)
        if geometry.pixel_format == "Mono16":
            return rows.view(np.dtype("<u2")).reshape(shape)
        return rows.reshape((*shape, 3) if geometry.pixel_format == "RGB8" else shape)


class FrameLease:
    """One frame on loan. The pixels stay as they are until `release`; afterwards the camera may overwrite them.

    Use it as a context manager, or release it in a `finally`. A view taken earlier can't be revoked: keep none.
    """

    def __init__(self, reader: "RingReader", generation: Generation, slot: int, trigger: Trigger) -> None:
        self.trigger = trigger
        self.slot = slot
        self._generation: Generation | None = generation
        self._reader = reader

    @property
    def generation(self) -> Generation:
        """The memory the slot belongs to.

        Raises:
            LeaseReleased: After `release`, or after the reader hung up.
        """
        if self._generation is None or self._generation.is_revoked:
            raise LeaseReleased(
                f"slot {self.slot}, trigger {self.trigger.trigger_id}: used after its release; copy what you keep"
            )
        return self._generation

    @property
    def geometry(self) -> FrameGeometry:
        """Shape of the frame."""
        return self.generation.layout.geometry

    @property
    def pixels(self) -> Pixels:
        """The frame, read-only: (H, W) uint8 for Mono8 and BayerRG8, (H, W) uint16 for Mono16, (H, W, 3) for RGB8."""
        frame: Pixels = self.generation.images(self.slot, 1)[0]
        return frame

    def release(self) -> None:
        """Give the slot back; the second time does nothing."""
        generation, self._generation = self._generation, None
        if generation is not None:
            self._reader.give_back(self.slot, generation)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()


class RingReader:
    """Connects to one camera's ring and takes leases. Single-threaded; nothing blocks.

    Args:
        path: The ring's socket.
        role: INSPECTOR is the primary reader; a ring accepts one.
    """

    def __init__(self, path: Path, role: ReaderRole = ReaderRole.INSPECTOR) -> None:
        self._path = path
        self._role = role
        self._socket: socket.socket | None = None
        self._generation: Generation | None = None
        self._unsent: list[bytes] = []

    @property
    def is_connected(self) -> bool:
        """Whether the writer is there; False only after everything it had sent was received."""
        return self._socket is not None

    def connect(self) -> bool:
        """Connect and introduce ourselves; tells whether a writer is there. Leases of an earlier writer stay valid."""
        if self._socket is None:
            peer = seqpacket.connect(self._path)
            if peer is None:
                return False
            self._socket = peer
            self._generation = None
            self._unsent.clear()
            self._send(datagrams.encode_hello(self._role))
        return self._socket is not None

    def fileno(self) -> int:
        """Descriptor to poll for reading; -1 when not connected."""
        return self._socket.fileno() if self._socket is not None else -1

    def receive(self) -> list[FrameLease]:
        """Take all frames that wait, oldest first. At EOF, gives what was queued and then counts as not connected.

        Raises:
            RingError: Memory can't be mapped, or the writer speaks another protocol: hung up, all leases are over.
        """
        leases: list[FrameLease] = []
        if self._socket is None:
            return leases
        self._flush()
        try:
            for message, fd in seqpacket.drain(self._socket):
                if message[:1] == b"G":
                    self._generation = self._map(message, fd)
                    continue
                if fd is not None:
                    os.close(fd)
                if message[:1] == b"F":
                    leases.append(self._lease(message))
        except EOFError:
            self._hang_up()
        except RingError:
            self.close()
            raise
        return leases

    def close(self) -> None:
        """Hang up; the writer reclaims every lease that was not released, so they can't be used any more."""
        if self._socket is not None and self._generation is not None:
            self._generation.is_revoked = True
        self._hang_up()
        self._generation = None

    def give_back(self, slot: int, generation: Generation) -> None:
        """Send a release, unless the memory is ours alone: an older generation's, or that of a writer that is gone.

        A restarted writer counts generations from 1 again: such a release would end a lease of its own.
        """
        if self._socket is not None and generation is self._generation:
            self._unsent.append(datagrams.encode_release(slot, generation.number))
            self._flush()

    def _map(self, message: bytes, fd: int | None) -> Generation:
        if fd is None:
            raise RingError(f"{self._path}: memory did not arrive: too many open files in this process")
        try:
            number, layout = datagrams.decode_layout(message)
        except RingError:
            os.close(fd)
            raise
        return Generation(number, layout, fd)

    def _lease(self, message: bytes) -> FrameLease:
        slot, number, trigger = datagrams.decode_frame(message)
        if self._generation is None or self._generation.number != number:
            raise RingError(f"{self._path}: frame of generation {number} before its memory arrived")
        return FrameLease(self, self._generation, slot, trigger)

    def _flush(self) -> None:
        while self._unsent and self._socket is not None and self._send(self._unsent[0]):
            self._unsent.pop(0)

    def _send(self, message: bytes) -> bool:
        if self._socket is None:
            return False
        try:
            return seqpacket.send(self._socket, message)
        except ConnectionError:
            return False  # frames may still be queued: receive() reads up to EOF and hangs up

    def _hang_up(self) -> None:
        if self._socket is not None:
            self._socket.close()
        self._socket = None
        self._unsent.clear()


def contiguous(leases: Sequence[FrameLease]) -> Pixels | None:
    """View leases as one array without a copy, where they are neighbouring slots of one packed generation, in order.

    Returns:
        (N, H, W) or (N, H, W, 3), read-only; None when they are not neighbours. One lease is its own neighbour.
    """
    first = leases[0]
    generation = first.generation
    neighbours = all(
        lease.generation is generation and lease.slot == first.slot + step for step, lease in enumerate(leases)
    )
    if not neighbours:
        return None
    images = generation.images(first.slot, len(leases))
    return images if images.flags.c_contiguous else None
