"""Camera to verdict with real processes, a real model and real images, and what happens when parts of it die."""

import os
import signal
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from appliance.box.supervisor import STOP_BUDGETS_S
from appliance.messages import Reason
from appliance.testing.whole_appliance import START_PATIENCE_S, WholeAppliance

pytestmark = pytest.mark.timeout(360)  # many processes are started and waited for

PROCESSES = ("grab-cam0", "inspect", "publish", "record")


@pytest.fixture
def appliance(tmp_path: Path) -> Iterator[WholeAppliance]:
    with WholeAppliance(tmp_path) as whole:
        yield whole


@pytest.fixture(scope="module")
def steady(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WholeAppliance]:
    """One appliance for all tests that hurt no process of it."""
    with WholeAppliance(tmp_path_factory.mktemp("steady")) as whole:
        yield whole


def assert_one_message_at_most_each(whole: WholeAppliance) -> None:
    triggers = Counter(view["trigger_id"] for verdict in whole.verdicts for view in verdict["views"])
    sequences = Counter(verdict["verdict_seq"] for verdict in whole.verdicts)
    inspections = Counter(verdict["inspection_id"] for verdict in whole.verdicts)
    for counted in (triggers, sequences, inspections):
        assert max(counted.values()) == 1


def test_real_parts_get_verdicts_without_a_copy_and_leave_nothing_open(tmp_path: Path) -> None:
    with WholeAppliance(tmp_path) as whole:
        whole.follow(lambda: whole.judged() >= 40)
        whole.follow(lambda: whole.status()["cameras"]["cam0"]["copies_per_frame"] is not None)
        status = whole.status()
        processes = [whole.pid(name) for name in PROCESSES]
        began = time.monotonic()
    took_s = time.monotonic() - began
    camera = status["cameras"]["cam0"]
    assert camera["copies_per_frame"] < 0.5  # a late inspector takes several frames at once, which may not adjoin
    assert camera["announce"] == "ring"
    assert status["invariant_holds"]
    assert {verdict["verdict"] for verdict in whole.verdicts} >= {"OK", "NG"}
    assert all(verdict["is_simulated"] for verdict in whole.verdicts)
    assert all(verdict["views"][0]["encoder_count"] is not None for verdict in whole.verdicts)
    counts = whole.counts()
    assert counts.open == 0
    assert counts.invariant_holds
    assert_one_message_at_most_each(whole)
    assert took_s < STOP_BUDGETS_S[-1] + 1  # the machine may stand still meanwhile
    assert not list(whole.config.runtime_dir.glob("*.sock"))
    for pid in processes:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)


@pytest.mark.parametrize("victim", PROCESSES)
def test_kill_9_of_one_process_leaves_the_others_and_the_ledger_whole(appliance: WholeAppliance, victim: str) -> None:
    survivors = {name: appliance.pid(name) for name in PROCESSES if name != victim}
    for _ in range(2):
        appliance.kill(victim)
        assert {name: appliance.pid(name) for name in survivors} == survivors
        assert appliance.counts().invariant_holds
    appliance.follow(lambda: appliance.status()["invariant_holds"])
    assert_one_message_at_most_each(appliance)
    assert_each_trigger_has_one_row(appliance)


def assert_each_trigger_has_one_row(whole: WholeAppliance) -> None:
    """Wait for the rows of what has passed so far; compare the journal with what the line was told."""
    passed = set(range(1, whole.counts().triggers + 1))

    def has_rows() -> bool:
        whole.pause(0.1)  # a recorder that answers all the time writes nothing
        return passed <= set(whole.journalled_triggers())

    whole.follow(has_rows)
    rows = whole.journalled()
    assert max(Counter(view["trigger_id"] for row in rows for view in row["views"]).values()) == 1
    said = {row["inspection_id"]: row["sent_verdict"] for row in rows}
    assert all(
        said.get(verdict["inspection_id"], verdict["verdict"]) == verdict["verdict"] for verdict in whole.verdicts
    )


def test_a_publisher_killed_at_any_moment_leaves_a_row_for_each_trigger(appliance: WholeAppliance) -> None:
    for pause_s in (0.0, 0.013, 0.029, 0.041):
        appliance.follow(lambda: appliance.last_verdict() in {"OK", "NG"})
        appliance.pause(pause_s)
        appliance.kill("publish", judged_again=2)
    assert_each_trigger_has_one_row(appliance)


def test_a_stopped_recorder_costs_no_verdict_and_no_row(appliance: WholeAppliance) -> None:
    pid = appliance.pid("record")
    child = next(child for child in appliance.supervisor.children if child.spec.name == "record")
    child.spec = replace(child.spec, watchdog_s=START_PATIENCE_S)  # a slow machine needs its time for a dozen parts
    os.kill(pid, signal.SIGSTOP)
    try:
        judged = appliance.judged()
        appliance.follow(lambda: appliance.judged() >= judged + 12)
        assert appliance.counts().unknown_by_reason.get("ring_full", 0) == 0
    finally:
        os.kill(pid, signal.SIGCONT)
    assert_each_trigger_has_one_row(appliance)


def test_parts_that_pass_while_the_grabber_is_dead_are_in_the_books(appliance: WholeAppliance) -> None:
    appliance.kill("grab-cam0")
    assert appliance.counts().unknown_by_reason.get("grabber_down", 0) > 0
    numbers = [view["encoder_count"] for verdict in appliance.verdicts for view in verdict["views"]]
    announced = appliance.counts().triggers
    assert announced >= max(numbers) - min(numbers) + 1


def test_a_stopped_inspector_costs_verdicts_in_time_not_silence(appliance: WholeAppliance) -> None:
    pid = appliance.pid("inspect")
    os.kill(pid, signal.SIGSTOP)
    try:
        seen = len(appliance.verdicts)
        appliance.follow(lambda: sum(v["reason"] == "late" for v in appliance.verdicts[seen:]) >= 3)
    finally:
        os.kill(pid, signal.SIGCONT)
    for verdict in appliance.verdicts:
        assert verdict["published_at"] < verdict["deadline_at"]
    judged = appliance.judged()
    appliance.follow(lambda: appliance.judged() >= judged + 5)


def test_a_stopped_publisher_sends_nothing_stale_afterwards(appliance: WholeAppliance) -> None:
    pid = appliance.pid("publish")
    os.kill(pid, signal.SIGSTOP)
    try:
        appliance.drain()
        seen = len(appliance.verdicts)
        deadline = time.monotonic() + 1.0
        while time.monotonic() < deadline:
            appliance._listen(0.05)
        assert len(appliance.verdicts) == seen
    finally:
        os.kill(pid, signal.SIGCONT)
    judged = appliance.judged()
    appliance.follow(lambda: appliance.judged() >= judged + 5)
    for verdict in appliance.verdicts:
        assert verdict["published_at"] < verdict["deadline_at"]
    assert_one_message_at_most_each(appliance)
    assert appliance.counts().invariant_holds


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        ("incomplete", Reason.INCOMPLETE_FRAME),
        ("wrong_size", Reason.INCOMPLETE_FRAME),
        ("lost", Reason.LOST_FRAME),
        ("skip", Reason.MISSED_TRIGGER),
        ("black", Reason.IMAGE_INVALID),
        ("saturated", Reason.IMAGE_INVALID),
        ("blur", Reason.IMAGE_INVALID),
        ("truncated", Reason.IMAGE_INVALID),
        ("frozen", Reason.STALE_FRAME),
        ("duplicate_frame_id", Reason.STALE_FRAME),
    ],
)
def test_a_camera_fault_becomes_unknown_with_its_reason(steady: WholeAppliance, fault: str, reason: Reason) -> None:
    def told() -> int:
        return sum(verdict["reason"] == reason.word for verdict in steady.verdicts)

    def counted() -> int:
        return steady.counts().unknown_by_reason.get(str(reason.word), 0)

    told_before, counted_before = told(), counted()
    camera = steady.camera()
    try:
        command = camera.inject(fault, count=2)
        steady.follow(lambda: camera.progress(command)[0] == 2)
        steady.follow(lambda: counted() >= counted_before + 2 and told() > told_before)
        steady.follow(lambda: steady.last_verdict() in {"OK", "NG"})
    finally:
        camera.close()
    assert steady.counts().invariant_holds


def test_a_camera_that_goes_and_comes_back_is_used_again(steady: WholeAppliance) -> None:
    camera = steady.camera()
    try:
        lost = steady.counts().unknown_by_reason.get("camera_lost", 0)
        camera.inject("disconnect", value=1000)
        steady.follow(lambda: steady.counts().unknown_by_reason.get("camera_lost", 0) > lost)
        judged = steady.judged()
        steady.follow(lambda: steady.judged() >= judged + 5)
    finally:
        camera.close()
    assert steady.counts().invariant_holds
