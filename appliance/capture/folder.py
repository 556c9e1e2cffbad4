"""Image files as a source: decoded by OpenCV, straight into loaned slots, at a steady rate. No camera involved."""

import logging
import threading
import time
from collections import deque
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from appliance.capture.delivery import Announcement, Delivery, StreamPlan
from appliance.capture.device_clock import DeviceClock
from appliance.clock import NS_PER_S
from appliance.config import FolderSource
from appliance.errors import SourceLost, SourceMissing
from appliance.messages import FrameGeometry
from appliance.ring import RingMemory

log = logging.getLogger(__name__)

IMAGE_SUFFIXES = frozenset({".bmp", ".jpeg", ".jpg", ".png", ".pgm", ".ppm", ".tif", ".tiff"})
_CHANNELS_RGB = 3


class ImageFolder:
    """Replays a folder's images in order of name, free-running. See `source.Source` for the promises.

    The first image fixes the geometry; one that can't be read or has another shape comes out as an incomplete frame.
    """

    def __init__(self, name: str, config: FolderSource) -> None:
        self._where = f"camera {name} (folder {config.images})"
        self._config = config
        self._period_ns = round(NS_PER_S / config.frame_rate_hz)
        self._files: list[Path] = []
        self._plan: StreamPlan | None = None
        self._memory: RingMemory | None = None
        self._lent: deque[int] = deque()
        self._woken = threading.Event()
        self._is_running = False
        self._next_index = 0
        self._next_due_ns = 0
        self.clock = DeviceClock(0.0)

    # -- the owner's thread

    def open(self) -> StreamPlan:
        """List the files and read the first one."""
        folder = self._config.images
        if not folder.is_dir():
            raise SourceMissing(f"{self._where}: no such folder; give an existing one as images")
        self._files = sorted(path for path in folder.iterdir() if path.suffix.lower() in IMAGE_SUFFIXES)
        first = _read(self._files[0]) if self._files else None
        if first is None:
            found = f"{self._files[0].name} can't be decoded" if self._files else "it has none"
            raise SourceMissing(f"{self._where}: expected images ({', '.join(sorted(IMAGE_SUFFIXES))}), but {found}")
        self._plan = StreamPlan(_geometry(first), is_simulated=True)
        return self._plan

    def announce(self, memory: RingMemory) -> Announcement:
        """Remember the memory."""
        self._memory = memory
        return Announcement.FILES

    def start(self) -> None:
        """Start from the first image."""
        self._next_index, self._next_due_ns = 0, time.monotonic_ns()
        self._woken.clear()
        self._is_running = True

    def probe(self, now_ns: int) -> None:  # noqa: ARG002 (a folder has no clock to compare)
        """Look whether the folder is still there."""
        if not self._config.images.is_dir():
            raise SourceLost(f"{self._where}: the folder went away")

    def halt(self) -> None:
        """Stop replaying."""
        self._is_running = False
        self._woken.set()

    def end(self) -> None:
        """Give all slots back."""
        self.halt()
        self._lent.clear()
        self._memory = None

    def close(self, *, is_final: bool = True) -> None:  # noqa: ARG002 (nothing outlives a closed folder)
        """Forget the files."""
        self.end()
        self._files = []

    # -- any thread

    def queue(self, slot: int) -> None:
        """Take a slot to decode into."""
        self._lent.append(slot)

    def wake(self) -> None:
        """End a `wait` now."""
        self._woken.set()

    def status(self) -> dict[str, Any]:
        """Give what stands for a serial number."""
        return {"serial": self._config.images.name, "underruns": 0}

    # -- the capture thread

    def wait(self, timeout_s: float) -> Delivery | None:
        """Sleep until the next image is due, decode it into the slot lent longest ago."""
        is_over = not self._is_running or (not self._config.loop and self._next_index >= len(self._files))
        due_in_s = timeout_s if is_over else (self._next_due_ns - time.monotonic_ns()) / NS_PER_S
        if due_in_s > 0:
            was_woken = self._woken.wait(min(due_in_s, timeout_s))
            self._woken.clear()
            if is_over or was_woken or due_in_s > timeout_s:
                return None
        return self._deliver() if self._is_running else None

    def _deliver(self) -> Delivery:
        path = self._files[self._next_index % len(self._files)]
        self._next_index += 1
        exposed_ns = self._next_due_ns
        # A replay that can't keep up slows down, it doesn't burst.
        self._next_due_ns = max(exposed_ns + self._period_ns, time.monotonic_ns() - self._period_ns)
        slot = self._lent.popleft() if self._lent else None
        is_whole = slot is not None and self._decode(path, slot)
        return Delivery(
            slot=slot,
            received_ns=time.monotonic_ns(),
            frame_id=self._next_index,
            is_incomplete=slot is not None and not is_whole,
        )

    def _decode(self, path: Path, slot: int) -> bool:
        assert self._plan is not None
        assert self._memory is not None
        image = _read(path)
        if image is None or _geometry(image) != self._plan.geometry:
            log.warning("%s: %s is not a whole %s image", self._where, path.name, self._plan.geometry)
            return False
        flat = image.reshape(-1).view(np.uint8)
        self._memory.writable(slot)[: flat.size] = flat
        return True


def _read(path: Path) -> NDArray[Any] | None:
    """Decode a file as grey, 16-bit grey or RGB; None when it isn't an image."""
    try:
        encoded = np.frombuffer(path.read_bytes(), np.uint8)
        image = cv2.imdecode(encoded, cv2.IMREAD_ANYCOLOR | cv2.IMREAD_ANYDEPTH)
    except (OSError, cv2.error):
        return None
    if image is None or image.dtype not in (np.uint8, np.uint16):
        return None
    if image.ndim != _CHANNELS_RGB:
        return image
    if np.array_equal(image[..., 0], image[..., 1]) and np.array_equal(image[..., 0], image[..., 2]):
        return np.ascontiguousarray(image[..., 0])  # a grey picture saved as colour
    return cv2.cvtColor(image, cv2.COLOR_BGR2RGB) if image.dtype == np.uint8 else None


def _geometry(image: NDArray[Any]) -> FrameGeometry:
    height, width = image.shape[:2]
    if image.ndim == _CHANNELS_RGB:
        return FrameGeometry(width, height, "RGB8")
    return FrameGeometry(width, height, "Mono16" if image.dtype == np.uint16 else "Mono8")
