"""The grabber process: one camera, its ring, its announced triggers.

In order of time: claim the files, open the camera, start capturing; then watch it, find it again when it is lost, and
start over when camera and counter contradict each other; at the end stop the camera, finish what it delivered, hang up.

    thread    owns                                                       ends the process when it fails
    main      node map, clock latch, probes, recovery, status, watchdog  yes
    capture   waiting for frames, triggers, offers (`acquisition`)       yes, unless the camera is what failed
    service   the ring's readers: connections, releases                  yes
"""

import gc
import logging
import threading
import time
from typing import Any

from appliance.capture.acquisition import Acquisition, FrameHandler
from appliance.capture.announcer import Announcer
from appliance.capture.delivery import Announcement, StreamPlan
from appliance.capture.running_mark import RunningMark
from appliance.capture.simulator import simulator_dir
from appliance.capture.slot_supply import SlotSupply
from appliance.capture.source import open_source
from appliance.capture.trigger_ledger import TriggerLedger
from appliance.clock import NS_PER_S
from appliance.config import ApplianceConfig
from appliance.errors import SourceError, SourceMissing, StageFailed
from appliance.messages import Reason, Trigger
from appliance.ring import FrameRing, OverflowPolicy, RingLayout, RingMemory
from appliance.stage import Stage

log = logging.getLogger(__name__)

_LOOP_S = 0.05
_PROBE_NS = NS_PER_S
_SERVE_S = 0.1
_FIRST_BACKOFF_S = 0.1
_LAST_BACKOFF_S = 2.0
_MAX_RECONNECTS = 1000
"""Each opening leaks up to 0.36 MB of native memory (harvesters 1.4.3): start a fresh process then, while no frame can
be lost by it."""


def run_grabber(config: ApplianceConfig, camera: str, stage: Stage) -> None:
    """Run the process until the stage is stopped.

    Raises:
        SourceMissing: The camera isn't there at the first start; later it is waited for.
        SourceError: The camera can't be set up as configured.
        StageFailed: A thread died or hangs.
    """
    grabber = Grabber(config, camera, stage)
    try:
        grabber.start()
        grabber.run()
        grabber.finish()
    finally:
        grabber.close()
        stage.stopped()


class Grabber:
    """The process's state and its loop."""

    def __init__(self, config: ApplianceConfig, camera: str, stage: Stage) -> None:
        self._config = config.camera(camera)
        self._stage = stage
        self._mark = RunningMark(config.runtime_dir, self._config)
        self._announcer = Announcer(config.runtime_dir, config.state_dir, camera)
        self._ring = FrameRing(
            config.runtime_dir / f"ring.{camera}.sock",
            overflow=OverflowPolicy(self._config.ring.overflow),
            lease_quota=self._config.ring.effective_lease_quota,
            on_freed=lambda _: self._supply.refill(),
            on_lost=self._on_lost_frame,
        )
        self._supply = SlotSupply(self._ring)
        self._source = open_source(self._config, simulator_dir(config.runtime_dir))
        last = self._announcer.last
        self._ledger = TriggerLedger(
            last if self._mark.was_left else None, last.stream_epoch + 1 if last is not None else 1
        )
        self._handler = FrameHandler(self._ring, self._supply, self._ledger, self._announcer)
        self._acquisition: Acquisition | None = None
        self._announcement: Announcement | None = None
        self._state = "starting"
        self._problem: str | None = None
        self._reconnects = 0
        self._restarts = 0
        self._backoff_s = _FIRST_BACKOFF_S
        self._retry_ns = 0
        self._probe_ns = 0
        self._gap_reason = Reason.GRABBER_DOWN
        self._trouble = threading.Event()
        self._is_served = True
        self._service_failure: BaseException | None = None
        self._service = threading.Thread(target=self._serve, name="ring", daemon=True)

    # -- start

    def start(self) -> None:
        """Serve the ring, open the camera, begin.

        A grabber that takes over from a killed one doesn't insist on the camera: it may be lost just now.
        """
        self._service.start()
        self._stage.beat(self.status)  # a camera may take seconds to open: say meanwhile that we are at it
        try:
            self._open()
        except SourceMissing as error:
            if not self._mark.was_left:
                raise
            self._lose(error)
        self._stage.install_signal_handlers()
        gc.collect()
        gc.freeze()  # what start-up made stays: later collections need not walk it
        self._stage.ready()

    # -- run

    def run(self) -> None:
        """Capture until the stage is stopped."""
        while not self._stage.is_stopping:
            self._check_service()
            self._announcer.keep_link()
            try:
                self._tend(time.monotonic_ns())
            except SourceError as error:
                self._lose(error)
            self._stage.beat(self.status)
            self._trouble.wait(_LOOP_S)
            self._trouble.clear()

    def _tend(self, now_ns: int) -> None:
        """Do what the camera needs now."""
        if self._acquisition is None:
            if now_ns >= self._retry_ns:
                self._open()
                self._reconnects += 1
                log.info("camera %s is back", self._config.name)
            return
        self._acquisition.check()
        if self._acquisition.needs_restart:
            self._resynchronise(self._acquisition)
        elif now_ns >= self._probe_ns:
            self._probe_ns = now_ns + _PROBE_NS
            self._source.probe(now_ns)

    def _open(self) -> None:
        plan = self._source.open()
        self._begin(plan, self._gap_reason)
        self._mark.write()
        self._problem, self._backoff_s = None, _FIRST_BACKOFF_S

    def _begin(self, plan: StreamPlan, gap_reason: Reason) -> None:
        """Start an acquisition; readers get a new generation only if the frames changed their shape."""
        memory = self._memory_for(plan)
        self._announcement = self._source.announce(memory)
        self._ledger.begin(plan, gap_reason)
        self._acquisition = Acquisition(self._source, plan, self._supply, self._handler, self._trouble.set)
        self._acquisition.begin()
        self._probe_ns = time.monotonic_ns() + _PROBE_NS
        self._state = "capturing"

    def _memory_for(self, plan: StreamPlan) -> RingMemory:
        layout = RingLayout.plan(
            plan.geometry, self._config.ring.slots, tail_bytes=plan.tail_bytes, alignment=plan.alignment
        )
        memory = self._ring.memory
        return memory if memory is not None and memory.layout == layout else self._ring.renew(layout)

    def _resynchronise(self, acquisition: Acquisition) -> None:
        """Camera and counter contradict each other: stop, start a new stream epoch, take a new baseline."""
        log.warning("camera %s: its counter contradicts its frames; acquisition restarted", self._config.name)
        self._restarts += 1
        acquisition.end()
        self._begin(acquisition.plan, Reason.NOT_READY)

    def _lose(self, error: SourceError) -> None:
        """Let go of a camera that doesn't answer, and plan the next attempt."""
        if self._state != "lost":
            log.warning("camera %s lost: %s", self._config.name, error)
        self._state, self._problem = "lost", str(error)
        if self._reconnects >= _MAX_RECONNECTS:
            raise StageFailed(f"camera {self._config.name}: lost {self._reconnects} times; starting afresh") from error
        if self._acquisition is not None:
            self._acquisition.end()
            self._acquisition = None
            self._gap_reason = Reason.CAMERA_LOST
        self._source.close(is_final=False)
        self._retry_ns = time.monotonic_ns() + round(self._backoff_s * NS_PER_S)
        self._backoff_s = min(self._backoff_s * 2, _LAST_BACKOFF_S)

    def _on_lost_frame(self, trigger: Trigger, reason: Reason) -> None:
        self._handler.amend(trigger, reason)

    # -- the service thread

    def _serve(self) -> None:
        try:
            while self._is_served:
                self._ring.serve(_SERVE_S)
        except BaseException as error:
            self._service_failure = error
            self._trouble.set()

    def _check_service(self) -> None:
        if self._service_failure is not None:
            raise StageFailed(f"the ring's service thread died: {self._service_failure!r}") from self._service_failure

    # -- stop

    def finish(self) -> None:
        """Stop the camera and finish what it delivered; the next start is a fresh one."""
        self._state = "stopping"
        if self._acquisition is not None:
            self._acquisition.end()
            self._acquisition = None
        self._mark.remove()

    def close(self) -> None:
        """Give everything back; peers learn it by EOF."""
        if self._acquisition is not None:  # an error is on its way up
            try:
                self._acquisition.end()
            except StageFailed as error:
                log.warning("camera %s: %s", self._config.name, error)
                return  # a native thread may still write into the ring: leave the memory to the kernel
        self._is_served = False
        if self._service.ident is not None:
            self._service.join()
        self._source.close()
        self._announcer.close()
        self._ring.close()

    # -- status

    def status(self) -> dict[str, Any]:
        """Describe the process for `appliance status`."""
        counts = self._ledger.counts
        memory, announcement = self._ring.memory, self._announcement
        geometry = memory.layout.geometry if memory is not None else None
        return {
            "camera": self._config.name,
            "state": self._state,
            "problem": self._problem,
            **self._source.status(),
            "announce": announcement.value if announcement is not None else None,
            "copies_per_frame": announcement.copies_per_frame if announcement is not None else None,
            "triggers": self._announcer.triggers,
            "unannounced": self._announcer.unannounced,
            "frames": counts.frames,
            "incomplete": counts.incomplete,
            "lost": counts.lost,
            "missed": counts.missed,
            "stale": counts.stale,
            "counter_mismatch": counts.counter_mismatch,
            "reconnects": self._reconnects,
            "resynchronisations": self._restarts,
            "ring": self._ring.status(),
            "fps": self._handler.rate.per_second(time.monotonic_ns()),
            "clock": self._source.clock.status(),
            "geometry": None
            if geometry is None
            else {"width": geometry.width, "height": geometry.height, "pixel_format": geometry.pixel_format},
        }
