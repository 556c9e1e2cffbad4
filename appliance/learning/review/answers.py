"""Answers that a page has saved: read as a stranger's file, taken in once."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Literal

from pydantic import AwareDatetime, Field, ValidationError

from appliance.config import ConfinedModel, explain
from appliance.errors import ResultMissing, ReviewError
from appliance.learning.review.judgement import Answer, Judgement, Note, ShortText
from appliance.learning.review.ledger import History, ReviewLedger
from appliance.learning.review.parts import PartViewer
from appliance.records.results import MOST_SEQ

FORMAT = "appliance-review-answers"
MOST_BYTES = 16_000_000
_CLOCK_TOLERANCE = timedelta(minutes=10)  # the browser's clock is another machine's


class PageAnswer(ConfinedModel):
    """One answer; what it means is told in `Judgement`."""

    seq: int = Field(ge=1, le=MOST_SEQ)
    answer: Answer
    class_name: ShortText | None = None
    note: Note | None = None
    at: AwareDatetime


class PageAnswers(ConfinedModel):
    """The file: what a person said on one page."""

    format: Literal["appliance-review-answers"]
    version: Literal[1]
    page: str = Field(pattern=r"^[0-9a-f]{32}$")
    epoch: str = Field(max_length=64)
    by: ShortText
    drawn: bool = Field(description="the page's parts came by the draw")
    answers: tuple[PageAnswer, ...] = Field(max_length=100_000)


@dataclass(frozen=True)
class TakenIn:
    """What became of the answers.

    Attributes:
        overruled: Seqs of parts that somebody has judged since, so that the answer would undo a later one.
    """

    new: int
    known: int
    overruled: tuple[int, ...]

    def figures(self) -> dict[str, Any]:
        """Return the JSON form."""
        return {"new": self.new, "known": self.known, "overruled": list(self.overruled)}


def read_answers(path: Path) -> PageAnswers:
    """Read a file of answers.

    Raises:
        ReviewError: It can't be read, or isn't one.
    """
    try:
        with path.open("rb") as file:
            content = file.read(MOST_BYTES + 1)
    except OSError as error:
        raise ReviewError(f"{path}: can't be read: {error.strerror}; give the file that a review page saved") from error
    if len(content) > MOST_BYTES:
        raise ReviewError(f"{path}: expected a review page's answers, at most {MOST_BYTES} bytes, got more")
    try:
        answers = PageAnswers.model_validate_json(content)
    except ValidationError as error:
        raise ReviewError(f"{explain(error, path)}; save the answers again from the page") from error
    seqs = [answer.seq for answer in answers.answers]
    if twice := next((seq for seq in seqs if seqs.count(seq) > 1), None) if len(set(seqs)) < len(seqs) else None:
        raise ReviewError(f"{path}: part {twice} is answered twice; save the answers again from the page")
    return answers


def take_in(answers: PageAnswers, path: Path, viewer: PartViewer, ledger: ReviewLedger) -> TakenIn:
    """Put answers into the ledger: all that are new, in one piece, or none.

    Args:
        path: Where they are from; for errors.
    Raises:
        ReviewError: Of another journal, of no part of it, of the future, or of a class that the model doesn't know.
    """
    epoch = viewer.results.journal.epoch
    if answers.epoch != epoch:
        raise ReviewError(
            f"{path}: answers to parts of journal {answers.epoch!r}, this appliance's is {epoch}; "
            "name the configuration of the appliance that the page is from with --config"
        )
    latest_us = datetime.now(UTC) + _CLOCK_TOLERANCE
    if late := next((one for one in answers.answers if one.at > latest_us), None):
        raise ReviewError(
            f"{path}: part {late.seq}: answered at {late.at.isoformat()}, which is still to come; set the clocks right"
        )
    judgements = [_judgement(answers, one, path, viewer) for one in answers.answers]
    overruled: list[int] = []

    def decide(history: History) -> list[Judgement]:
        known = {judgement.id for judgement in history.judgements}
        said = history.latest()
        kept = []
        for judgement in judgements:
            earlier = said.get(judgement.part.key)
            if judgement.id not in known and earlier is not None and earlier.at > judgement.at:
                overruled.append(judgement.part.seq)
            else:
                kept.append(judgement)
        return kept

    new = len(ledger.append_after(decide))
    return TakenIn(new, len(judgements) - new - len(overruled), tuple(overruled))


def _judgement(answers: PageAnswers, one: PageAnswer, path: Path, viewer: PartViewer) -> Judgement:
    try:
        return viewer.judge(
            viewer.show(one.seq).record,
            one.answer,
            by=answers.by,
            via="page",
            drawn=answers.drawn,
            at=one.at,
            class_name=one.class_name,
            note=one.note,
            origin=answers.page,
        )
    except (ReviewError, ResultMissing) as error:
        raise ReviewError(f"{path}: {error}") from error
