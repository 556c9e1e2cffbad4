"""A part as a person is shown it: what the journal says, where its pictures are, what was said of it before."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from appliance.config import explain
from appliance.errors import ModelError, ResultMissing, ReviewError
from appliance.learning.review.draw import draw
from appliance.learning.review.judgement import OTHER_CLASS, Answer, JudgedPart, Judgement, identity
from appliance.learning.review.ledger import History
from appliance.modelling.bundle import CONTRACT_FILE, ModelBundle
from appliance.records.picture import Picture, pictures
from appliance.records.results import ResultQuery, Results
from appliance.records.strata import Progress, pictured_parts


@dataclass(frozen=True)
class ShownPart:
    """One part with its pictures.

    Attributes:
        pictures: Those that are still there; several views of one frame share a file.
        said: The judgement that counts until now.
    """

    record: Mapping[str, Any]
    pictures: tuple[Picture, ...]
    said: Judgement | None

    @property
    def seq(self) -> int:
        """Its place in the journal."""
        return int(self.record["seq"])

    @property
    def verdict(self) -> str:
        """OK, NG or UNKNOWN."""
        return str(self.record["verdict"])

    def boxes(self, path: Path, kind: str) -> list[Mapping[str, Any]]:
        """List its `defects` or `near_misses` that lie in a picture."""
        seen = {(one.camera, one.view) for one in self.pictures if one.path == path}
        return [one for one in self.record.get(kind) or () if (one["camera"], one["view"]) in seen]

    def files(self) -> list[Path]:
        """List its picture files, each once."""
        return list(dict.fromkeys(one.path for one in self.pictures if one.path is not None))


class PartViewer:
    """Looks parts up, and knows the classes of their models."""

    def __init__(self, results: Results, images_dir: Path, models_dir: Path, history: History) -> None:
        self.results = results
        self._images_dir, self._models_dir = images_dir, models_dir
        self._said = history.latest()
        self._classes: dict[str, tuple[str, ...]] = {}

    def show(self, seq: int) -> ShownPart:
        """Look a part up.

        Raises:
            ResultMissing: No such record, or one of another kind.
        """
        record = self.results.get(seq)
        if record["kind"] != "inspection":
            raise ResultMissing(f"result {seq} is a {record['kind'].replace('_', ' ')}, not an inspection")
        there = tuple(one for one in pictures(record, self.results, self._images_dir) if one.path is not None)
        return ShownPart(record, there, self._said.get((record["epoch"], seq)))

    def classes(self, record: Mapping[str, Any]) -> tuple[str, ...]:
        """Name the classes that a part's model knows; what the record tells where the bundle is gone."""
        name = (record.get("model") or {}).get("name")
        if name is not None and name not in self._classes:
            path = self._models_dir / name / CONTRACT_FILE
            try:
                self._classes[name] = ModelBundle.understand(path.read_bytes(), path).class_names
            except (OSError, ModelError):
                self._classes[name] = ()
        if known := self._classes.get(str(name), ()):
            return known
        told = (one["class_name"] for key in ("defects", "near_misses") for one in record.get(key) or ())
        return tuple(dict.fromkeys(told))

    def judge(
        self,
        record: Mapping[str, Any],
        answer: Answer,
        *,
        by: str,
        via: str,
        drawn: bool,
        at: datetime | None = None,
        class_name: str | None = None,
        note: str | None = None,
        origin: str = "",
    ) -> Judgement:
        """Make a judgement of a part.

        Args:
            at: When it was said; default: now.
            origin: What the answer came in, so that the same answer out of the same file has the same id.
        Raises:
            ReviewError: A class that the model doesn't know, or for a part that isn't said to be an escape; a name or
                note that is too long or holds control characters.
        """
        at = at or datetime.now(UTC)
        if class_name is not None:
            self._check_class(record, answer, class_name)
        part = JudgedPart.of(record)
        name = identity(origin, part.epoch, part.seq, answer, class_name, note, by, at.isoformat())
        said = {"at": at, "by": by, "answer": answer, "class_name": class_name, "note": note}
        try:
            return Judgement.model_validate({"id": name, "via": via, "drawn": drawn, **said, "part": part})
        except ValidationError as error:
            raise ReviewError(explain(error, Path(f"part {part.seq}"))) from error

    def _check_class(self, record: Mapping[str, Any], answer: Answer, class_name: str) -> None:
        seq = record["seq"]
        if record["verdict"] != "OK" or answer != "wrong":
            raise ReviewError(
                f"part {seq}: a class says which defect a part has that was called OK, so it goes with OK and wrong; "
                f"this one is {record['verdict']} and {answer}: leave the class out, a note may hold it"
            )
        known = self.classes(record)
        if known and class_name not in (*known, OTHER_CLASS):
            raise ReviewError(
                f"part {seq}: expected one of the model's classes ({', '.join(known)}) or {OTHER_CLASS}, "
                f"got {class_name!r}"
            )


def to_show(
    results: Results,
    query: ResultQuery,
    history: History,
    *,
    ok_rate: float,
    is_again: bool = False,
    progress: Progress | None = None,
) -> list[int]:
    """List the seqs of the parts to show, in order; see `draw`.

    Args:
        is_again: List also what was drawn and judged before.
    """
    judged = set() if is_again else history.drawn()
    return draw(pictured_parts(results, query, progress), results.journal.epoch, ok_rate, judged)


def with_pictures(viewer: PartViewer, seqs: Sequence[int], limit: int) -> Iterator[ShownPart]:
    """Yield the parts whose pictures are still there, at most `limit`."""
    return _first((viewer.show(seq) for seq in seqs), limit)


def _first(parts: Iterable[ShownPart], limit: int) -> Iterator[ShownPart]:
    shown = 0
    for part in parts:
        if shown == limit:
            return
        if part.pictures:
            shown += 1
            yield part
