import select
import threading

import pytest

from appliance.inspection.inference_thread import DEPTH, InferenceThread


def collect_all(thread: InferenceThread[int, int], count: int) -> list[tuple[int, int]]:
    finished: list[tuple[int, int]] = []
    while len(finished) < count:
        assert select.select([thread], [], [], 5)[0], "no result came"
        finished += thread.collect()
    return finished


def test_results_come_in_the_order_of_the_jobs() -> None:
    thread = InferenceThread[int, int](lambda job: job * job)
    for job in range(DEPTH):
        thread.submit(job)
    assert collect_all(thread, DEPTH) == [(job, job * job) for job in range(DEPTH)]
    assert len(thread) == 0
    assert thread.close() == []


def test_nothing_is_readable_while_a_job_runs() -> None:
    gate = threading.Event()
    thread = InferenceThread[int, bool](lambda _: gate.wait(5))
    thread.submit(1)
    assert thread.collect() == []
    assert select.select([thread], [], [], 0)[0] == []
    assert len(thread) == 1
    gate.set()
    assert select.select([thread], [], [], 5)[0] == [thread]
    assert thread.collect() == [(1, True)]
    thread.close()


def test_more_jobs_than_its_depth_are_a_mistake() -> None:
    gate = threading.Event()
    thread = InferenceThread[int, bool](lambda _: gate.wait(5))
    for job in range(DEPTH):
        thread.submit(job)
    with pytest.raises(AssertionError):
        thread.submit(DEPTH)
    gate.set()
    thread.close()


def test_close_waits_for_the_running_job_and_gives_back_what_nobody_collected() -> None:
    begun, gate = threading.Event(), threading.Event()

    def work(job: int) -> int:
        begun.set()
        gate.wait(5)
        return job

    thread = InferenceThread[int, int](work)
    thread.submit(1)
    thread.submit(2)
    assert begun.wait(5)
    gate.set()
    assert thread.close() == [1, 2]
