"""The thread that does things for a loop."""

import select
import threading

import pytest

from appliance.records.work_thread import WorkThread
from appliance.testing.patience import PATIENCE_S


def test_results_come_back_in_order_and_in_the_owners_thread() -> None:
    thread = WorkThread("test-work")
    seen: list[tuple[int, str]] = []
    try:
        for number in range(5):
            thread.submit(
                lambda number=number: number * number,
                lambda result: seen.append((result, threading.current_thread().name)),
            )
        while len(seen) < 5:
            assert select.select([thread], [], [], PATIENCE_S)[0]
            thread.collect()
    finally:
        thread.close()
    assert seen == [(number * number, threading.current_thread().name) for number in range(5)]
    assert len(thread) == 0


def test_what_a_job_raises_is_raised_where_it_is_collected() -> None:
    def fail() -> None:
        raise OSError("the disk is gone")

    thread = WorkThread("test-work")
    try:
        thread.submit(fail, lambda _: None)
        assert select.select([thread], [], [], PATIENCE_S)[0]
        with pytest.raises(OSError, match="the disk is gone"):
            thread.collect()
    finally:
        thread.close()


def test_closing_waits_for_the_job_that_runs_and_drops_the_rest() -> None:
    began, may_end = threading.Event(), threading.Event()
    done: list[str] = []

    def long_job() -> None:
        began.set()
        may_end.wait(PATIENCE_S)
        done.append("first")

    thread = WorkThread("test-work")
    thread.submit(long_job, lambda _: None)
    thread.submit(lambda: done.append("second"), lambda _: None)
    assert began.wait(PATIENCE_S)
    may_end.set()
    thread.close()
    assert done[:1] == ["first"]
