"""The journal: every record once, in order, durable when `append` returns. One writer; readers never wait.

    state_dir/journal/lock                              held by the writer as long as it lives
    state_dir/journal/catalog.db                        epoch, consumers, which partitions there are
    state_dir/journal/20261122T210000-000000000001.db   a partition: the rows from seq 1 on

`seq` is dense within an `epoch`. Another epoch begins only when the journal is made anew, which nothing here ever does
over an existing one: whatever is not understood is refused, and people move the folder away.
"""

import fcntl
import os
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Self

from appliance.errors import DiskFull, JournalError
from appliance.records.catalog import CATALOG_NAME, Catalog, create_catalog
from appliance.records.database import (
    PARTITION_ID,
    check_header,
    remove_database,
    storage_errors,
    sweep_unfinished,
    way_out,
)
from appliance.records.partition import Partition, PartitionFile, create_partition, partition_name, size_bytes
from appliance.records.reader import PAGE_ROWS, JournalReader
from appliance.records.row import Row
from appliance.records.spans import INSPECTIONS, IdSpans

_US_PER_MINUTE = 60_000_000
_LOCK_NAME = "lock"


class Journal:
    """The writer's end, for one thread; `acknowledge`, `acknowledged`, `partitions` and `reader` are for any.

    Attributes:
        epoch: 16 hexadecimal digits.
        head_seq: Seq of the newest row; 0 before the first.
        oldest_seq: Seq of the oldest row that is kept; `head_seq + 1` when none is.
    """

    def __init__(
        self, directory: Path, lock_fd: int, *, partition_minutes: int, partition_max_mb: int, clock: Callable[[], int]
    ) -> None:
        """Take over a directory that is locked; callers use `open`."""
        self._directory = directory
        self._lock_fd = lock_fd
        self._length_us = partition_minutes * _US_PER_MINUTE
        self._max_bytes = partition_max_mb * 1_000_000
        self._clock = clock
        self._catalog = _open_catalog(directory)
        self._catalog_lock = threading.Lock()
        self._active: PartitionFile | None = None
        self._is_broken = False
        self.epoch = self._catalog.epoch
        try:
            self._take_over()
        except BaseException:
            self._close_files()
            raise

    @classmethod
    def open(
        cls,
        directory: Path,
        *,
        partition_minutes: int = 60,
        partition_max_mb: int = 256,
        clock: Callable[[], int] = time.time_ns,
    ) -> Self:
        """Open a journal, or make one where there is none; a killed writer's rows are all there.

        Args:
            partition_minutes: Wall time after which a new file is begun.
            partition_max_mb: Size after which a new file is begun earlier, so that retention can free a little.
            clock: Nanoseconds since the Unix epoch.
        Raises:
            DiskFull: No room for the files that opening needs.
            JournalError: Another writer; foreign, damaged, newer or missing files; rights missing. Nothing is changed.
        """
        lock_fd = _lock(directory)
        try:
            return cls(
                directory, lock_fd, partition_minutes=partition_minutes, partition_max_mb=partition_max_mb, clock=clock
            )
        except BaseException:
            os.close(lock_fd)
            raise

    def _take_over(self) -> None:
        """Compare the catalog with what lies in the directory; open the partition that still grows."""
        known = self._catalog.partitions()
        _check_files(self._directory, known)
        self._remove_leftovers(known)
        sweep_unfinished(self._directory)
        dropped = self._catalog.dropped_through
        self.oldest_seq, self.head_seq = dropped + 1, dropped
        self._spans = self._catalog.spans()
        if known:
            self.oldest_seq = known[0].first_seq
            self._active = PartitionFile(known[-1].path, self.epoch, is_writer=True)
            self.head_seq = self._active.last_seq()
            self._active_since_us = known[-1].started_us
            self._spans.update(self._active.spans())

    def _remove_leftovers(self, known: Sequence[Partition]) -> None:
        """Files in place that the catalog doesn't know: empty ones not yet registered, dropped ones not yet gone."""
        names = {partition.path.name for partition in known} | {CATALOG_NAME}
        for path in sorted(self._directory.glob("*.db")):
            if path.name in names:
                continue
            file = PartitionFile(path, self.epoch, is_writer=False)
            last_seq, is_empty = file.last_seq(), file.last_seq() < file.first_seq
            file.close()
            if not is_empty and last_seq > self._catalog.dropped_through:
                raise JournalError(
                    f"{path}: holds rows to seq {last_seq} that {CATALOG_NAME} doesn't know; move it away"
                )
            remove_database(path)

    # -- rows

    def append(self, records: Sequence[Mapping[str, Any]]) -> list[int]:
        """Write records in one transaction, durable on return; gives their seqs. Raises as `commit`."""
        return [row.seq for row in self.commit(records)]

    def commit(self, records: Sequence[Mapping[str, Any]]) -> list[Row]:
        """Write records in one transaction, durable on return; gives the rows, with the JSON that is to be sent.

        Raises:
            ValueError: A record is not JSON, lacks what its kind has, or its inspection is journalled: nothing written.
            DiskFull: Nothing is written; try again when there is space.
            JournalError: The disk failed, and what it holds only a new start can tell: end the process.
        """
        if self._is_broken:
            raise JournalError(f"{self._directory}: a write has failed before; start the recorder again")
        if not records:
            return []
        now_us = self._clock() // 1000
        rows = [Row.of(record, self.epoch, self.head_seq + 1 + n, now_us) for n, record in enumerate(records)]
        self._refuse_doubles(rows)
        try:
            self._partition_for(now_us).append(rows)
        except DiskFull:
            raise
        except JournalError:
            self._is_broken = True
            raise
        self._remember(rows)
        self.head_seq = rows[-1].seq
        return rows

    def read(self, first_seq: int, last_seq: int, limit: int = PAGE_ROWS) -> list[tuple[int, bytes]]:
        """Read rows as (seq, JSON), in order; see `JournalReader.read`."""
        reader = self.reader()
        try:
            return reader.read(first_seq, last_seq, limit)
        finally:
            reader.close()

    def reader(self) -> JournalReader:
        """Open a reader for another thread; the caller closes it."""
        return JournalReader(self._directory)

    def _refuse_doubles(self, rows: Sequence[Row]) -> None:
        fresh: set[tuple[str | None, int]] = set()
        for row in rows:
            if row.inspection_id is None:
                continue
            key = row.ledger_epoch, row.inspection_id
            if key in fresh or self.has_inspection(str(row.ledger_epoch), row.inspection_id):
                raise ValueError(
                    f"inspection {row.inspection_id} of ledger epoch {row.ledger_epoch} is journalled already"
                )
            fresh.add(key)

    # -- what is journalled, over all partitions, dropped ones included

    def has_inspection(self, ledger_epoch: str, inspection_id: int) -> bool:
        """Whether an inspection has its row, or had it before retention."""
        return self._spans.has(ledger_epoch, INSPECTIONS, inspection_id)

    def triggers(self, ledger_epoch: str, camera: str, first_id: int) -> set[int]:
        """List a camera's trigger ids from `first_id` on that a row closes, or closed before retention."""
        return self._spans.ids_from(ledger_epoch, camera, first_id)

    def last_trigger(self, ledger_epoch: str, camera: str) -> int | None:
        """Highest trigger id of a camera that a row closes; None when there is none."""
        return self._spans.last(ledger_epoch, camera)

    def closed(self) -> IdSpans:
        """Copy what rows close, or closed before retention: triggers, and inspections."""
        copy = IdSpans()
        copy.update(self._spans)
        return copy

    def _remember(self, rows: Sequence[Row]) -> None:
        for row in rows:
            epoch = str(row.ledger_epoch)
            if row.inspection_id is not None:
                self._spans.add(epoch, INSPECTIONS, row.inspection_id, row.inspection_id)
            for camera, first_id, last_id in row.exposures:
                self._spans.add(epoch, camera, first_id, last_id)

    # -- consumers

    def acknowledge(self, consumer: str, seq: int) -> int:
        """Note that a consumer has committed everything up to `seq`; gives what is noted now, never less than before.

        Raises:
            ValueError: No such row yet.
        """
        if not 0 <= seq <= self.head_seq:
            raise ValueError(
                f"{consumer} acknowledged seq {seq}, the head is {self.head_seq}; is its epoch {self.epoch}?"
            )
        with self._catalog_lock:
            self._catalog.acknowledge(consumer, seq, self._clock() // 1000)
            return max(noted.seq for noted in self._catalog.acknowledgements() if noted.consumer == consumer)

    def acknowledged(self) -> dict[str, int]:
        """How far each consumer has got that ever acknowledged."""
        with self._catalog_lock:
            return {noted.consumer: noted.seq for noted in self._catalog.acknowledgements()}

    # -- partitions

    def partitions(self) -> list[Partition]:
        """List the partitions, oldest first; the last one still grows."""
        with self._catalog_lock:
            return self._catalog.partitions()

    def drop(self, partition: Partition) -> None:
        """Forget the oldest partition: its space is free at once, unless a reader has it open this moment.

        Raises:
            ValueError: Not the oldest, or the one that still grows.
        """
        oldest = self.partitions()[0]
        if oldest.path != partition.path or oldest.last_seq is None:
            raise ValueError(
                f"{partition.path.name} is not the oldest sealed partition, {oldest.path.name} is the oldest"
            )
        with self._catalog_lock:
            self._catalog.strike_off(oldest)
        self.oldest_seq = oldest.last_seq + 1
        with storage_errors(oldest.path):
            remove_database(oldest.path)

    def note_eviction(self, folders: Sequence[tuple[str, int]]) -> None:
        """Note folders of images and how many files were evicted from each, so that nobody wonders later."""
        with self._catalog_lock:
            self._catalog.note_eviction(folders, self._clock() // 1000)

    def seal(self) -> None:
        """Begin a new partition now, so that the one that grew may be dropped.

        Raises:
            DiskFull: The old one goes on growing.
        """
        now_us = self._clock() // 1000
        first_seq = self.head_seq + 1
        path = self._directory / partition_name(now_us, first_seq)
        sealed, spans = None, IdSpans()
        if self._active is not None:
            from_us, to_us = self._active.period_us()
            spans = self._active.spans()
            sealed = Partition(self._active.path, self._active.first_seq, self.head_seq, 0, from_us, to_us)
        create_partition(path, self.epoch, first_seq)
        fresh = None
        try:
            fresh = PartitionFile(path, self.epoch, is_writer=True)
            with self._catalog_lock:
                self._catalog.register(path, first_seq, now_us, sealed, spans)
        except BaseException as error:
            if fresh is not None:
                fresh.close()
            if isinstance(error, DiskFull):  # after any other failure the catalog may know it: leave it to a new start
                remove_database(path)
            raise
        if self._active is not None:
            self._active.close()
        self._active = fresh
        self._active_since_us = now_us

    def _partition_for(self, now_us: int) -> PartitionFile:
        """The partition to write to; a clock set back far enough begins a new one as well."""
        active = self._active
        if active is None or (self.head_seq >= active.first_seq and self._is_over(active, now_us)):
            self.seal()
        assert self._active is not None
        return self._active

    def _is_over(self, active: PartitionFile, now_us: int) -> bool:
        same_period = now_us // self._length_us == self._active_since_us // self._length_us
        was_set_back = now_us < self._active_since_us
        is_old = not same_period and not (was_set_back and self._active_since_us - now_us < self._length_us)
        return is_old or size_bytes(active.path) >= self._max_bytes

    def close(self) -> None:
        """Close all files and leave the directory to another writer; closing twice does nothing more."""
        if self._lock_fd < 0:
            return
        self._close_files()
        os.close(self._lock_fd)
        self._lock_fd = -1

    def _close_files(self) -> None:
        if self._active is not None:
            self._active.close()
        self._catalog.close()


def _lock(directory: Path) -> int:
    """Make the directory and lock it for one writer."""
    path = directory / _LOCK_NAME
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise JournalError(
            f"{path}: can't be opened: {error.strerror}; check the state directory and its rights"
        ) from error
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(fd)
        raise JournalError(f"{directory}: another recorder writes here; stop it, or use another state_dir") from None
    return fd


def _open_catalog(directory: Path) -> Catalog:
    if not (directory / CATALOG_NAME).exists():
        strays = sum(1 for path in directory.glob("*.db"))
        if strays:
            raise JournalError(
                f"{directory}: {CATALOG_NAME} is missing beside {strays} partitions; {way_out(directory)}"
            )
        sweep_unfinished(directory)
        create_catalog(directory)
    return Catalog(directory, is_writer=True)


def _check_files(directory: Path, known: Sequence[Partition]) -> None:
    """Refuse what is missing or foreign, before anything is changed."""
    for partition in known:
        if not partition.path.exists():
            rows = f"rows {partition.first_seq} to {partition.last_seq or 'the newest'}"
            raise JournalError(f"{partition.path}: missing, and with it {rows}; {way_out(directory)}")
    for partition in known[:-1]:
        check_header(partition.path, PARTITION_ID)
