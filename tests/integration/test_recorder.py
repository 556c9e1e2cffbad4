"""A real recorder process between a scripted publisher and a consumer."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from appliance.messages import VerdictWord
from appliance.testing.recorder_stand import RecorderStand


@pytest.fixture
def stand(tmp_path: Path) -> Iterator[RecorderStand]:
    with RecorderStand(tmp_path) as running:
        running.start()
        yield running


def test_each_verdict_becomes_a_result_and_a_row(stand: RecorderStand) -> None:
    numbers = [stand.decide(VerdictWord.NG if number % 5 == 0 else VerdictWord.OK) for number in range(50)]
    stand.wait_for(lambda: len(stand.results) >= 50)
    assert sorted(stand.told()) == numbers
    assert [result["seq"] for result in stand.results] == list(range(1, 51))
    assert stand.journalled() == stand.results
    image = next(each["image"] for each in stand.results if each["verdict"] == "NG")
    assert image["missing"] == []
    assert (stand.state_dir / "images" / image["views"][0]["path"]).is_file()
    assert stand.stop() == 0
