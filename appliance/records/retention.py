"""What goes when the disk fills up, in this order, and never more than is needed:

    from EVICT on   1. sampled images of OK parts, oldest hour first
                    2. partitions whose rows are all acknowledged, oldest first
    only at STOP    3. images of rejected parts, oldest hour first
                    4. partitions with rows not acknowledged, oldest first: a `lost_range` record names their triggers
                       before they go, and an alarm stays in the status

Acknowledged is what all required consumers have acknowledged. Where none is required, what any consumer has; where
nobody ever acknowledged anything, everything: rows that nobody asked for must not stop the box.
"""

import contextlib
import logging
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

from appliance.clock import rfc3339
from appliance.config import ApplianceConfig
from appliance.messages import range_record
from appliance.records.disk_space import BYTES_PER_MB, DiskLevel, DiskSpace, unused_bytes
from appliance.records.durable import TEMPORARY_SUFFIX
from appliance.records.journal import Journal
from appliance.records.partition import Partition
from appliance.records.row import Row
from appliance.records.spans import INSPECTIONS

log = logging.getLogger(__name__)

FILES_PER_STEP = 64
"""Images unlinked between two commits: each costs a little of the disk's time."""
_WORTH_SEALING_BYTES = 4 * BYTES_PER_MB


@dataclass
class Retained:
    """What one step did.

    Attributes:
        rows: Records written and their rows: `lost_range`, to be published like any other.
        is_busy: Something was freed and more is wanted: another step is due at once.
    """

    level: DiskLevel
    rows: list[tuple[dict[str, Any], Row]] = field(default_factory=list)
    is_busy: bool = False


class Retention:
    """Frees space in small steps, in the journal's thread. `may_write` and `status` are for any thread."""

    def __init__(
        self, config: ApplianceConfig, journal: Journal, *, free_of: Callable[[Path], int] = unused_bytes
    ) -> None:
        self._config, self._journal = config, journal
        self._space = DiskSpace(config.state_dir, config.recorder, free_of=free_of)
        self._space.look()  # before the first row: a full disk's last room is the ballast's
        self._images = config.state_dir / "images"
        self._freed = {"ok_images": 0, "reject_images": 0, "partitions": 0, "unacknowledged_rows": 0}
        self._alarm: str | None = None

    @property
    def may_write(self) -> bool:
        """Whether rows and images may be written: False at STOP, as of the last step."""
        return self._space.level is not DiskLevel.STOP

    def step(self) -> Retained:
        """Look at the disk; where space is wanted, free some in the order above.

        Raises:
            DiskFull: Not even striking a partition off found room; try again.
            JournalError: As `Journal.commit`.
            OSError: The disk failed.
        """
        done = Retained(self._space.look())
        if done.level >= DiskLevel.EVICT:
            done.is_busy = self._free_some(done)
        return done

    def status(self) -> dict[str, Any]:
        """Describe the disk for the status file."""
        return {
            "level": self._space.level.name.lower(),
            "free_mb": self._space.free_bytes // BYTES_PER_MB,
            "freed": dict(self._freed),
            "alarm": self._alarm,
        }

    def acknowledged_seq(self) -> int:
        """Up to where rows count as acknowledged: see above."""
        noted, required = self._journal.acknowledged(), self._config.recorder.required_consumers
        if required:
            return min(noted.get(name, 0) for name in required)
        return max(noted.values(), default=self._journal.head_seq)

    def _free_some(self, done: Retained) -> bool:
        if self._evict_images("ok"):
            return True
        acknowledged = self._acknowledged_partition()
        if acknowledged is not None:
            self._drop(acknowledged)
            return True
        if done.level is not DiskLevel.STOP:
            return False
        if self._evict_images("reject"):
            self._raise_alarm("disk full: images of rejected parts were removed")
            return True
        return self._drop_unacknowledged(done)

    # -- partitions

    def _acknowledged_partition(self) -> Partition | None:
        oldest = self._oldest_sealed()
        is_acknowledged = oldest is not None and (oldest.last_seq or 0) <= self.acknowledged_seq()
        return oldest if is_acknowledged else None

    def _oldest_sealed(self) -> Partition | None:
        """The oldest partition, if it may be dropped; the one that grows is sealed for that when it is worth it."""
        partitions = self._journal.partitions()
        if len(partitions) == 1 and partitions[0].bytes >= _WORTH_SEALING_BYTES:
            self._journal.seal()
            partitions = self._journal.partitions()
        return partitions[0] if len(partitions) > 1 else None

    def _drop_unacknowledged(self, done: Retained) -> bool:
        partition = self._oldest_sealed()
        if partition is None or partition.last_seq is None:
            return False
        first_seq = max(partition.first_seq, self.acknowledged_seq() + 1)
        records = list(self._lost_ranges(partition, first_seq))
        # The loss is on record before it happens: a crash in between repeats a message, and hides nothing.
        done.rows = list(zip(records, self._journal.commit(records), strict=True))
        self._drop(partition)
        self._freed["unacknowledged_rows"] += partition.last_seq - first_seq + 1
        self._raise_alarm(f"disk full: rows {first_seq} to {partition.last_seq} were removed before all had them")
        return True

    def _lost_ranges(self, partition: Partition, first_seq: int) -> Iterator[dict[str, Any]]:
        with contextlib.closing(self._journal.reader()) as reader, reader.opened(partition) as file:
            assert file is not None, "only this thread drops partitions"
            spans = file.spans(after_seq=first_seq - 1)
        simulated = {camera.name: camera.replayed_folder is not None for camera in self._config.cameras}
        for ledger_epoch, camera, first_id, last_id in spans:
            if camera == INSPECTIONS:
                continue
            yield range_record(
                "lost_range",
                line=self._config.line,
                station=self._config.station,
                ledger_epoch=ledger_epoch,
                camera=camera,
                first_trigger_id=first_id,
                last_trigger_id=last_id,
                detail=f"disk full: rows of seq {first_seq} to {partition.last_seq} removed, not acknowledged by all",
                is_simulated=simulated.get(camera, False),
                recorded_at=rfc3339(time.time_ns()),
            )

    def _drop(self, partition: Partition) -> None:
        self._journal.drop(partition)
        self._freed["partitions"] += 1
        log.warning("partition %s dropped: disk %s", partition.path.name, self._space.level.name)

    def _raise_alarm(self, text: str) -> None:
        self._alarm = text
        log.error("%s", text)

    # -- images

    def _evict_images(self, kind: str) -> int:
        """Unlink images of the oldest hour, as many as one step may; gives how many."""
        for hour in self._hours(kind):
            # In the folder's own order: sorting a hundred thousand names for each step would cost more than unlinking.
            complete = (path for path in hour.iterdir() if not path.name.endswith(TEMPORARY_SUFFIX))
            files = list(islice(complete, FILES_PER_STEP))
            if not files:
                _remove_if_empty(hour)
                continue
            for path in files:
                path.unlink(missing_ok=True)
            self._freed[f"{kind}_images"] += len(files)
            self._journal.note_eviction([(hour.relative_to(self._images).as_posix(), len(files))])
            return len(files)
        return 0

    def _hours(self, kind: str) -> Iterator[Path]:
        """List the hours' folders, oldest first."""
        for day in sorted((self._images / kind).glob("[0-9]*")):
            hours = sorted(day.glob("[0-9]*"))
            yield from hours
            if not hours:
                _remove_if_empty(day)


def _remove_if_empty(folder: Path) -> None:
    with contextlib.suppress(OSError):  # an image came meanwhile
        folder.rmdir()
