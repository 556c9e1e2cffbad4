"""One part after the other in the terminal: a key on a terminal, a word on each line of a pipe."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import typer
from rich.console import Console
from rich.text import Text

from appliance.cli.result_text import local_time
from appliance.learning.review.judgement import MOST_NAME, MOST_NOTE, OTHER_CLASS, Answer, Judgement
from appliance.learning.review.ledger import ReviewLedger
from appliance.learning.review.parts import PartViewer, ShownPart

WORDS: dict[str, str] = {
    "r": "right", "w": "wrong", "u": "unsure", "s": "skip", "b": "back", "o": "open", "q": "quit",
}  # fmt: skip
_ANSWERS: dict[str, Answer] = {"right": "right", "wrong": "wrong", "unsure": "unsure"}
_QUESTIONS = {
    "OK": "called OK: right if the part is good, wrong if it has a defect",
    "NG": "called NG: right if it has a defect, wrong if the part is good",
    "UNKNOWN": "not judged: right if it had to be rejected, wrong if the part is good",
}
_ESCAPES = re.compile(r"\x1b\[[0-9;]*[A-Za-z~]")
_COLOURS = {"OK": "green", "NG": "red", "UNKNOWN": "yellow"}


class Asker:
    """Asks a person: keys where stdin is a terminal, else lines, so that a script can answer too."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._has_keys = sys.stdin.isatty()

    def word(self) -> str:
        """Return one of WORDS' values; the end of the input is quit."""
        while True:
            self._console.print("[bold]r[/]ight  [bold]w[/]rong  [bold]u[/]nsure  [bold]s[/]kip  [bold]b[/]ack  "
                                "[bold]o[/]pen  [bold]q[/]uit > ", end="")  # fmt: skip
            typed = self._typed().strip().lower()
            word = WORDS.get(typed, typed)
            if word in WORDS.values():
                self._console.print(word if self._has_keys else "")
                return word
            self._console.print(f"{typed!r}: expected one of {', '.join(WORDS.values())}", highlight=False)

    def line(self, question: str) -> str:
        """Return what the person types until Enter, without what arrow keys leave; the end of the input is empty."""
        self._console.print(f"{question} > ", end="", highlight=False, markup=False)
        typed = _ESCAPES.sub("", sys.stdin.readline()).strip()
        return "".join(sign for sign in typed if sign.isprintable())

    def note(self) -> str | None:
        """Return what the person wants to add, or None."""
        while len(text := self.line("note, Enter: none")) > MOST_NOTE:
            self._console.print(f"expected at most {MOST_NOTE} characters, got {len(text)}")
        return text or None

    def choice(self, question: str, names: Sequence[str]) -> str | None:
        """Return one of the names, given by number or name, or any name where none is known; None for Enter alone."""
        shown = "  ".join(f"{number} {name}" for number, name in enumerate(names, start=1))
        while typed := self.line(f"{question} {shown}, Enter: don't know"):
            if typed in names or not names:
                return typed[:MOST_NAME]
            if typed.isdecimal() and 0 < int(typed) <= len(names):
                return names[int(typed) - 1]
            self._console.print(f"{typed!r}: expected a number from 1 to {len(names)}, or a name", highlight=False)
        return None

    def _typed(self) -> str:
        if not self._has_keys:
            return sys.stdin.readline() or "quit"
        try:
            return typer.getchar()  # drops what was typed before: nobody judges a part that isn't shown yet
        except EOFError:  # Ctrl-D
            return "quit"


class Session:
    """Shows parts and keeps each answer durably before it shows the next."""

    def __init__(
        self, ledger: ReviewLedger, viewer: PartViewer, console: Console, *, by: str, is_drawn: bool,
        open_picture: Callable[[Path], None],
    ) -> None:  # fmt: skip
        self._ledger, self._viewer, self._console = ledger, viewer, console
        self._by, self._is_drawn, self._open = by, is_drawn, open_picture
        self._ask = Asker(console)
        self.kept: dict[int, Judgement] = {}
        """What was said in this session, by seq."""

    def run(self, seqs: Sequence[int], limit: int) -> None:
        """Go through the parts until the person quits; those whose pictures are gone are passed over."""
        shown: list[ShownPart] = []
        place, rest = 0, iter(seqs)
        while True:
            while place == len(shown) and len(shown) < limit:
                seq = next(rest, None)
                if seq is None:
                    break
                part = self._viewer.show(seq)
                shown += [part] if part.pictures else []
            if place == len(shown):
                return
            word = self._judge(shown[place], place + 1, min(limit, len(seqs)))
            if word == "quit":
                return
            place = max(0, place + (-1 if word == "back" else 1))

    def _judge(self, part: ShownPart, number: int, total: int) -> str:
        for line in part_lines(part, self.kept.get(part.seq) or part.said):
            self._console.print(line, soft_wrap=True)
        self._console.print(f"{number} of {total}: {_QUESTIONS[part.verdict]}", highlight=False)
        while (word := self._ask.word()) == "open":
            for path in part.files():
                self._open(path)
        if word in _ANSWERS:
            self._keep(part, _ANSWERS[word])
        return word

    def _keep(self, part: ShownPart, answer: Answer) -> None:
        class_name = note = None
        if answer == "wrong" and part.verdict == "OK":
            known = self._viewer.classes(part.record)
            names = [*known, OTHER_CLASS] if known else []
            class_name = self._ask.choice("which defect?", names)
            note = self._ask.note()
        judgement = self._viewer.judge(
            part.record, answer, by=self._by, via="terminal", drawn=self._is_drawn, class_name=class_name, note=note,
            at=datetime.now(UTC),
        )  # fmt: skip
        self._ledger.append([judgement])
        self.kept[part.seq] = judgement
        self._console.print(f"kept: {part.seq} {said_words(judgement)}\n", highlight=False, markup=False)


def part_lines(part: ShownPart, said: Judgement | None) -> list[Text]:
    """Write a part for people; paths are links where the terminal knows links."""
    record = part.record
    head = Text(f"part {part.seq}  ")
    head.append(part.verdict, style=f"bold {_COLOURS[part.verdict]}")
    where = ", ".join(f"{view['camera']}/{view['trigger_id']}" for view in record["views"])
    facts = [record["reason"], local_time(record["captured_at"]), record.get("part_id"), where]
    head.append("  " + "  ".join(str(fact) for fact in facts if fact))
    lines = [head]
    for kind, title in (("defects", "defect"), ("near_misses", "weaker")):
        lines += [Text(f"  {title} {_defect_words(defect)}") for defect in record.get(kind) or ()]
    for path in part.files():
        line = Text("  picture ")
        line.append(str(path), style=f"link {path.as_uri()}")
        lines.append(line)
    if said is not None:
        lines.append(Text(f"  said before: {said_words(said)} by {said.by}"))
    return lines


def said_words(judgement: Judgement) -> str:
    """Write an answer with its class and note."""
    words = str(judgement.answer)
    words += f", {judgement.class_name}" if judgement.class_name else ""
    return words + (f" ({judgement.note})" if judgement.note else "")


def _defect_words(defect: Any) -> str:
    box = ", ".join(f"{side:g}" for side in defect["box_px"])
    return f"{defect['class_name']} {defect['score']:.2f} at {box} px, {defect['camera']}/{defect['view']}"
