"""The catalog: epoch, consumers, and which partitions there are. Beside the partitions, in `catalog.db`.

A partition is registered after its file is in place and before its first row; it is struck off before its file is
unlinked. So a file the catalog doesn't know is either empty or dropped, and one that it knows and that is missing is
a loss that must not go unnoticed.
"""

import secrets
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import apsw

from appliance.errors import JournalError
from appliance.records.database import CATALOG_ID, create_database, open_database, storage_errors, way_out
from appliance.records.partition import Partition
from appliance.records.spans import IdSpans

CATALOG_NAME = "catalog.db"
_SCHEMA = (
    "CREATE TABLE meta(epoch TEXT NOT NULL, dropped_through INTEGER NOT NULL) STRICT",
    "CREATE TABLE consumer(name TEXT PRIMARY KEY, seq INTEGER NOT NULL, at_us INTEGER NOT NULL) STRICT, WITHOUT ROWID",
    """CREATE TABLE partition(
        first_seq INTEGER PRIMARY KEY, last_seq INTEGER, name TEXT NOT NULL, started_us INTEGER NOT NULL,
        from_us INTEGER, to_us INTEGER) STRICT""",
    # What sealed partitions close, by partition; under 0, what dropped ones had closed.
    "CREATE TABLE span(partition INTEGER, ledger_epoch TEXT, camera TEXT, first_id INTEGER, last_id INTEGER) STRICT",
    "CREATE INDEX span_partition ON span(partition)",
    # Folders of images that were evicted: why a picture is missing is no guess then.
    "CREATE TABLE eviction(folder TEXT PRIMARY KEY, at_us INTEGER NOT NULL, files INTEGER NOT NULL) STRICT",
)
_DROPPED = 0
_PARTITION = "SELECT name, first_seq, last_seq, started_us, from_us, to_us FROM partition"


@dataclass(frozen=True)
class Acknowledgement:
    """How far a consumer has got. `at_us`: when it last said so, microseconds since the Unix epoch."""

    consumer: str
    seq: int
    at_us: int


def create_catalog(directory: Path) -> None:
    """Begin a new epoch.

    Raises:
        DiskFull, JournalError: Nothing is in place.
    """
    statements: list[tuple[str, tuple[object, ...]]] = [(text, ()) for text in _SCHEMA]
    statements.append(("INSERT INTO meta VALUES (?, 0)", (secrets.token_hex(8),)))
    create_database(directory / CATALOG_NAME, CATALOG_ID, statements)


class Catalog:
    """An open catalog. Writing is the journal's alone.

    Attributes:
        epoch: 16 hexadecimal digits; a journal that is made anew has another one.
    Raises:
        JournalError: Missing, damaged, foreign or newer.
    """

    def __init__(self, directory: Path, *, is_writer: bool) -> None:
        self._directory = directory
        self.path = directory / CATALOG_NAME
        self.connection = open_database(self.path, CATALOG_ID, is_writer=is_writer)
        try:
            self.epoch = self._read_epoch()
        except BaseException:
            self.close()
            raise

    def _read_epoch(self) -> str:
        with storage_errors(self.path):
            epoch = self.connection.execute("SELECT epoch FROM meta").get
        if not isinstance(epoch, str):
            raise JournalError(f"{self.path}: holds no epoch; {way_out(self._directory)}")
        return epoch

    @property
    def dropped_through(self) -> int:
        """Highest seq that retention has dropped; 0 while there is none."""
        with storage_errors(self.path):
            return int(self.connection.execute("SELECT dropped_through FROM meta").get)

    # -- partitions

    def partitions(self) -> list[Partition]:
        """List all partitions, oldest first; only the last one may still grow."""
        with storage_errors(self.path):
            found = self.connection.execute(f"{_PARTITION} ORDER BY first_seq").fetchall()
        return [Partition(self._directory / str(name), *rest) for name, *rest in found]  # type: ignore[arg-type]

    def register(self, path: Path, first_seq: int, started_us: int, sealed: Partition | None, spans: IdSpans) -> None:
        """Enter a new partition and seal the one before it, durably and in one.

        Args:
            sealed: The one before, with its last row and its period.
            spans: What that one closes.
        """
        with storage_errors(self.path), self.connection:
            if sealed is not None:
                self.connection.execute(
                    "UPDATE partition SET last_seq = ?, from_us = ?, to_us = ? WHERE first_seq = ?",
                    (sealed.last_seq, sealed.from_us, sealed.to_us, sealed.first_seq),
                )
                self._enter_spans(sealed.first_seq, spans)
            self.connection.execute(
                "INSERT INTO partition(first_seq, name, started_us) VALUES (?, ?, ?)",
                (first_seq, path.name, started_us),
            )

    def strike_off(self, partition: Partition) -> None:
        """Forget a sealed partition, durably; what it closed stays known."""
        with storage_errors(self.path), self.connection:
            spans = self._spans("WHERE partition IN (?, ?)", (_DROPPED, partition.first_seq))
            self.connection.execute("DELETE FROM span WHERE partition IN (?, ?)", (_DROPPED, partition.first_seq))
            self._enter_spans(_DROPPED, spans)
            self.connection.execute("DELETE FROM partition WHERE first_seq = ?", (partition.first_seq,))
            self.connection.execute("UPDATE meta SET dropped_through = ?", (partition.last_seq,))

    def spans(self) -> IdSpans:
        """What all sealed and all dropped partitions close."""
        with storage_errors(self.path):
            return self._spans("", ())

    def _spans(self, where: str, bindings: tuple[int, ...]) -> IdSpans:
        spans = IdSpans()
        query = f"SELECT ledger_epoch, camera, first_id, last_id FROM span {where}"  # noqa: S608 (constants only)
        for span in self.connection.execute(query, bindings):
            spans.add(*span)
        return spans

    def _enter_spans(self, partition: int, spans: IdSpans) -> None:
        self.connection.executemany("INSERT INTO span VALUES (?, ?, ?, ?, ?)", [(partition, *span) for span in spans])

    # -- consumers

    def acknowledgements(self) -> list[Acknowledgement]:
        """List all consumers that ever acknowledged, by name."""
        with storage_errors(self.path):
            found = self.connection.execute("SELECT name, seq, at_us FROM consumer ORDER BY name").fetchall()
        return [Acknowledgement(*row) for row in found]  # type: ignore[arg-type]

    def acknowledge(self, consumer: str, seq: int, at_us: int) -> None:
        """Note how far a consumer has got; never backwards.

        Not synced: after a power cut a consumer may be noted a little behind, and its rows are kept a little longer.
        """
        with storage_errors(self.path):
            self.connection.pragma("synchronous", "NORMAL")
            try:
                self.connection.execute(
                    "INSERT INTO consumer VALUES (?1, ?2, ?3) ON CONFLICT(name)"
                    " DO UPDATE SET seq = max(seq, excluded.seq), at_us = excluded.at_us",
                    (consumer, seq, at_us),
                )
            finally:
                self.connection.pragma("synchronous", "FULL")

    # -- evicted images

    def note_eviction(self, folders: Iterable[tuple[str, int]], at_us: int) -> None:
        """Note folders of images (relative to the images' directory) and how many files were evicted from each."""
        with storage_errors(self.path), self.connection:
            self.connection.executemany(
                "INSERT INTO eviction VALUES (?1, ?2, ?3) ON CONFLICT(folder)"
                " DO UPDATE SET at_us = excluded.at_us, files = files + excluded.files",
                [(folder, at_us, files) for folder, files in folders],
            )

    def evicted_us(self, folder: str) -> int | None:
        """When images of a folder were evicted last, microseconds since the Unix epoch; None when never."""
        with storage_errors(self.path):
            at_us = self.connection.execute("SELECT at_us FROM eviction WHERE folder = ?", (folder,)).get
        return None if at_us is None else int(at_us)

    def close(self) -> None:
        """Close; a failure there harms nothing: the WAL stays."""
        try:
            self.connection.close()
        except apsw.Error:
            self.connection.close(force=True)
