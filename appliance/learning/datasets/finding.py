"""What a check of a set finds, one thing in one file at a time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

WARNINGS = frozenset({"captured_gone", "image_without_label", "no_provenance", "parts_look_alike", "unlabelled"})
"""What may be meant so; everything else is an error."""


@dataclass(frozen=True, order=True)
class Finding:
    """One thing that is wrong.

    Attributes:
        file: Label file or image; at: line or annotation, "" for the whole file.
        kind: One word for scripts, such as "empty_box".
        what: For people: expected and got.
    """

    file: str
    at: str
    kind: str
    what: str

    @property
    def severity(self) -> Literal["error", "warning"]:
        """Whether a check fails for it."""
        return "warning" if self.kind in WARNINGS else "error"

    def document(self) -> dict[str, Any]:
        """Return it for JSON."""
        return {"file": self.file, "at": self.at, "kind": self.kind, "severity": self.severity, "what": self.what}

    def __str__(self) -> str:
        place = f"{self.file}, {self.at}" if self.at else self.file
        return f"{self.severity}: {place}: {self.what} [{self.kind}]"
