"""Reading a journal beside its writer, or without one: never in its way, never surprised by a dropped partition."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from appliance.errors import JournalError
from appliance.records.catalog import Acknowledgement, Catalog
from appliance.records.partition import Partition, PartitionFile

PAGE_ROWS = 500


class JournalReader:
    """Rows and figures of a journal; for one thread of any process.

    Partitions are opened for one call each: a descriptor kept would hold back the disk space of a dropped one.

    Raises:
        JournalError: No journal here, or damaged, foreign, newer; rights missing.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        try:
            is_there = any(directory.glob("*.db"))
        except OSError as error:
            raise JournalError(f"{directory}: can't be read: {error.strerror}; check the rights") from error
        if not is_there:
            raise JournalError(f"{directory}: no journal here; did the recorder ever run with this state_dir?")
        self._catalog = Catalog(directory, is_writer=False)
        self.epoch = self._catalog.epoch

    @property
    def head_seq(self) -> int:
        """Seq of the newest row; 0 before the first."""
        while True:
            partitions = self.partitions()
            if not partitions:
                return self._catalog.dropped_through
            if partitions[-1].last_seq is not None:
                return partitions[-1].last_seq
            with self.opened(partitions[-1]) as file:
                if file is not None:
                    return file.last_seq()

    @property
    def oldest_seq(self) -> int:
        """Seq of the oldest row that is kept; `head_seq + 1` when none is."""
        partitions = self.partitions()
        return partitions[0].first_seq if partitions else self._catalog.dropped_through + 1

    def partitions(self) -> list[Partition]:
        """List what there is now, oldest first."""
        return self._catalog.partitions()

    def read(self, first_seq: int, last_seq: int, limit: int = PAGE_ROWS) -> list[tuple[int, bytes]]:
        """Read rows as (seq, JSON), from `first_seq` (or the oldest kept) to `last_seq`, in order, at most `limit`."""
        rows: list[tuple[int, bytes]] = []
        for partition in self.partitions():
            if partition.last_seq is not None and partition.last_seq < first_seq:
                continue
            if partition.first_seq > last_seq or len(rows) >= limit:
                break
            with self.opened(partition) as file:
                if file is None:  # dropped this moment: rows before it may not stand alone in front of a gap
                    rows.clear()
                    continue
                rows.extend(file.read(first_seq, last_seq, limit - len(rows)))
        return rows

    def acknowledgements(self) -> list[Acknowledgement]:
        """List all consumers that ever acknowledged, by name."""
        return self._catalog.acknowledgements()

    def evicted_us(self, folder: str) -> int | None:
        """When images of a folder were evicted last, microseconds since the Unix epoch; None when never."""
        return self._catalog.evicted_us(folder)

    @contextmanager
    def opened(self, partition: Partition) -> Iterator[PartitionFile | None]:
        """Open a partition for the length of a `with` block; None when it was dropped since it was listed.

        Raises:
            JournalError: It is damaged, or missing although the catalog knows it.
        """
        try:
            is_sealed = partition.last_seq is not None
            file = PartitionFile(partition.path, self.epoch, is_writer=False, is_sealed=is_sealed)
        except JournalError:
            if any(partition.path == known.path for known in self.partitions()):
                raise
            yield None
            return
        try:
            yield file
        finally:
            file.close()

    def close(self) -> None:
        """Close the catalog."""
        self._catalog.close()
