"""What came of a capture, in figures."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass
class Tally:
    """Counts of one capture.

    Attributes:
        taken: Pictures.
        duplicates: Wanted, and left out because the folder has one like it.
        missed: Wanted, and not to be had: the capture was behind when its frame passed.
        unanswered: Whether it was wanted nobody can tell: its result didn't come.
        by_reason, by_camera: Of `taken`; a picture may have several reasons.
        simulated: Of `taken`.
    """

    taken: int = 0
    duplicates: int = 0
    missed: int = 0
    unanswered: int = 0
    simulated: int = 0
    by_reason: Counter[str] = field(default_factory=Counter)
    by_camera: Counter[str] = field(default_factory=Counter)

    def take(self, row: Mapping[str, Any]) -> None:
        """Count a picture by its line of the manifest."""
        self.taken += 1
        self.simulated += row["is_simulated"]
        self.by_camera[row["camera"]] += 1
        self.by_reason.update(_words(row["why"]))

    def figures(self) -> dict[str, Any]:
        """Return it for JSON."""
        return {
            "taken": self.taken,
            "duplicates": self.duplicates,
            "missed": self.missed,
            "unanswered": self.unanswered,
            "simulated": self.simulated,
            "by_reason": dict(sorted(self.by_reason.items())),
            "by_camera": dict(sorted(self.by_camera.items())),
        }


def _words(why: Iterable[Mapping[str, Any]]) -> set[str]:
    return {each["reason"] for each in why}
