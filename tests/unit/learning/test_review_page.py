"""The page: everything in it, nothing from elsewhere, no text of a record as markup."""

import base64
import hashlib
import json
import re
from html import unescape
from pathlib import Path

import pytest

from appliance.config import load
from appliance.learning.review.ledger import History
from appliance.learning.review.page import review_page
from appliance.learning.review.parts import PartViewer, to_show, with_pictures
from appliance.records.results import ResultQuery, Results
from appliance.testing.review_stand import defect, make_box

EVIL = "</script><script>alert(1)</script>"


@pytest.fixture(scope="module")
def text(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("page")
    parts = [
        {"verdict": "NG", "part_id": EVIL, "defects": [defect(EVIL, 0.9), defect("burr", 0.8)]},
        {"verdict": "OK", "near_misses": [defect("<b>crack</b>", 0.2)], "is_simulated": True},
        {"verdict": "UNKNOWN", "reason": "late"},
        {"verdict": "OK", "picture": False},
    ]
    config = load(Path(make_box(folder, parts)))
    images = config.state_dir / "images"
    next(images.rglob("*-3-*.png")).write_bytes(b"no image")
    with Results(config.state_dir / "journal") as results:
        viewer = PartViewer(results, images, config.models_dir, History(()))
        seqs = to_show(results, ResultQuery(), History(()), ok_rate=1.0)
        return review_page(viewer, list(with_pictures(viewer, seqs, 10)), config, is_drawn=True)


def test_each_part_has_its_picture_with_boxes_and_its_questions(text: str) -> None:
    assert text.count('class="part"') == 3
    assert text.count("data:image/jpeg;base64,") == 2
    assert "burr 0.80" in text
    assert text.count('<button data-answer="wrong"') == 3
    assert text.count('class="which"') == 1  # only an escape has a class
    assert "can't be decoded" in unescape(text)  # a broken file is told in its place
    assert "late" in text


def test_no_text_of_a_record_is_markup(text: str) -> None:
    assert EVIL not in text
    assert "&lt;/script&gt;&lt;script&gt;alert(1)" in text
    assert "<b>crack" not in text
    assert '<option value="&lt;b&gt;crack&lt;/b&gt;">' in text


def test_only_the_pages_own_script_may_run_and_nothing_is_fetched(text: str) -> None:
    policy = re.search(r'Content-Security-Policy" content="([^"]*)"', text)
    assert policy is not None
    assert policy[1].startswith("default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'sha256-")
    script = text.split("<script>")[1].split("</script>", maxsplit=1)[0]
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert f"'sha256-{digest}'" in policy[1]
    assert text.count("<script>") == 1
    assert not re.search(r'(?:src|href)="(?!data:)', text)
    for key in ('r: () => answer("right")', 'w: () => answer("wrong")', "ArrowRight", "ArrowLeft"):
        assert key in script


def test_the_facts_name_journal_page_and_parts(text: str) -> None:
    facts = json.loads(text.split('id="facts">')[1].split("</script>", maxsplit=1)[0])
    assert facts["drawn"] is True
    assert re.fullmatch("[0-9a-f]{32}", facts["page"])
    assert {part["seq"]: part["verdict"] for part in facts["parts"]} == {1: "NG", 2: "OK", 3: "UNKNOWN"}
