"""Looking results up in the journal, beside its writer or long after: by time, part, verdict, class, camera, reason."""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from appliance.errors import ResultMissing
from appliance.records.partition import Partition
from appliance.records.reader import PAGE_ROWS, JournalReader

Record = dict[str, Any]
MOST_SEQ = 2**63 - 1
"""SQLite's greatest integer."""


@dataclass(frozen=True)
class ResultQuery:
    """What is looked for; a field that is None matches everything.

    Attributes:
        since_us, until_us: Time of exposure (of other records: of recording), microseconds since the Unix epoch;
            from `since_us` on, before `until_us`.
        class_name: Class of at least one defect.
        without_shadows: Leave out what models say that only watch.
    """

    since_us: int | None = None
    until_us: int | None = None
    part: str | None = None
    verdict: str | None = None
    class_name: str | None = None
    camera: str | None = None
    reason: str | None = None
    recipe: str | None = None
    without_shadows: bool = False

    def may_be_in(self, partition: Partition) -> bool:
        """Whether a partition can hold anything that matches."""
        if partition.last_seq is None:
            return True
        if partition.from_us is None or partition.to_us is None:
            return False
        is_too_old = self.since_us is not None and partition.to_us < self.since_us
        is_too_new = self.until_us is not None and partition.from_us >= self.until_us
        return not is_too_old and not is_too_new

    def where(self) -> tuple[str, list[int | str]]:
        """Write the condition in SQL, with its bindings."""
        terms = [
            ("at_us >= ?", self.since_us),
            ("at_us < ?", self.until_us),
            ("part_id = ?", self.part),
            # SQLite uses a partial index only where the index's own condition stands in the query as well.
            ("verdict = ?" if self.verdict == "OK" else "verdict = ? AND verdict <> 'OK'", self.verdict),
            ("seq IN (SELECT seq FROM defect WHERE class_name = ?)", self.class_name),
            ("instr(cameras, ?) > 0", f" {self.camera} " if self.camera is not None else None),
            ("reason = ? AND verdict <> 'OK'", self.reason),
            ("json_extract(CAST(body AS TEXT), '$.recipe.name') = ?", self.recipe),
            ("kind <> ?", "shadow_finding" if self.without_shadows else None),
        ]
        chosen = [(term, binding) for term, binding in terms if binding is not None]
        return " AND ".join(term for term, _ in chosen) or "TRUE", [binding for _, binding in chosen]


class Results:
    """The results of one journal; closes with its `with` block.

    Raises:
        JournalError: No journal there, or it can't be read.
    """

    def __init__(self, directory: Path) -> None:
        self.journal = JournalReader(directory)

    def newest(self, query: ResultQuery, limit: int) -> list[Record]:
        """Find the newest matches, newest first, at most `limit`."""
        found: list[Record] = []
        where, bindings = query.where()
        text = f"SELECT body FROM record WHERE {where} ORDER BY seq DESC LIMIT ?"  # noqa: S608 (constants, bindings)
        for partition in reversed(self._partitions(query)):
            with self.journal.opened(partition) as file:
                if file is not None:
                    found += [json.loads(body) for (body,) in file.select(text, (*bindings, limit - len(found)))]
            if len(found) >= limit:
                break
        return found

    def each(self, query: ResultQuery) -> Iterator[Record]:
        """Yield all matches, oldest first. Page by page: a long export holds nothing back that the writer needs."""
        where, bindings = query.where()
        text = f"SELECT seq, body FROM record WHERE seq > ? AND {where} ORDER BY seq LIMIT ?"  # noqa: S608
        for partition in self._partitions(query):
            last_seq = 0
            while True:
                with self.journal.opened(partition) as file:
                    page = file.select(text, (last_seq, *bindings, PAGE_ROWS)) if file is not None else []
                yield from (json.loads(body) for _, body in page)
                if len(page) < PAGE_ROWS:
                    break
                last_seq = page[-1][0]

    def count(self, query: ResultQuery) -> int:
        """Count the matches."""
        where, bindings = query.where()
        total = 0
        for partition in self._partitions(query):
            with self.journal.opened(partition) as file:
                if file is not None:
                    total += file.select(f"SELECT count(*) FROM record WHERE {where}", bindings)[0][0]  # noqa: S608
        return total

    def get(self, seq: int) -> Record:
        """Find one record by its seq.

        Raises:
            ResultMissing: There is none.
        """
        rows = self.journal.read(seq, seq)
        if not rows:
            kept = f"{self.journal.oldest_seq} to {self.journal.head_seq}"
            raise ResultMissing(f"no result with seq {seq}: the journal holds {kept}; retention removed older ones")
        record: Record = json.loads(rows[0][1])
        return record

    def select(
        self, text: str, query: ResultQuery, progress: Callable[[int, int], None] | None = None
    ) -> Iterator[tuple[Any, ...]]:
        """Yield what a search of one's own finds in each partition, oldest partition first.

        Args:
            text: SQL; `{where}` in it stands for the query's condition.
            progress: Called with partitions read and partitions in all.
        """
        where, bindings = query.where()
        partitions = self._partitions(query)
        for done, partition in enumerate(partitions, start=1):
            with self.journal.opened(partition) as file:
                rows = file.select(text.format(where=where), bindings) if file is not None else []
            yield from rows
            if progress is not None:
                progress(done, len(partitions))

    def evicted_us(self, folder: str) -> int | None:
        """When images of a folder were evicted last, microseconds since the Unix epoch; None when never."""
        return self.journal.evicted_us(folder)

    def _partitions(self, query: ResultQuery) -> list[Partition]:
        return [partition for partition in self.journal.partitions() if query.may_be_in(partition)]

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.journal.close()
