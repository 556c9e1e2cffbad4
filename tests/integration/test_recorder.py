"""A real recorder process between a scripted publisher and a consumer: what it keeps, tells and survives."""

import json
import signal
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from appliance.messages import VerdictWord
from appliance.records.reader import JournalReader
from appliance.testing.patience import PATIENCE_S
from appliance.testing.recorder_stand import RecorderStand
from appliance.wire.replay import Acked, BadEpoch, Rows
from appliance.wire.replay_client import ReplayClient

pytestmark = pytest.mark.timeout(360)  # many processes are started and waited for

OK, NG, UNKNOWN = VerdictWord.OK, VerdictWord.NG, VerdictWord.UNKNOWN


@pytest.fixture
def stand(tmp_path: Path) -> Iterator[RecorderStand]:
    with RecorderStand(tmp_path) as running:
        running.start()
        yield running


@pytest.fixture(scope="module")
def steady(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RecorderStand]:
    """One recorder for all tests that don't hurt it."""
    with RecorderStand(tmp_path_factory.mktemp("steady"), settings='required_consumers = ["mes"]') as running:
        running.start()
        yield running


def assert_every_trigger_once(stand: RecorderStand, numbers: list[int]) -> None:
    rows = stand.journalled()
    assert [row["seq"] for row in rows] == list(range(1, len(rows) + 1))
    assert Counter(view["trigger_id"] for row in rows for view in row["views"]) == Counter(numbers)
    journalled = {row["seq"]: row for row in rows}
    assert all(result == journalled[result["seq"]] for result in stand.results), "nothing is told that isn't kept"


def test_each_verdict_becomes_a_row_and_a_result_and_rejects_keep_their_image(steady: RecorderStand) -> None:
    numbers = []
    for number in range(50):
        numbers.append(steady.decide(NG if number % 5 == 0 else OK))
        steady.listen(0.005)
    steady.wait_for(lambda: len(steady.results) >= 50)
    assert sorted(steady.told()) == numbers
    assert [result["seq"] for result in steady.results] == list(range(1, 51))
    assert_every_trigger_once(steady, numbers)
    for result in steady.results:
        if result["verdict"] == "NG":
            (image,) = result["image"]["views"]
            assert (steady.state_dir / "images" / image["path"]).stat().st_size == image["bytes"]


def test_what_is_spooled_last_is_journalled_before_a_stop(stand: RecorderStand) -> None:
    stand.signal(signal.SIGSTOP)
    numbers = [stand.decide(NG) for _ in range(10)]
    assert stand.process is not None
    stand.process.terminate()
    stand.signal(signal.SIGCONT)
    assert stand.process.wait(PATIENCE_S) == 0
    with closing(JournalReader(stand.state_dir / "journal")) as reader:  # nobody is left that could answer
        rows = [json.loads(body) for _, body in reader.read(1, reader.head_seq)]
    assert sorted(view["trigger_id"] for row in rows for view in row["views"]) == numbers


def test_consumers_ask_again_acknowledge_and_their_lag_is_told(steady: RecorderStand) -> None:
    last = [steady.result(steady.decide())["seq"] for _ in range(3)][-1]  # alone, too, there are three rows
    epoch = steady.heartbeats[-1].epoch
    with ReplayClient(steady.config.recorder.replay_endpoint) as client:
        rows = client.get(epoch, last - 2, last, PATIENCE_S)
        assert isinstance(rows, Rows)
        assert ([seq for seq, _ in rows.rows], rows.head_seq) == ([last - 2, last - 1, last], last)
        assert client.get("another", 1, 2, PATIENCE_S) == BadEpoch(epoch)
        assert client.acknowledge("mes", epoch, last - 2, PATIENCE_S) == Acked("mes", last - 2)
    steady.wait_for(lambda: steady.heartbeats[-1].head_seq == last)
    consumer = {"acknowledged": last - 2, "lag": 2, "is_required": True}
    steady.wait_for(lambda: steady.status()["result_lane"]["consumers"]["mes"] == consumer)


def test_a_decision_that_never_reached_the_spool_is_recorded_from_the_tally_files(steady: RecorderStand) -> None:
    unspooled = steady.decide(NG, is_spooled=False)
    still_open = steady.decide(is_decided=False)
    record = steady.result(unspooled)
    assert (record["is_recovered"], record["verdict"], record["sent_verdict"]) == (True, "NG", "NG")
    nothing_found = {
        "camera": "cam0",
        "view": "whole",
        "verdict": None,
        "reason": None,
        "detail": None,
        "evidence": None,
    }
    assert record["finding"] == [nothing_found]
    assert record["image"]["missing"] == [], "its frame was still on the shelf"
    assert still_open not in steady.told()
    steady.wait_for(lambda: steady.status()["intake"]["recovered"] == 1)

    # A publisher that was only stopped tells it now.
    late = {name: value for name, value in record.items() if name not in {"epoch", "seq"}}
    steady.spool_record({**late, "is_recovered": False, "image": None})
    steady.wait_for(lambda: steady.status()["intake"]["duplicates"] == 1)
    assert steady.told().count(unspooled) == 1


def test_kill_9_during_load_loses_nothing_and_doubles_nothing(stand: RecorderStand) -> None:
    numbers: list[int] = []
    for round_ms in (150, 40, 10, 90):
        until = time.monotonic() + round_ms / 1000
        while time.monotonic() < until:
            numbers.append(stand.decide(NG if len(numbers) % 3 == 0 else OK))
            stand.listen(0.001)
        stand.kill()
        numbers += [stand.decide() for _ in range(3)]
        stand.start()
    stand.wait_for(lambda: stand.heartbeats[-1].head_seq >= len(numbers))
    assert_every_trigger_once(stand, numbers)
    reasons = {"recorder_down", "shelf_full", "not_leased"}  # the last: a recorder that came back later than the frame
    for row in stand.journalled():
        if row["verdict"] == "NG":
            assert row["image"]["views"] or row["image"]["missing"][0]["why"] in reasons


def test_images_of_the_time_without_a_recorder_are_missing_with_the_reason(stand: RecorderStand) -> None:
    stand.kill()
    number = stand.decide(NG)
    frameless = stand.decide(UNKNOWN, has_frame=False)
    stand.start()
    assert stand.row(number)["image"]["missing"] == [{"camera": "cam0", "view": "whole", "why": "recorder_down"}]
    assert stand.row(frameless)["image"]["missing"][0]["why"] in {"no_frame", "recorder_down"}
    assert stand.result(stand.decide(NG))["image"]["missing"] == []
    assert stand.result(stand.decide(UNKNOWN, has_frame=False))["image"]["missing"][0]["why"] == "no_frame"


def test_a_power_loss_leaves_one_record_for_all_triggers_it_took(tmp_path: Path) -> None:
    with RecorderStand(tmp_path) as before:
        before.start()
        numbers = [before.decide() for _ in range(5)]
        before.wait_for(lambda: len(before.results) == 5)
        before.kill()
        lost = before.decide()
        before.lose_power()
    with RecorderStand(tmp_path) as after:
        after.start()
        first = after.decide()
        after.row(first)
        after.wait_for(lambda: after.status()["intake"]["ranges"] == 1)
        gap = next(row for row in after.journalled() if row["kind"] == "unrecorded")
    assert (gap["first_trigger_id"], gap["last_trigger_id"]) == (numbers[-1] + 1, first - 1)
    assert gap["first_trigger_id"] <= lost <= gap["last_trigger_id"]
    assert (gap["sent_verdict"], gap["reason"], gap["verdict"]) == (None, "unrecorded", "UNKNOWN")


def test_orphaned_images_of_a_power_loss_are_removed(tmp_path: Path) -> None:
    with RecorderStand(tmp_path) as stand:
        stand.start()
        image = stand.result(stand.decide(NG))["image"]["views"][0]["path"]
        stand.stop()
        kept = stand.state_dir / "images" / image
        orphan = kept.with_name(f"{stand.epoch}-{stand.next_inspection + 1}-cam0.whole.png")
        half = kept.with_name(f"{stand.epoch}-{stand.next_inspection + 2}-cam0.whole.png.tmp")
        for path in (orphan, half):
            path.write_bytes(kept.read_bytes())
        (stand.config.runtime_dir / "spool").rename(tmp_path / "spool")
        stand.start()
        assert kept.is_file()
        assert not orphan.exists()
        assert not half.exists()
