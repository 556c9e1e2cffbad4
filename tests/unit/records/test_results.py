"""Looking results up: every filter against a plain list, across partitions, with and without a writer."""

import csv
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from appliance.clock import rfc3339
from appliance.errors import ResultMissing, ToolMissing
from appliance.records.export import export, flat_row
from appliance.records.journal import Journal
from appliance.records.picture import pictures
from appliance.records.results import ResultQuery, Results
from appliance.testing.journal_records import inspection, unrecorded

START_US = 1_800_000_000_000_000
SECOND_US = 1_000_000
VERDICTS = ("OK", "OK", "NG", "UNKNOWN")


def result(number: int) -> dict[str, Any]:
    verdict = VERDICTS[number % 4]
    return inspection(
        number,
        camera=f"cam{number % 3}",
        verdict=verdict,
        reason="late" if verdict == "UNKNOWN" else None,
        part_id=f"part-{number // 2}" if number % 5 else None,
        defects=[{"class_name": ("burr", "毛刺")[number % 3 % 2], "score": 0.5 + number / 1000}] * 2
        if verdict == "NG"
        else [],
        captured_at=rfc3339((START_US + number * SECOND_US) * 1000),
        model={"name": "tabs", "sha256": "ab"},
        stage_ms={"total": 12.5},
        is_simulated=True,
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """120 results in four partitions, as a recorder left them that was killed."""
    folder = tmp_path_factory.mktemp("results") / "journal"
    journal = Journal.open(folder)
    for first in (0, 30, 60, 90):
        journal.append([result(number) for number in range(first, first + 30)])
        if first < 90:
            journal.seal()
    journal.append([{**unrecorded(5000, 5010), "recorded_at": rfc3339((START_US + 500 * SECOND_US) * 1000)}])
    journal.close()
    return folder


@pytest.fixture
def results(folder: Path) -> Iterator[Results]:
    with Results(folder) as results:
        yield results


def seqs(numbers: range, **wanted: Any) -> list[int]:
    """What a search must find, from the list that the journal was made of."""

    def matches(number: int) -> bool:
        record = result(number)
        return all(
            {
                "part": record["part_id"],
                "verdict": record["verdict"],
                "reason": record["reason"],
                "camera": record["views"][0]["camera"],
            }.get(key)
            == value
            or (key == "class_name" and value in {defect["class_name"] for defect in record["defects"]})
            for key, value in wanted.items()
        )

    return [number + 1 for number in numbers if matches(number)]


ALL = range(120)
FILTERS: tuple[dict[str, str], ...] = (
    {"verdict": "NG"},
    {"verdict": "OK"},
    {"reason": "late"},
    {"part": "part-7"},
    {"part": "nobody's"},
    {"class_name": "毛刺"},
    {"camera": "cam1"},
    {"camera": "cam"},
    {"verdict": "NG", "camera": "cam2", "class_name": "burr"},
)


@pytest.mark.parametrize("wanted", FILTERS, ids=lambda wanted: " ".join(wanted.values()))
def test_each_filter_finds_what_a_plain_list_has(results: Results, wanted: dict[str, str]) -> None:
    query = ResultQuery(**wanted)
    expected = seqs(ALL, **wanted)
    assert [record["seq"] for record in results.each(query)] == expected
    assert [record["seq"] for record in results.newest(query, 7)] == expected[::-1][:7]
    assert results.count(query) == len(expected)


def test_time_is_from_and_before_across_partitions(results: Results) -> None:
    query = ResultQuery(since_us=START_US + 25 * SECOND_US, until_us=START_US + 65 * SECOND_US)
    assert [record["seq"] for record in results.each(query)] == list(range(26, 66))
    assert results.count(ResultQuery(since_us=START_US + 500 * SECOND_US)) == 1
    assert results.count(ResultQuery(until_us=START_US)) == 0


def test_sealed_partitions_outside_the_time_are_not_even_opened(results: Results) -> None:
    query = ResultQuery(since_us=START_US + 31 * SECOND_US, until_us=START_US + 59 * SECOND_US)
    assert [query.may_be_in(partition) for partition in results.journal.partitions()] == [False, True, False, True]


def test_ranges_without_a_part_are_found_as_well(results: Results) -> None:
    [record] = results.newest(ResultQuery(reason="unrecorded"), 5)
    assert (record["first_trigger_id"], record["last_trigger_id"]) == (5000, 5010)
    [record] = results.newest(ResultQuery(reason="unrecorded", camera="cam0"), 5)
    assert record["kind"] == "unrecorded"


def test_searches_use_their_indexes(results: Results) -> None:
    plans = {}
    for query in (ResultQuery(part="x"), ResultQuery(verdict="NG"), ResultQuery(since_us=1)):
        where, bindings = query.where()
        with results.journal.opened(results.journal.partitions()[0]) as file:
            assert file is not None
            rows = file.select(f"EXPLAIN QUERY PLAN SELECT count(*) FROM record WHERE {where}", bindings)
        plans[where.split()[0]] = rows[0][3]
    assert "record_part" in plans["part_id"]
    assert "record_rejected" in plans["verdict"]
    assert "record_at" in plans["at_us"]


def test_a_result_that_is_not_there_names_what_is(results: Results) -> None:
    assert results.get(17)["inspection_id"] == 16
    with pytest.raises(ResultMissing, match="no result with seq 999: the journal holds 1 to 121"):
        results.get(999)


def test_csv_has_a_row_each_and_survives_awkward_text(results: Results, tmp_path: Path) -> None:
    out = tmp_path / "out.csv"
    awkward = {**results.get(3), "part_id": 'a,"b"\nc; 毛刺'}
    assert export([awkward, results.get(121)], "csv", out) == 2
    with out.open(encoding="utf-8", newline="") as file:
        first, second = csv.DictReader(file)
    assert first["part_id"] == awkward["part_id"]
    assert (first["seq"], first["verdict"], first["defect_count"]) == ("3", "NG", "2")
    assert first["total_ms"] == "12.5"
    assert (second["kind"], second["first_trigger_id"], second["part_id"]) == ("unrecorded", "5000", "")


def test_json_lines_hold_whole_records(results: Results, tmp_path: Path) -> None:
    out = tmp_path / "out.jsonl"
    assert export(results.each(ResultQuery()), "jsonl", out) == 121
    lines = out.read_text(encoding="utf-8").splitlines()
    assert [json.loads(line)["seq"] for line in lines] == list(range(1, 122))
    assert json.loads(lines[4]) == results.get(5)


def test_parquet_keeps_types(results: Results, tmp_path: Path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet", reason="pyarrow is an extra")
    out = tmp_path / "out.parquet"
    assert export(results.each(ResultQuery()), "parquet", out) == 121
    rows = parquet.read_table(out).to_pylist()
    assert rows == [flat_row(record) for record in results.each(ResultQuery())]
    assert isinstance(rows[2]["top_score"], float)


def test_without_pyarrow_the_extra_is_named(results: Results, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "pyarrow.parquet", None)
    with pytest.raises(ToolMissing, match=r"pip install 'edge-inspection-appliance\[parquet\]'"):
        export([], "parquet", tmp_path / "out.parquet")


def test_an_export_that_fails_leaves_no_file_and_an_old_one_as_it_was(results: Results, tmp_path: Path) -> None:
    def fails() -> Iterator[dict[str, Any]]:
        yield results.get(1)
        raise RuntimeError("the journal's disk died")

    out = tmp_path / "out.csv"
    out.write_text("last week's")
    with pytest.raises(RuntimeError):
        export(fails(), "csv", out)
    assert [path.name for path in tmp_path.iterdir()] == ["out.csv"]
    assert out.read_text() == "last week's"


def test_a_picture_is_where_the_record_says_or_the_reason_is_known(tmp_path: Path) -> None:
    journal = Journal.open(tmp_path / "journal")
    images = tmp_path / "images"
    stored = {"camera": "cam0", "view": "whole", "thumbnail": "ok/20261122/08/1.thumb.jpg"}
    (images / "ok/20261122/08").mkdir(parents=True)
    (images / "ok/20261122/08/1.png").write_bytes(b"picture")
    record = inspection(
        1,
        image={
            "views": [
                stored | {"path": "ok/20261122/08/1.png"},
                stored | {"path": "ok/20261122/07/2.png"},
                stored | {"path": "ok/20261122/06/3.png"},
            ],
            "missing": [{"camera": "cam1", "view": "whole", "why": "not_leased"}],
        },
    )
    journal.append([record])
    journal.note_eviction([("ok/20261122/07", 1)])
    with Results(tmp_path / "journal") as results:
        there, evicted, gone, never = pictures(results.get(1), results, images)
        assert pictures(inspection(2), results, images) == []
    journal.close()
    assert there.path == images / "ok/20261122/08/1.png"
    assert there.thumbnail is None
    assert evicted.path is None
    assert "removed by retention" in str(evicted.missing_because)
    assert "was it moved or deleted by hand?" in str(gone.missing_because)
    assert never.missing_because == "never stored: the frame was gone before the recorder had it"
