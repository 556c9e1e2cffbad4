"""The recorder process: keeps what the publisher decided, durably, and tells whoever follows.

    spool, tally files ─▶ Intake ─▶ Imaging ─▶ GroupCommit ─▶ ResultService ─▶ result lane, replay
                                    │    ▲       │    ▲           │    ▲
                             frames │    │       ▼    │           ▼    │
                                 image thread  journal thread  reading thread

One loop that never waits for a disk; what does is done by three threads. Verdicts never wait for any of this: when the
recorder is down or its disk is full, records wait in the spool.
"""

import gc
import logging
import os
import select
import sys
import time
from collections.abc import Sequence
from contextlib import ExitStack
from typing import Any

from appliance.clock import NS_PER_S
from appliance.config import ApplianceConfig, Recipe, load_recipe
from appliance.errors import ConfigError, DiskFull, JournalError
from appliance.records.disk_space import make_room_to_start
from appliance.records.encoder import ImageEncoder
from appliance.records.group_commit import Committed, GroupCommit
from appliance.records.images import ImageStore
from appliance.records.imaging import Imaging
from appliance.records.intake import Intake, Intaken
from appliance.records.journal import Journal
from appliance.records.leftovers import sweep_leftovers
from appliance.records.result_service import ResultService, topic_of
from appliance.records.retention import Retained, Retention
from appliance.records.shelf import DEFAULT_MAX_AGE_MS, FrameShelf
from appliance.records.work_thread import WorkThread
from appliance.ring import observer_quota
from appliance.stage import Stage
from appliance.wire.publisher_link import PublisherLink

log = logging.getLogger(__name__)

POLL_S = 0.02
"""Longest sleep: a wake-up that was lost costs so much, no more."""
STOP_BUDGET_S = 2.0
"""For what the spool still holds; the rest waits there for the next start."""
_NICE = 5  # a record may be late, a verdict may not
_SWITCH_INTERVAL_S = 0.0005  # Python's 5 ms would let the threads wait for each other that long
_TAKE_AT_ONCE = 256
_TEND_DISK_NS = NS_PER_S
_MAX_IN_MEMORY = 2048
"""Records between spool and journal; further ones stay in the spool."""


def run_recorder(config: ApplianceConfig, stage: Stage) -> None:
    """Run until the stage is stopped.

    Raises:
        ConfigError: A recipe can't be used.
        KeysError: An endpoint needs keys, and they can't be used.
        JournalError: The journal can't be used, or its disk failed: only a new start knows what it holds.
        PublishError: An endpoint can't be bound.
        TallyError: Ledger files can't be used.
    """
    os.nice(_NICE)
    sys.setswitchinterval(_SWITCH_INTERVAL_S)
    recorder = Recorder(config)
    try:
        stage.install_signal_handlers()
        gc.freeze()  # what lives now lives for ever: later collections stay short
        stage.ready()
        while not stage.is_stopping:
            recorder.step(POLL_S)
            stage.beat(recorder.status)
        _drain(recorder, stage)
    finally:
        recorder.close()
        stage.stopped()


def _drain(recorder: "Recorder", stage: Stage) -> None:
    """Journal what the publisher spooled last, as far as the time to stop allows."""
    end_ns = time.monotonic_ns() + round(STOP_BUDGET_S * NS_PER_S)
    recorder.step(0.0)  # before asking: what came since the last step is not known yet
    while not recorder.is_idle and time.monotonic_ns() < end_ns:
        recorder.step(POLL_S)
        stage.beat(recorder.status)


class Recorder:
    """The process's parts and its loop; `step` is one iteration."""

    def __init__(self, config: ApplianceConfig) -> None:
        settings = config.recorder
        recipes = [load_recipe(path) for path in (config.recipe, *config.recipes)]
        self._is_tending_disk = False
        self._tend_disk_due_ns = 0
        self._disk_trouble = ""
        self._open = ExitStack()
        make_room_to_start(config.state_dir, settings)
        with ExitStack() as opened:
            self._journal = Journal.open(config.state_dir / "journal", partition_minutes=settings.partition_minutes)
            opened.callback(self._journal.close)
            self._retention = Retention(config, self._journal)
            self._intake = Intake(config, self._journal)
            opened.callback(self._intake.close)
            self._journal_thread = WorkThread("journal")
            self._reading_thread = WorkThread("reading")
            self._results = ResultService(config, self._journal, self._reading_thread)
            opened.callback(self._results.close)
            self._shelf = _shelf(config, recipes)
            opened.callback(self._shelf.close)
            self._publisher = PublisherLink(config.runtime_dir)
            opened.callback(self._publisher.close)
            opened.callback(self._reading_thread.close)
            opened.callback(self._journal_thread.close)
            self._commits = GroupCommit(
                self._journal,
                self._journal_thread,
                group_rows=settings.group_rows,
                group_ms=settings.group_ms,
                may_write=self._may_write,
                on_commit=self._tell,
            )
            self._start_images(config, recipes)
            opened.callback(self._encoder.close)
            self._open = opened.pop_all()

    def _start_images(self, config: ApplianceConfig, recipes: Sequence[Recipe]) -> None:
        settings = config.recorder
        root = config.state_dir / "images"
        try:
            store = ImageStore(root, image_format=settings.image_format, thumbnail_px=settings.thumbnail_px)
            sweep_leftovers(root, self._journal, config.runtime_dir, self._intake.ledger_epoch)
        except OSError as error:
            raise ConfigError(
                f"{root}: can't be used: {error.strerror}; check state_dir, its rights and space"
            ) from error
        self._encoder = ImageEncoder(store, max_waiting_bytes=settings.image_queue_mb * 1_000_000)
        self._imaging = Imaging(
            self._shelf,
            self._encoder,
            store,
            ok_image_rates={recipe.name: recipe.ok_image_rate for recipe in recipes},
            default_rate=recipes[0].ok_image_rate,
            look_up=self._reading_thread,
            may_write=self._may_write,
        )

    # -- one iteration

    def step(self, timeout_s: float) -> None:
        """Wait for something, take everything in, pass on what is ready."""
        self._await_work(timeout_s)
        now_ns = time.monotonic_ns()
        self._shelf.collect(now_ns)
        for item in self._take_in(now_ns):
            self._imaging.begin(item, now_ns)
        self._journal_thread.collect()
        self._reading_thread.collect()
        self._commits.add(self._imaging.ready(now_ns), now_ns)
        self._commits.step(now_ns)
        self._tend_disk(now_ns)
        self._results.step(now_ns)

    @property
    def is_idle(self) -> bool:
        """Whether the spool is read to its end and everything taken from it is journalled."""
        return self._intake.is_at_end and not len(self._imaging) and not len(self._commits)

    def _await_work(self, timeout_s: float) -> None:
        self._connect()
        now_ns = time.monotonic_ns()
        due_ns = self._commits.due_ns()
        if due_ns is not None:
            timeout_s = min(timeout_s, max(due_ns - now_ns, 0) / NS_PER_S)
        if self._results.is_waiting or (not self._intake.is_at_end and self._room() > 0):
            timeout_s = 0.0
        always = [self._journal_thread, self._reading_thread, self._encoder, *self._results.sockets()]
        peers = [self._publisher] if self._publisher.is_connected else []
        ready, _, _ = select.select([*always, *peers, *self._shelf.feeds()], [], [], timeout_s)
        if self._publisher in ready:
            self._publisher.poll()

    def _connect(self) -> None:
        self._publisher.connect({"role": "recorder", "pid": os.getpid()})
        self._shelf.connect_when_due(time.monotonic_ns())

    def _take_in(self, now_ns: int) -> list[Intaken]:
        taken = self._intake.take(min(self._room(), _TAKE_AT_ONCE))
        return taken + self._intake.audit(now_ns, is_publisher_there=self._publisher.is_connected)

    def _room(self) -> int:
        return _MAX_IN_MEMORY - len(self._imaging) - len(self._commits)

    def _tell(self, committed: Sequence[Committed]) -> None:
        """These are durable: consumers may have them, the spool may forget them."""
        self._results.publish((topic_of(item.record), row.seq, row.body) for item, row in committed if row is not None)
        self._intake.done([item for item, _ in committed])

    # -- the disk

    def _may_write(self) -> bool:
        return self._retention.may_write

    def _tend_disk(self, now_ns: int) -> None:
        """Look at the free space each second, and free some between two commits."""
        if not self._is_tending_disk and now_ns >= self._tend_disk_due_ns:
            self._is_tending_disk = True
            self._journal_thread.submit(self._retain, self._retained)

    def _retain(self) -> Retained | str:
        """Runs in the journal's thread; a text says why nothing was done. Only the journal's own failure is final."""
        try:
            return self._retention.step()
        except OSError as error:
            if isinstance(error, JournalError) and not isinstance(error, DiskFull):
                raise
            return str(error)

    def _retained(self, done: Retained | str) -> None:
        self._is_tending_disk = False
        is_busy = isinstance(done, Retained) and done.is_busy
        self._tend_disk_due_ns = time.monotonic_ns() + (0 if is_busy else _TEND_DISK_NS)
        if isinstance(done, Retained):
            self._disk_trouble = ""
            self._results.publish((topic_of(record), row.seq, row.body) for record, row in done.rows)
        elif done != self._disk_trouble:
            self._disk_trouble = done
            log.error("no space can be freed: %s", done)

    # -- around it

    def status(self) -> dict[str, Any]:
        """Describe the recorder for the status file."""
        return {
            "result_lane": self._results.status(),
            "journal": self._commits.status(),
            "intake": self._intake.status(),
            "images": self._imaging.status(),
            "disk": self._retention.status(),
            "frames": self._shelf.status(),
            "is_publisher_connected": self._publisher.is_connected,
        }

    def close(self) -> None:
        """End the threads, close sockets and files; what is not journalled stays in the spool."""
        self._open.close()


def _shelf(config: ApplianceConfig, recipes: Sequence[Recipe]) -> FrameShelf:
    """Frames wait for their verdict as long as any recipe allows, and a little longer."""
    quotas = {
        camera.name: observer_quota(camera.ring.slots, camera.ring.effective_lease_quota) for camera in config.cameras
    }
    deadline_ms = max(recipe.deadline_ms for recipe in recipes)
    return FrameShelf(config.runtime_dir, quotas, max_age_ms=max(DEFAULT_MAX_AGE_MS, 2 * deadline_ms))
