"""A partition: the journal's rows of some time in one SQLite file, so that forgetting them is an unlink."""

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import apsw

from appliance.errors import JournalError
from appliance.records.database import PARTITION_ID, create_database, open_database, storage_errors, way_out
from appliance.records.row import Row
from appliance.records.spans import INSPECTIONS, IdSpans

_SCHEMA = (
    "CREATE TABLE meta(epoch TEXT NOT NULL, first_seq INTEGER NOT NULL) STRICT",
    # The body stands last: a search that only looks at the columns before it doesn't read its overflow pages.
    """CREATE TABLE record(
        seq INTEGER PRIMARY KEY, kind TEXT NOT NULL, at_us INTEGER NOT NULL, verdict TEXT, reason TEXT, part_id TEXT,
        cameras TEXT NOT NULL, ledger_epoch TEXT, inspection_id INTEGER, body BLOB NOT NULL) STRICT""",
    "CREATE INDEX record_at ON record(at_us)",
    "CREATE INDEX record_part ON record(part_id) WHERE part_id IS NOT NULL",
    "CREATE INDEX record_rejected ON record(verdict) WHERE verdict <> 'OK'",
    """CREATE UNIQUE INDEX record_inspection ON record(ledger_epoch, inspection_id)
        WHERE inspection_id IS NOT NULL""",
    """CREATE TABLE exposure(
        ledger_epoch TEXT NOT NULL, camera TEXT NOT NULL, first_id INTEGER NOT NULL, last_id INTEGER NOT NULL,
        seq INTEGER NOT NULL, PRIMARY KEY(ledger_epoch, camera, first_id, last_id)) STRICT, WITHOUT ROWID""",
    """CREATE TABLE defect(
        class_name TEXT NOT NULL, seq INTEGER NOT NULL, PRIMARY KEY(class_name, seq)) STRICT, WITHOUT ROWID""",
)
_SERIES = "SELECT ledger_epoch, camera, min(first_id), max(first_id), count(*) FROM ({}) GROUP BY 1, 2"
_ISLANDS = """
    SELECT ledger_epoch, camera, min(first_id), max(first_id) FROM (
        SELECT *, first_id - row_number() OVER (ORDER BY first_id) AS island
        FROM ({}) WHERE ledger_epoch = ? AND camera = ?)
    GROUP BY island"""
"""Dense ids differ from their row number by a constant: one row per run instead of one per id."""
_RANGES = "SELECT ledger_epoch, camera, first_id, last_id FROM exposure WHERE first_id < last_id AND seq > ?"
_SINGLE_EXPOSURES = "SELECT * FROM exposure WHERE first_id = last_id AND seq > ?"
_INSPECTION_IDS = f"""
    SELECT ledger_epoch, '{INSPECTIONS}' AS camera, inspection_id AS first_id, inspection_id AS last_id
    FROM record WHERE inspection_id IS NOT NULL AND seq > ?"""  # noqa: S608 (a constant)


@dataclass(frozen=True)
class Partition:
    """What the catalog says of a partition.

    Attributes:
        last_seq: None while rows are still added.
        from_us, to_us: Earliest and latest `at_us` of its rows; None while rows are still added.
    """

    path: Path
    first_seq: int
    last_seq: int | None
    started_us: int
    from_us: int | None
    to_us: int | None

    @property
    def bytes(self) -> int:
        """Its size on disk with its WAL; 0 when it is gone."""
        return size_bytes(self.path)


def size_bytes(path: Path) -> int:
    """Measure a partition with its WAL; 0 when it is gone."""
    total = 0
    for name in (path.name, f"{path.name}-wal"):
        with contextlib.suppress(FileNotFoundError):
            total += path.with_name(name).stat().st_size
    return total


def partition_name(started_us: int, first_seq: int) -> str:
    """Name a partition by its start and its first row: sorted by age, and never the same twice."""
    return f"{datetime.fromtimestamp(started_us // 1_000_000, UTC):%Y%m%dT%H%M%S}-{first_seq:012d}.db"


def create_partition(path: Path, epoch: str, first_seq: int) -> None:
    """Make an empty partition.

    Raises:
        DiskFull, JournalError: Nothing is in place.
    """
    statements: list[tuple[str, tuple[object, ...]]] = [(text, ()) for text in _SCHEMA]
    statements.append(("INSERT INTO meta VALUES (?, ?)", (epoch, first_seq)))
    create_database(path, PARTITION_ID, statements)


class PartitionFile:
    """An open partition; one writer, and any number of readers that it never waits for.

    Raises:
        JournalError: Missing, damaged, newer, or of another epoch.
    """

    def __init__(self, path: Path, epoch: str, *, is_writer: bool, is_sealed: bool = False) -> None:
        self.path = path
        self.connection = open_database(path, PARTITION_ID, is_writer=is_writer, is_sealed=is_sealed)
        try:
            self.first_seq = self._read_first_seq(epoch)
        except BaseException:
            self.close()
            raise

    def _read_first_seq(self, epoch: str) -> int:
        with storage_errors(self.path):
            found, first_seq = self.connection.execute("SELECT epoch, first_seq FROM meta").get
        if found != epoch:
            raise JournalError(f"{self.path}: of epoch {found}, the catalog's is {epoch}; {way_out(self.path.parent)}")
        return int(first_seq)

    def last_seq(self) -> int:
        """Last row's seq; `first_seq - 1` while there is none."""
        with storage_errors(self.path):
            last = self.connection.execute("SELECT max(seq) FROM record").get
        return self.first_seq - 1 if last is None else int(last)

    def append(self, rows: Sequence[Row]) -> None:
        """Write rows in one transaction; they are on the disk when this returns.

        Raises:
            DiskFull: Nothing is written.
            JournalError: The disk failed; what it holds now only a new start can tell.
        """
        with storage_errors(self.path):
            self.connection.execute("BEGIN IMMEDIATE")
            try:
                self._insert(rows)
                self.connection.execute("COMMIT")
            except BaseException:
                if self.connection.in_transaction:
                    self.connection.execute("ROLLBACK")
                raise

    def _insert(self, rows: Sequence[Row]) -> None:
        self.connection.executemany(
            "INSERT INTO record VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            [
                (
                    row.seq, row.kind, row.at_us, row.verdict, row.reason, row.part_id,
                    row.cameras, row.ledger_epoch, row.inspection_id, row.body,
                )
                for row in rows
            ],
        )  # fmt: skip
        self.connection.executemany(
            "INSERT OR IGNORE INTO exposure VALUES (?, ?, ?, ?, ?)",
            [(row.ledger_epoch, *exposure, row.seq) for row in rows for exposure in row.exposures],
        )
        self.connection.executemany(
            "INSERT INTO defect VALUES (?, ?)", [(name, row.seq) for row in rows for name in row.class_names]
        )

    def read(self, first_seq: int, last_seq: int, limit: int) -> list[tuple[int, bytes]]:
        """Read rows from `first_seq` to `last_seq`, both included, in order, not more than `limit`."""
        with storage_errors(self.path):
            return self.connection.execute(  # type: ignore[return-value]
                "SELECT seq, body FROM record WHERE seq BETWEEN ? AND ? ORDER BY seq LIMIT ?",
                (first_seq, last_seq, limit),
            ).fetchall()

    def select(self, query: str, bindings: Sequence[int | str]) -> list[tuple[Any, ...]]:
        """Run a search over `record` and `defect`, to its end: no read transaction stays open."""
        with storage_errors(self.path):
            return self.connection.execute(query, bindings).fetchall()

    def spans(self, after_seq: int = 0) -> IdSpans:
        """Find which triggers and inspections its rows after a seq close."""
        spans = IdSpans()
        with storage_errors(self.path):
            for source in (_SINGLE_EXPOSURES, _INSPECTION_IDS):
                for epoch, camera, first_id, last_id, ids in self.select(_SERIES.format(source), (after_seq,)):
                    if ids == last_id - first_id + 1:  # as good as always, and ten times quicker to find out
                        spans.add(epoch, camera, first_id, last_id)
                        continue
                    for span in self.select(_ISLANDS.format(source), (after_seq, epoch, camera)):
                        spans.add(*span)
            for span in self.connection.execute(_RANGES, (after_seq,)):
                spans.add(*span)
        return spans

    def period_us(self) -> tuple[int | None, int | None]:
        """Find the earliest and the latest `at_us`; Nones while it is empty."""
        with storage_errors(self.path):
            return self.connection.execute("SELECT min(at_us), max(at_us) FROM record").get  # type: ignore[no-any-return]

    def close(self) -> None:
        """Close; the last one out writes the WAL back and removes it. A failure there harms nothing: it stays."""
        try:
            self.connection.close()
        except apsw.Error:
            self.connection.close(force=True)
