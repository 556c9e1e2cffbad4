"""Where the frames come from: a lease on each ring as small as a shadow's, given back as soon as it is copied.

What the ring doesn't offer to such a reader (a sampler), because it is behind, isn't counted anywhere but here.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from pathlib import Path

from appliance.clock import NS_PER_MS
from appliance.inspection.evidence import measure
from appliance.learning.capture.case import Frame
from appliance.learning.capture.outliers import OutlierRule
from appliance.learning.capture.request import CaptureRequest
from appliance.messages import Reason
from appliance.ring import CameraFeed, FrameLease, ReaderRole

ExposureOf = Callable[[str], Mapping[str, float | None]]
"""Gives `exposure_time_us` and `gain` of a camera as its grabber last told them."""
_EXPOSURE_FRESH_NS = 250 * NS_PER_MS


class FrameTap:
    """Copies the frames that may be wanted.

    Args:
        sockets: Each camera's ring.
        exposure_of: As `ExposureOf`.
    Attributes:
        seen: Frames that were offered.
        first_ids: Each camera's first trigger id that was: what came before was asked of nobody.
    """

    def __init__(self, sockets: Mapping[str, Path], request: CaptureRequest, exposure_of: ExposureOf) -> None:
        self._feeds = [CameraFeed(name, path, ReaderRole.SAMPLER) for name, path in sockets.items()]
        self._request = request
        self._exposure_of = exposure_of
        self._exposures: dict[str, tuple[int, Mapping[str, float | None]]] = {}
        self._outliers = OutlierRule()
        self._owed = dict.fromkeys(sockets, 0)
        self._asked_ns = 0
        self.seen = 0
        self.first_ids: dict[str, int] = {}

    @property
    def feeds(self) -> list[CameraFeed]:
        """Those that are connected: to be polled."""
        return [feed for feed in self._feeds if feed.is_connected]

    def connect(self, now_ns: int) -> None:
        """Connect to the rings that we aren't connected to, when it is time."""
        for feed in self._feeds:
            feed.connect_when_due(now_ns)

    def ask(self, now_ns: int) -> None:
        """Ask for the next frame of each camera."""
        self._asked_ns = now_ns
        self._owed = {name: owed + 1 for name, owed in self._owed.items()}

    def take(self, room_bytes: int) -> list[Frame]:
        """Copy what may be wanted of the frames that wait, and give all of them back.

        Args:
            room_bytes: Frames beyond it are let go: whether they were wanted, their results will tell.
        """
        frames: list[Frame] = []
        for feed in self.feeds:
            for lease in feed.receive():
                frame = self._look_at(feed.camera, lease, room_bytes)
                if frame is not None:
                    room_bytes -= frame.pixels.nbytes
                    frames.append(frame)
        return frames

    def _look_at(self, camera: str, lease: FrameLease, room_bytes: int) -> Frame | None:
        trigger = lease.trigger
        self.seen += 1
        self.first_ids.setdefault(camera, trigger.trigger_id)
        is_requested = self._owed[camera] > 0 and trigger.exposed_ns >= self._asked_ns
        is_wanted = is_requested or self._request.waits_for_results or self._request.is_nth(trigger.trigger_id)
        with lease:  # given back before anything else is done with the pixels
            geometry = lease.geometry
            if not is_wanted or trigger.reason is Reason.INCOMPLETE_FRAME or geometry.payload_bytes > room_bytes:
                return None
            pixels, pixel_format = lease.pixels.copy(), geometry.pixel_format
        evidence = measure(pixels, pixel_format)
        figures = {"mean_grey": round(evidence.mean_grey, 3), "sharpness": round(evidence.sharpness, 4)}
        self._owed[camera] -= is_requested
        return Frame(
            camera=camera,
            trigger=trigger,
            pixels=pixels,
            pixel_format=pixel_format,
            exposure=self._exposure(camera),
            evidence=figures,
            outlier=self._outliers.judge(camera, figures) if self._request.uncertain else None,
            is_requested=is_requested,
        )

    def _exposure(self, camera: str) -> Mapping[str, float | None]:
        now_ns = time.monotonic_ns()
        read_ns, exposure = self._exposures.get(camera, (0, {}))
        if now_ns - read_ns > _EXPOSURE_FRESH_NS:
            exposure = self._exposure_of(camera)
            self._exposures[camera] = now_ns, exposure
        return exposure

    def close(self) -> None:
        """Hang up."""
        for feed in self._feeds:
            feed.close()
