"""Sets of ids as spans: dense ids of months fit into a few pairs."""

from bisect import bisect_left, bisect_right
from collections.abc import Iterator

INSPECTIONS = ""
"""Stands in for a camera's name where the ids are inspection ids."""


class IdSpans:
    """Ids per ledger epoch and camera (or INSPECTIONS), as disjoint spans that don't touch, in ascending order."""

    def __init__(self) -> None:
        self._firsts: dict[tuple[str, str], list[int]] = {}
        self._lasts: dict[tuple[str, str], list[int]] = {}

    def add(self, ledger_epoch: str, camera: str, first_id: int, last_id: int) -> None:
        """Take in a span, both ends included; one that overlaps or touches others grows together with them."""
        firsts = self._firsts.setdefault((ledger_epoch, camera), [])
        lasts = self._lasts.setdefault((ledger_epoch, camera), [])
        begin, end = bisect_left(lasts, first_id - 1), bisect_right(firsts, last_id + 1)
        if begin < end:
            first_id, last_id = min(first_id, firsts[begin]), max(last_id, lasts[end - 1])
        firsts[begin:end] = [first_id]
        lasts[begin:end] = [last_id]

    def update(self, other: "IdSpans") -> None:
        """Take in all spans of another set."""
        for span in other:
            self.add(*span)

    def has(self, ledger_epoch: str, camera: str, number: int) -> bool:
        """Whether an id is in the set."""
        lasts = self._lasts.get((ledger_epoch, camera), [])
        place = bisect_left(lasts, number)
        return place < len(lasts) and self._firsts[ledger_epoch, camera][place] <= number

    def ids_from(self, ledger_epoch: str, camera: str, first_id: int) -> set[int]:
        """List the ids at and above `first_id`."""
        firsts, lasts = self._firsts.get((ledger_epoch, camera), []), self._lasts.get((ledger_epoch, camera), [])
        ids: set[int] = set()
        for place in range(bisect_left(lasts, first_id), len(lasts)):
            ids.update(range(max(first_id, firsts[place]), lasts[place] + 1))
        return ids

    def last(self, ledger_epoch: str, camera: str) -> int | None:
        """Highest id; None when there is none."""
        lasts = self._lasts.get((ledger_epoch, camera))
        return lasts[-1] if lasts else None

    def __iter__(self) -> Iterator[tuple[str, str, int, int]]:
        for (ledger_epoch, camera), firsts in self._firsts.items():
            for first_id, last_id in zip(firsts, self._lasts[ledger_epoch, camera], strict=True):
                yield ledger_epoch, camera, first_id, last_id
