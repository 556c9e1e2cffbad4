"""Counts of parts by SQLite inside the journal, against a plain list."""

from collections import Counter
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from appliance.records.journal import Journal
from appliance.records.results import ResultQuery, Results
from appliance.records.strata import count_classes, count_parts, pictured_parts, week_of
from appliance.testing.journal_records import inspection, unrecorded
from appliance.testing.review_stand import defect

STORED = {"views": [{"camera": "cam0", "view": "whole", "path": "1.png"}], "missing": []}
MISSING = {"views": [], "missing": [{"camera": "cam0", "view": "whole", "why": "disk_full"}]}
VERDICTS = ("OK", "OK", "NG", "UNKNOWN")


def record(number: int) -> dict[str, Any]:
    verdict = VERDICTS[number % 4]
    return inspection(
        number,
        camera=f"cam{number % 2}",
        verdict=verdict,
        captured_at=f"2026-11-{20 + number % 9:02d}T23:59:59.999999Z",
        defects=[defect("burr"), defect("毛刺"), defect("burr")] if verdict == "NG" else [],
        recipe=None if number % 10 == 0 else {"name": "tabs", "version": number % 2 + 1},
        model=None if verdict == "UNKNOWN" else {"name": "nano", "sha256": "ab" * 32},
        image=(STORED, MISSING, None)[number % 3],
        is_simulated=number % 5 == 0,
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("strata") / "journal"
    journal = Journal.open(folder)
    journal.append([record(number) for number in range(100)])
    journal.seal()
    journal.append([{**unrecorded(5000, 5010)}, *(record(number) for number in range(100, 150))])
    journal.close()
    return folder


def test_every_inspection_is_counted_once_in_its_group(folder: Path) -> None:
    progress = []
    with Results(folder) as results:
        counts = count_parts(results, ResultQuery(), lambda done, total: progress.append((done, total)))
        of_cam1 = count_parts(results, ResultQuery(camera="cam1", recipe="tabs"))
    assert progress == [(1, 2), (2, 2)]
    assert sum(one.count for one in counts) == 150
    expected = Counter(
        (VERDICTS[n % 4], (f"cam{n % 2}",), week_of(date(2026, 11, 20 + n % 9)), n % 3 == 0, n % 5 == 0)
        for n in range(150)
    )
    found: Counter[Any] = Counter()
    for one in counts:
        found[one.group.verdict, one.group.cameras, one.group.week, one.has_picture, one.is_simulated] += one.count
    assert found == expected
    assert {one.group.recipe for one in counts} == {"none", "tabs v1", "tabs v2"}
    assert {one.group.model for one in counts} == {"none", "nano (abababababab)"}
    assert sum(one.count for one in of_cam1) == 75


def test_an_ng_part_is_counted_once_under_each_of_its_classes(folder: Path) -> None:
    with Results(folder) as results:
        counts = count_classes(results, ResultQuery())
    total: Counter[str] = Counter()
    for one in counts:
        assert one.group.verdict == "NG"
        total[one.class_name] += one.count
    assert total == {"burr": 37, "毛刺": 37}


def test_only_parts_with_a_stored_picture_are_listed(folder: Path) -> None:
    with Results(folder) as results:
        seqs = [part.seq for part in pictured_parts(results, ResultQuery())]
        ng = [part.seq for part in pictured_parts(results, ResultQuery(verdict="NG"))]
    assert seqs == [number + 1 + (number >= 100) for number in range(0, 150, 3)]
    assert ng == [number + 1 + (number >= 100) for number in range(0, 150, 3) if number % 4 == 2]


def test_weeks_are_named_as_iso_does() -> None:
    assert week_of(date(2026, 11, 29)) == "2026-W48"
    assert week_of(date(2027, 1, 1)) == "2026-W53"
