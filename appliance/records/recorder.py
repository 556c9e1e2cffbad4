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
import time
from collections.abc import Sequence
from typing import Any

from appliance.clock import NS_PER_S
from appliance.config import ApplianceConfig, load_recipe
from appliance.records.encoder import ImageEncoder
from appliance.records.group_commit import Committed, GroupCommit
from appliance.records.images import ImageStore
from appliance.records.imaging import Imaging
from appliance.records.intake import Intake, Intaken
from appliance.records.journal import Journal
from appliance.records.leftovers import sweep_leftovers
from appliance.records.result_service import ResultService, topic_of
from appliance.records.shelf import FrameShelf
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
_TAKE_AT_ONCE = 256
_MAX_IN_MEMORY = 2048
"""Records between spool and journal; further ones stay in the spool."""


def run_recorder(config: ApplianceConfig, stage: Stage) -> None:
    """Run until the stage is stopped.

    Raises:
        ConfigError: A recipe can't be used.
        JournalError: The journal can't be used, or its disk failed: only a new start knows what it holds.
        PublishError: An endpoint can't be bound.
        TallyError: Ledger files can't be used.
    """
    os.nice(_NICE)
    recorder = Recorder(config)
    try:
        stage.install_signal_handlers()
        gc.freeze()  # what lives now lives for ever: later collections stay short
        stage.ready()
        while not stage.is_stopping:
            recorder.step(POLL_S)
            stage.beat(recorder.status)
        end_ns = time.monotonic_ns() + round(STOP_BUDGET_S * NS_PER_S)
        while not recorder.is_idle and time.monotonic_ns() < end_ns:
            recorder.step(POLL_S)
            stage.beat(recorder.status)
    finally:
        recorder.close()
        stage.stopped()


class Recorder:
    """The process's parts and its loop; `step` is one iteration."""

    def __init__(self, config: ApplianceConfig) -> None:
        settings = config.recorder
        recipes = [load_recipe(path) for path in (config.recipe, *config.recipes)]
        self._journal = Journal.open(config.state_dir / "journal", partition_minutes=settings.partition_minutes)
        self._intake = Intake(config, self._journal)
        store = ImageStore(
            config.state_dir / "images", image_format=settings.image_format, thumbnail_px=settings.thumbnail_px
        )
        sweep_leftovers(store.root, self._journal, config.runtime_dir, self._intake.ledger_epoch)
        self._journal_thread = WorkThread("journal")
        self._reading_thread = WorkThread("reading")
        self._encoder = ImageEncoder(store, max_waiting_bytes=settings.image_queue_mb * 1_000_000)
        quotas = {
            camera.name: observer_quota(camera.ring.slots, camera.ring.effective_lease_quota)
            for camera in config.cameras
        }
        self._shelf = FrameShelf(config.runtime_dir, quotas)
        self._imaging = Imaging(
            self._shelf,
            self._encoder,
            store,
            ok_image_rates={recipe.name: recipe.ok_image_rate for recipe in recipes},
            default_rate=recipes[0].ok_image_rate,
            look_up=self._reading_thread,
        )
        self._commits = GroupCommit(
            self._journal,
            self._journal_thread,
            group_rows=settings.group_rows,
            group_ms=settings.group_ms,
            on_commit=self._tell,
        )
        self._results = ResultService(config, self._journal, self._reading_thread)
        self._publisher = PublisherLink(config.runtime_dir)

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
        items = self._intake.take(min(self._room(), _TAKE_AT_ONCE))
        return items if items else self._intake.audit(now_ns)

    def _room(self) -> int:
        return _MAX_IN_MEMORY - len(self._imaging) - len(self._commits)

    def _tell(self, committed: Sequence[Committed]) -> None:
        """These are durable: consumers may have them, the spool may forget them."""
        self._results.publish((topic_of(item.record), row.seq, row.body) for item, row in committed if row is not None)
        self._intake.done([item for item, _ in committed])

    # -- around it

    def status(self) -> dict[str, Any]:
        """Describe the recorder for the status file."""
        return {
            "result_lane": self._results.status(),
            "journal": self._commits.status(),
            "intake": self._intake.status(),
            "images": self._imaging.status(),
            "frames": self._shelf.status(),
            "is_publisher_connected": self._publisher.is_connected,
        }

    def close(self) -> None:
        """End the threads, close sockets and files; what is not journalled stays in the spool."""
        self._encoder.close()
        self._journal_thread.close()
        self._reading_thread.close()
        self._publisher.close()
        self._shelf.close()
        self._results.close()
        self._intake.close()
        self._journal.close()
