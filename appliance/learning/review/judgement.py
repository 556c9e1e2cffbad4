"""What a person said of one part, and of which part."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import AwareDatetime, Field

from appliance.config import ConfinedModel
from appliance.records.strata import hashed, versioned, week_of

Answer = Literal["right", "wrong", "unsure"]
"""Of the verdict. An NG or UNKNOWN part is wrong when the part is good, an OK part when it has a defect."""
VerdictName = Literal["OK", "NG", "UNKNOWN"]
OTHER_CLASS = "other"
"""A defect of no class that the model knows."""

MOST_NAME = 64
MOST_NOTE = 500
ShortText = Annotated[str, Field(min_length=1, max_length=MOST_NAME, pattern=r"^[^\x00-\x1f\x7f]*$")]
Note = Annotated[str, Field(max_length=MOST_NOTE, pattern=r"^[^\x00-\x1f\x7f]*$")]


class JudgedPart(ConfinedModel):
    """What the journal said of a part when it was judged: the judgement must make sense when the row is gone."""

    epoch: str
    seq: int
    ledger_epoch: str | None
    inspection_id: int
    part_id: str | None
    captured_at: str
    verdict: VerdictName
    cameras: tuple[str, ...]
    recipe: str
    model: str
    classes: tuple[str, ...]

    @classmethod
    def of(cls, record: Mapping[str, Any]) -> JudgedPart:
        """Take what matters from an inspection's record."""
        recipe, model = record.get("recipe") or {}, record.get("model") or {}
        return cls(
            epoch=record["epoch"],
            seq=record["seq"],
            ledger_epoch=record["ledger_epoch"],
            inspection_id=record["inspection_id"],
            part_id=record.get("part_id"),
            captured_at=record["captured_at"],
            verdict=record["verdict"],
            cameras=tuple(sorted({view["camera"] for view in record["views"]})),
            recipe=versioned(recipe.get("name"), recipe.get("version")),
            model=hashed(model.get("name"), model.get("sha256")),
            classes=tuple(sorted({defect["class_name"] for defect in record.get("defects") or ()})),
        )

    @property
    def key(self) -> tuple[str, int]:
        """Journal epoch and seq: names the part for ever."""
        return self.epoch, self.seq

    @property
    def week(self) -> str:
        """ISO week of exposure, UTC."""
        return week_of(datetime.fromisoformat(self.captured_at).date())


class Judgement(ConfinedModel):
    """One line of the ledger.

    Attributes:
        id: The same for the same answer, however often it is handed in.
        at: When the person said it.
        by: Who.
        via: "terminal", "mark" or "page".
        drawn: The part came up by the draw, not because somebody looked for it: only such parts tell of the others.
        class_name: The defect that an OK part has; "other" where the model knows no such class.
    """

    id: str = Field(pattern=r"^[0-9a-f]{32}$")
    at: AwareDatetime
    by: ShortText
    via: Literal["terminal", "mark", "page"]
    drawn: bool
    answer: Answer
    class_name: ShortText | None = None
    note: Note | None = None
    part: JudgedPart

    @property
    def is_escape(self) -> bool:
        """Whether a part with a defect was called OK."""
        return self.answer == "wrong" and self.part.verdict == "OK"

    @property
    def is_false_reject(self) -> bool:
        """Whether a good part was called NG."""
        return self.answer == "wrong" and self.part.verdict == "NG"


def identity(*facts: str | int | None) -> str:
    """Make an id of facts: equal facts, equal id."""
    return hashlib.sha256(json.dumps(facts, ensure_ascii=False).encode()).hexdigest()[:32]
