"""How many parts got which verdict, by week, cameras, recipe and model, and which of them have pictures.

Counted by SQLite inside the journal: of a hundred parts one has a picture, and all of them count.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import date
from typing import Any

from appliance.records.results import ResultQuery, Results

_DAY_US = 86_400_000_000
_DAY_ZERO = date(1970, 1, 1).toordinal()

Progress = Callable[[int, int], None]
"""Called with partitions read and partitions in all."""

_GROUP = f"""
    at_us / {_DAY_US} AS day, cameras,
    json_extract(text, '$.recipe.name') AS recipe, json_extract(text, '$.recipe.version') AS version,
    json_extract(text, '$.model.name') AS model, json_extract(text, '$.model.sha256') AS sha256, verdict"""
_GROUP_COLUMNS = "day, cameras, recipe, version, model, sha256, verdict"
_IS_SIMULATED = "coalesce(json_extract(text, '$.is_simulated'), 0) AS is_simulated"
_HAS_PICTURE = "coalesce(json_array_length(text, '$.image.views'), 0) > 0 AS has_picture"
_PARTS = "(SELECT *, CAST(body AS TEXT) AS text FROM record WHERE kind = 'inspection' AND {where}) AS part"


@dataclass(frozen=True, order=True)
class Group:
    """What parts have in common that may be counted together.

    Attributes:
        week: ISO week of exposure, UTC: "2026-W48".
        recipe: Name and version; "none" where a part has none.
        model: Name and the first digits of the network's hash; "none" where nothing judged it.
    """

    week: str
    cameras: tuple[str, ...]
    recipe: str
    model: str
    verdict: str


@dataclass(frozen=True)
class PartCount:
    """How many parts of a group there are."""

    group: Group
    has_picture: bool
    is_simulated: bool
    count: int


@dataclass(frozen=True)
class ClassCount:
    """How many NG parts of a group have at least one defect of a class."""

    group: Group
    class_name: str
    count: int


@dataclass(frozen=True)
class PicturedPart:
    """A part of which a picture was stored."""

    seq: int
    group: Group


def week_of(day: date) -> str:
    """Name the ISO week of a day."""
    year, week, _ = day.isocalendar()
    return f"{year}-W{week:02d}"


def versioned(recipe: str | None, version: int | None) -> str:
    """Name a recipe as groups do."""
    return "none" if recipe is None else f"{recipe} v{version}"


def hashed(model: str | None, sha256: str | None) -> str:
    """Name a model as groups do."""
    return "none" if model is None else f"{model} ({(sha256 or '')[:12]})"


def count_parts(results: Results, query: ResultQuery, progress: Progress | None = None) -> list[PartCount]:
    """Count the inspections that match; one part may be counted in several items of the list, never twice.

    Raises:
        JournalError: As `Results.each`.
    """
    text = f"""
        WITH found AS MATERIALIZED (SELECT {_GROUP}, {_IS_SIMULATED}, {_HAS_PICTURE} FROM {_PARTS})
        SELECT {_GROUP_COLUMNS}, is_simulated, has_picture, count(*) FROM found
        GROUP BY {_GROUP_COLUMNS}, is_simulated, has_picture"""  # noqa: S608 (constants, bindings)
    return [
        PartCount(_group(row), bool(has_picture), bool(is_simulated), count)
        for *row, is_simulated, has_picture, count in results.select(text, query, progress)
    ]


def count_classes(results: Results, query: ResultQuery) -> list[ClassCount]:
    """Count the NG inspections that match, under each class of their defects."""
    text = f"""
        SELECT {_GROUP_COLUMNS}, class_name, count(*)
        FROM (SELECT {_GROUP}, class_name FROM {_PARTS} JOIN defect ON defect.seq = part.seq WHERE verdict = 'NG')
        GROUP BY {_GROUP_COLUMNS}, class_name"""  # noqa: S608 (constants, bindings)
    return [ClassCount(_group(row), name, count) for *row, name, count in results.select(text, query)]


def pictured_parts(results: Results, query: ResultQuery, progress: Progress | None = None) -> Iterator[PicturedPart]:
    """Yield the inspections that match and had a picture when their rows were written, oldest first."""
    text = f"""
        SELECT {_GROUP}, {_HAS_PICTURE}, part.seq FROM {_PARTS} WHERE has_picture ORDER BY part.seq"""  # noqa: S608
    return (PicturedPart(seq, _group(row)) for *row, _, seq in results.select(text, query, progress))


def _group(row: list[Any]) -> Group:
    day, cameras, recipe, version, model, sha256, verdict = row
    return Group(
        week=week_of(date.fromordinal(_DAY_ZERO + day)),
        cameras=tuple(cameras.split()),
        recipe=versioned(recipe, version),
        model=hashed(model, sha256),
        verdict=verdict,
    )
