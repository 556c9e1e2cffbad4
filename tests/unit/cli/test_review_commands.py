"""`appliance review`, as people and scripts call it."""

import io
import json
from pathlib import Path
from typing import Any

import pytest

from appliance.cli.app import main
from appliance.errors import ExitCode
from appliance.learning.datasets import read_dataset
from appliance.testing.review_stand import defect, make_box

PARTS: list[dict[str, Any]] = [
    {"verdict": "NG", "part_id": "tab-1"},
    {"verdict": "OK", "near_misses": [defect("crack", 0.2, (5, 5, 20, 20))]},
    {"verdict": "OK", "picture": False},
    {"verdict": "UNKNOWN", "reason": "late"},
    {"verdict": "NG", "defects": [defect("excess"), defect("burr", 0.7, (40, 20, 50, 30))]},
    {"verdict": "OK"},
    {"verdict": "OK", "picture": False},
    {"verdict": "OK", "picture": False},
]


@pytest.fixture
def config(tmp_path: Path) -> str:
    return make_box(tmp_path, PARTS)


def run(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as ended:
        main(words)
    captured = capsys.readouterr()
    return int(ended.value.code or 0), captured.out, captured.err


def says(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    code, out, err = run(capsys, *words)
    assert code == 0, err
    return out


def refuses(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    code, _, err = run(capsys, *words)
    assert code == ExitCode.REVIEW
    assert len(err.splitlines()) == 1
    return err


def judged(capsys: pytest.CaptureFixture[str], config: str, *words: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(says(capsys, "review", "list", "--config", config, "--json", *words))
    return found


def review(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, config: str, typed: str, *words: str
) -> str:
    monkeypatch.setattr("sys.stdin", io.StringIO(typed))
    return says(capsys, "review", "--config", config, "--by", "Li", "--sample-ok", "1", *words)


def test_one_part_after_the_other_is_judged_by_letters_or_words(
    config: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    said = review(capsys, monkeypatch, config, "r\nfoo\nwrong\ncrack\nat the edge\nu\nskip\nq\n")
    assert "'foo': expected one of right, wrong" in said
    assert "3 judged" in said
    rows = {row["part"]["verdict"]: row for row in judged(capsys, config)}
    assert {verdict: row["answer"] for verdict, row in rows.items()} == {
        "NG": "right",
        "OK": "wrong",
        "UNKNOWN": "unsure",
    }
    assert (rows["OK"]["class_name"], rows["OK"]["note"], rows["OK"]["by"]) == ("crack", "at the edge", "Li")
    assert all(row["drawn"] for row in rows.values())


def test_back_corrects_the_part_before_and_the_next_session_goes_on(
    config: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    said = review(capsys, monkeypatch, config, "r\nb\nw\n", "--verdict", "NG")
    assert "said before: right by Li" in said
    assert [row["answer"] for row in judged(capsys, config)] == ["wrong"]
    history = judged(capsys, config, "--history")
    assert [(row["answer"], row["counts"]) for row in history] == [("wrong", True), ("right", False)]
    assert "1 of 1" in review(capsys, monkeypatch, config, "r\n", "--verdict", "NG")
    assert "nothing to review" in review(capsys, monkeypatch, config, "", "--verdict", "NG")
    assert "said before" in review(capsys, monkeypatch, config, "q\n", "--verdict", "NG", "--again")


def test_filters_choose_and_those_by_class_stay_out_of_the_rates(
    config: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    said = review(capsys, monkeypatch, config, "r\n", "--class", "excess")
    assert "excess 0.90" in said
    assert "don't count in the rates" in said
    report = json.loads(says(capsys, "review", "report", "--config", config, "--json"))
    assert report["overall"]["ng_judged"] == 0
    assert report["by_hand"]["judged"] == 1
    for words in (("--camera", "cam7"), ("--recipe", "other"), ("--since", "2099-01-01")):
        assert "nothing to review" in review(capsys, monkeypatch, config, "", *words)


def test_mark_keeps_one_judgement_and_show_tells_of_it(config: str, capsys: pytest.CaptureFixture[str]) -> None:
    said = says(
        capsys,
        "review",
        "mark",
        "2",
        "--wrong",
        "--class",
        "crack",
        "--note",
        "a <b>",
        "--by",
        "李",
        "--config",
        config,
    )
    assert "kept: part 2, called OK: wrong, crack (a <b>), by 李" in said
    document = json.loads(says(capsys, "review", "mark", "1", "--right", "--config", config, "--json"))
    assert (document["answer"], document["part"]["part_id"], document["drawn"]) == ("right", "tab-1", False)
    assert "review: wrong, crack (a <b>), by 李" in says(capsys, "results", "show", "2", "--config", config)
    assert "李" in says(capsys, "review", "list", "--config", config)


def test_mark_refuses_what_makes_no_sense(config: str, capsys: pytest.CaptureFixture[str]) -> None:
    end = ("--config", config)
    assert "expected one of the model's classes (crack) or other, got 'scratch'" in refuses(
        capsys, "review", "mark", "2", "--wrong", "--class", "scratch", *end
    )
    assert "goes with OK and wrong; this one is NG" in refuses(
        capsys, "review", "mark", "1", "--wrong", "--class", "burr", *end
    )
    assert "at most 500 characters" in refuses(capsys, "review", "mark", "1", "--wrong", "--note", "x" * 501, *end)
    assert "by:" in refuses(capsys, "review", "mark", "1", "--wrong", "--by", "two\nlines", *end)
    assert run(capsys, "review", "mark", "99", "--wrong", *end)[0] == ExitCode.RESULT
    assert run(capsys, "review", "mark", "1", "--wrong", "--right", *end)[0] == ExitCode.USAGE
    assert judged(capsys, config) == []


def test_the_report_is_what_one_reckons_by_hand(
    config: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """5 OK parts, 2 with pictures: one escape. 2 NG parts: one is good. So E = 5/2, T = 1, F = 1, G = 5/2."""
    review(capsys, monkeypatch, config, "r\nw\n\n\n", "--verdict", "OK")
    review(capsys, monkeypatch, config, "r\nw\n", "--verdict", "NG")
    html = tmp_path / "report.html"
    report = json.loads(says(capsys, "review", "report", "--config", config, "--json", "--html", str(html)))
    overall = report["overall"]
    assert (overall["escapes_found"], overall["ok_judged"], overall["ok_verdicts"]) == (1, 2, 5)
    assert (overall["false_rejects_found"], overall["ng_judged"], overall["ng_verdicts"]) == (1, 2, 2)
    assert overall["escape_rate"] == pytest.approx(2.5 / 3.5, abs=1e-6)
    assert overall["false_reject_rate"] == pytest.approx(1 / 3.5, abs=1e-6)
    assert overall["unknown_pictures_not_reviewed"] == 1
    assert list(report["by_week"]) == ["2026-W48"]
    assert list(report["by_camera"]) == ["cam0"]
    assert list(report["by_recipe"]) == ["tabs v1"]
    assert list(report["by_model"]) == ["tabs-fine (abababababab)"]
    assert list(report["by_class"]) == ["burr", "excess"]
    assert report["by_class"]["burr"]["ng_verdicts"] == 2
    assert report["by_class"]["excess"]["ng_verdicts"] == 1
    said = says(capsys, "review", "report", "--config", config)
    assert "not reviewed yet: 0 NG, 0 OK, 1 UNKNOWN" in said
    assert "71.43" in said
    assert "71.43%" in html.read_text()


def page(capsys: pytest.CaptureFixture[str], config: str, tmp_path: Path) -> dict[str, Any]:
    out = tmp_path / "review.html"
    says(capsys, "review", "page", "--config", config, "--sample-ok", "1", "--out", str(out))
    text = out.read_text().split('id="facts">')[1].split("</script>")[0]
    facts: dict[str, Any] = json.loads(text)
    return facts


def answers(facts: dict[str, Any], *given: dict[str, Any], **more: Any) -> dict[str, Any]:
    keys = ("format", "page", "epoch", "drawn")
    at = "2026-11-25T08:00:00.123Z"
    rows = [{"class_name": None, "note": None, "at": at, **one} for one in given]
    return {**{key: facts[key] for key in keys}, "version": 1, "by": "Wei", "answers": rows, **more}


def test_answers_of_a_page_are_taken_in_once(config: str, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    facts = page(capsys, config, tmp_path)
    assert sorted(part["seq"] for part in facts["parts"]) == [1, 2, 4, 5, 6]
    file = tmp_path / "answers.json"
    given = ({"seq": 1, "answer": "right"}, {"seq": 2, "answer": "wrong", "class_name": "crack", "note": "毛刺?"})
    file.write_text(json.dumps(answers(facts, *given)))
    words = ("review", "import", str(file), "--config", config, "--json")
    assert json.loads(says(capsys, *words)) == {"new": 2, "known": 0, "overruled": []}
    before = (tmp_path / "state/reviews.jsonl").read_bytes()
    assert json.loads(says(capsys, *words)) == {"new": 0, "known": 2, "overruled": []}
    assert (tmp_path / "state/reviews.jsonl").read_bytes() == before
    assert {row["via"] for row in judged(capsys, config)} == {"page"}


def test_an_older_answer_never_undoes_a_later_one(
    config: str, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    facts = page(capsys, config, tmp_path)
    file = tmp_path / "answers.json"
    file.write_text(json.dumps(answers(facts, {"seq": 1, "answer": "right"}, {"seq": 2, "answer": "right"})))
    says(capsys, "review", "mark", "1", "--wrong", "--config", config)
    taken = json.loads(says(capsys, "review", "import", str(file), "--config", config, "--json"))
    assert taken == {"new": 1, "known": 0, "overruled": [1]}
    assert {row["part"]["seq"]: row["answer"] for row in judged(capsys, config)} == {1: "wrong", 2: "right"}


def test_hostile_answers_are_refused_in_one_line_and_change_nothing(
    config: str, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    facts = page(capsys, config, tmp_path)
    good = {"seq": 1, "answer": "right"}
    cases: list[tuple[Any, str]] = [
        ("{", "Invalid JSON"),
        ("[" * 100_000, "Invalid JSON"),
        ("\xff\xfe", "Invalid JSON"),
        ([], "should be an object"),
        ({}, "is missing"),
        (answers(facts, good, format="other"), "format"),
        (answers(facts, good, evil=1), "unknown key 'evil'"),
        (answers(facts, good, page="../../x"), "page"),
        (answers(facts, good, by="a\nb"), "by:"),
        (answers(facts, good, by=""), "by:"),
        (answers(facts, good, epoch="00" * 8), "answers to parts of journal"),
        (answers(facts, {**good, "answer": "maybe"}), "'right', 'wrong' or 'unsure'"),
        (answers(facts, {**good, "seq": "; DROP TABLE"}), "answers.0.seq"),
        (answers(facts, {**good, "seq": 10**30}), "answers.0.seq"),
        (answers(facts, good, {**good, "seq": 99}), "no result with seq 99"),
        (answers(facts, good, good), "part 1 is answered twice"),
        (answers(facts, {**good, "note": "x" * 501}), "at most 500 characters"),
        (answers(facts, {**good, "note": "\x1b[2J"}), "note"),
        (answers(facts, {**good, "class_name": "burr"}), "leave the class out"),
        (
            answers(facts, {"seq": 2, "answer": "wrong", "class_name": "<script>"}),
            "expected one of the model's classes",
        ),
        (answers(facts, {**good, "at": "2099-01-01T00:00:00Z"}), "still to come"),
        (answers(facts, {**good, "at": "2026-11-25T08:00:00"}), "timezone"),
    ]
    file = tmp_path / "hostile.json"
    for content, told in cases:
        file.write_text(content if isinstance(content, str) else json.dumps(content), encoding="latin-1")
        line = refuses(capsys, "review", "import", str(file), "--config", config)
        assert told in line, (told, line)
        assert len(line) < 600
    assert "can't be read" in refuses(capsys, "review", "import", str(tmp_path), "--config", config)
    assert not (tmp_path / "state/reviews.jsonl").exists()


def test_wrong_ones_are_exported_for_labelimg_with_the_persons_note(
    config: str, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    end = ("--config", config)
    assert "nothing to export" in refuses(capsys, "review", "export", "--to", str(tmp_path / "batch"), *end)
    says(capsys, "review", "mark", "5", "--wrong", "--note", "only dust", *end)
    says(capsys, "review", "mark", "2", "--wrong", "--class", "crack", *end)
    says(capsys, "review", "mark", "1", "--right", *end)
    says(capsys, "review", "mark", "3", "--wrong", *end)
    written = json.loads(says(capsys, "review", "export", "--to", str(tmp_path / "batch"), *end, "--json"))
    assert (written["images"], written["parts"]) == (2, 2)
    assert any("part 3" in note and "picture is gone" in note for note in written["notes"])
    read = read_dataset(tmp_path / "batch")
    boxes = {image.path.name.split("-")[1]: [read.class_names[n] for n in image.class_ids] for image in read.images}
    assert boxes == {"5": ["excess", "burr"], "2": ["crack"]}
    manifest = json.loads((tmp_path / "batch/review.json").read_text())["pictures"]
    rows = {row["seq"]: row for row in manifest}
    assert rows[5]["note"] == "only dust"
    assert rows[2]["class_name"] == "crack"
    assert rows[5]["model"]["name"] == "tabs-fine"
    assert rows[5]["boxes"][0]["score"] == 0.9
    assert (tmp_path / "batch" / rows[5]["image"]).is_file()
    assert "prelabelled by review of" in next((tmp_path / "batch").glob("*-5-*.xml")).read_text()


def test_a_picture_that_was_changed_is_not_exported(
    config: str, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    says(capsys, "review", "mark", "5", "--wrong", "--config", config)
    for path in (tmp_path / "state/images").rglob("*-5-*.png"):
        path.write_bytes(path.read_bytes() + b"x")
    line = refuses(capsys, "review", "export", "--to", str(tmp_path / "batch"), "--config", config)
    assert "isn't what was recorded" in line


def test_a_damaged_ledger_line_is_told_with_its_number(
    config: str, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    says(capsys, "review", "mark", "1", "--right", "--config", config)
    with (tmp_path / "state/reviews.jsonl").open("a") as file:
        file.write("{}\n")
    code, out, err = run(capsys, "review", "report", "--config", config, "--json")
    assert code == 0
    assert "line 2 can't be read" in err
    assert json.loads(out)["damaged_ledger_lines"] == [2]
