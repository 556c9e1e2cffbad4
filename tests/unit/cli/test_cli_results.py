"""`appliance results`, as people and scripts call it."""

import json
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest
import typer

from appliance.cli.app import main
from appliance.cli.moment import moment_us
from appliance.errors import ExitCode
from appliance.records.journal import Journal
from appliance.testing.journal_records import inspection, unrecorded

_CONFIG = """
line = "line1"
station = "station1"
recipe = "recipe.toml"
models_dir = "models"
state_dir = "state"
[recorder]
required_consumers = ["mes"]
[[cameras]]
name = "cam0"
source = {kind = "folder", images = "."}
"""


@pytest.fixture
def config(tmp_path: Path) -> str:
    (tmp_path / "appliance.toml").write_text(_CONFIG)
    image = tmp_path / "state/images/reject/20261122/21/3.png"
    image.parent.mkdir(parents=True)
    image.write_bytes(b"picture")
    stored = {"camera": "cam0", "view": "whole", "path": "reject/20261122/21/3.png", "thumbnail": None}
    lost = {"camera": "cam0", "view": "whole", "why": "queue_full"}
    burr = {"class_name": "burr", "score": 0.91, "box_px": [1, 2, 3, 4], "camera": "cam0", "view": "whole"}
    journal = Journal.open(tmp_path / "state/journal")
    journal.append(
        [
            inspection(1),
            inspection(2, verdict="UNKNOWN", reason="late", image={"views": [], "missing": [lost]}),
            inspection(3, verdict="NG", part_id="tab-77", defects=[burr], image={"views": [stored], "missing": []}),
            {**unrecorded(10, 20), "line": "line1", "station": "station1"},
        ]
    )
    journal.acknowledge("archive", 3)
    journal.close()
    return str(tmp_path / "appliance.toml")


def fails(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str]:
    with pytest.raises(SystemExit) as ended:
        main(words)
    return int(ended.value.code or 0), capsys.readouterr().err


def says(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    with pytest.raises(SystemExit) as ended:
        main(words)
    captured = capsys.readouterr()
    assert not ended.value.code, captured.err
    return captured.out


def test_list_shows_the_newest_first_with_what_people_ask_for(config: str, capsys: pytest.CaptureFixture[str]) -> None:
    lines = says(capsys, "results", "list", "--config", config).splitlines()
    told = [word for line in lines for word in ("unrecorded", "burr 0.91", "late ") if word in line]
    assert [word.strip() for word in told] == ["unrecorded", "burr 0.91", "late"]
    assert any("tab-77" in line and "NG" in line for line in lines)


def test_list_as_json_holds_whole_records(config: str, capsys: pytest.CaptureFixture[str]) -> None:
    found = json.loads(says(capsys, "results", "list", "--config", config, "--verdict", "ng", "--json"))
    assert [record["seq"] for record in found] == [3]
    found = json.loads(says(capsys, "results", "list", "--config", config, "--since", "2099-01-01", "--json"))
    assert found == []
    found = json.loads(says(capsys, "results", "list", "--config", config, "--limit", "2", "--json"))
    assert [record["seq"] for record in found] == [4, 3]


def test_show_tells_all_of_one_result(config: str, capsys: pytest.CaptureFixture[str]) -> None:
    said = says(capsys, "results", "show", "3", "--config", config)
    assert "defect cam0/whole: burr 0.91" in said
    assert "reject/20261122/21/3.png" in said
    said = says(capsys, "results", "show", "2", "--config", config)
    assert "never stored: too many images waited to be encoded" in said
    assert "cam0/10-20" in says(capsys, "results", "show", "4", "--config", config)


def test_export_writes_to_stdout_or_a_file_but_not_over_one(
    config: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert len(says(capsys, "results", "export", "--config", config).splitlines()) == 5
    out = tmp_path / "out.jsonl"
    words = ("results", "export", "--config", config, "--format", "jsonl", "--verdict", "UNKNOWN", "--out", str(out))
    assert "2 results written" in says(capsys, *words)
    assert len(out.read_text().splitlines()) == 2
    code, said = fails(capsys, *words)
    assert code == ExitCode.USAGE
    assert "--overwrite" in said
    says(capsys, *words, "--overwrite")
    code, said = fails(capsys, "results", "export", "--config", config, "--format", "parquet")
    assert (code, "--out" in said) == (ExitCode.USAGE, True)
    code, said = fails(capsys, "results", "export", "--config", config, "--out", str(tmp_path / "no/where.csv"))
    assert code == ExitCode.USAGE
    assert "can't be written" in said


def test_image_prints_a_path_copies_it_or_says_why_there_is_none(
    config: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    stored = tmp_path / "state/images/reject/20261122/21/3.png"
    assert says(capsys, "results", "image", "3", "--config", config).strip() == str(stored)
    says(capsys, "results", "image", "3", "--config", config, "--out", str(tmp_path / "copy.png"))
    assert (tmp_path / "copy.png").read_bytes() == b"picture"
    for seq, why in (("2", "too many images waited"), ("1", "only sampled"), ("99", "holds 1 to 4")):
        code, said = fails(capsys, "results", "image", seq, "--config", config)
        assert code == ExitCode.RESULT
        assert why in said
        assert len(said.splitlines()) == 1
    code, said = fails(capsys, "results", "image", "3", "--thumbnail", "--config", config)
    assert "no thumbnail" in said


def test_journal_shows_how_far_each_consumer_is(config: str, capsys: pytest.CaptureFixture[str]) -> None:
    document = json.loads(says(capsys, "results", "journal", "--config", config, "--json"))
    assert (document["head_seq"], document["oldest_seq"], document["partitions"]) == (4, 1, 1)
    assert document["consumers"]["archive"]["lag"] == 1
    assert document["consumers"]["mes"] == {"seq": 0, "lag": 4, "is_required": True, "at": None}
    said = says(capsys, "results", "journal", "--config", config)
    assert document["epoch"] in said
    assert "never" in said


def test_a_box_that_never_recorded_says_so(config: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "state/journal").rename(tmp_path / "state/elsewhere")
    code, said = fails(capsys, "results", "list", "--config", config)
    assert code == ExitCode.JOURNAL
    assert "no journal here" in said


def test_times_are_given_as_people_do() -> None:
    zone = timezone(timedelta(hours=8))
    now = datetime(2026, 11, 22, 21, 30, tzinfo=zone)

    def read(text: str) -> datetime:
        return datetime.fromtimestamp(moment_us(text, now) / 1_000_000, zone)

    assert read("1h") == now - timedelta(hours=1)
    assert read("2 d") == now - timedelta(days=2)
    assert read("today") == datetime(2026, 11, 22, tzinfo=zone)
    assert read("Yesterday") == datetime(2026, 11, 21, tzinfo=zone)
    assert read("2026-11-20") == datetime(2026, 11, 20, tzinfo=zone)
    assert read("2026-11-20t05:00:00.5z") == datetime(2026, 11, 20, 13, 0, 0, 500_000, tzinfo=zone)
    for wrong in ("soon", "1 fortnight", "2026-13-01", ""):
        with pytest.raises(typer.BadParameter, match="is no time"):
            moment_us(wrong, now)
