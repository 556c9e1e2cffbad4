"""The encoder's threads on a real disk: order, bounds, priorities, failures."""

import os
import select
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from appliance.records import encoder as encoder_module
from appliance.records.absence import Absence
from appliance.records.encoder import ImageEncoder
from appliance.records.image_plan import ImageJob
from appliance.records.images import ImageResult, ImageStore
from appliance.testing.image_records import picture_job, picture_record
from appliance.testing.patience import PATIENCE_S

PICTURE_BYTES = 64 * 48


@pytest.fixture(autouse=True)
def _slow_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """The threads give way to everybody: on a busy machine even their end may take longer than a second."""
    monkeypatch.setattr(encoder_module, "LAST_WRITE_S", PATIENCE_S)


@pytest.fixture
def store(tmp_path: Path) -> ImageStore:
    return ImageStore(tmp_path / "images", image_format="png", thumbnail_px=64)


@contextmanager
def running(store: ImageStore, *, room: int = 100, threads: int = 1) -> Iterator[ImageEncoder]:
    encoder = ImageEncoder(store, max_waiting_bytes=room * PICTURE_BYTES, threads=threads)
    try:
        yield encoder
    finally:
        encoder.close()


class StallingStore(ImageStore):
    """A store whose disk hangs in the first write until `go_on`."""

    def __init__(self, root: Path) -> None:
        super().__init__(root, image_format="png", thumbnail_px=64)
        self.is_hanging, self.go_on = threading.Event(), threading.Event()

    def write(self, job: ImageJob) -> ImageResult:
        self.is_hanging.set()
        assert self.go_on.wait(PATIENCE_S)
        return super().write(job)


def wait_for(encoder: ImageEncoder, count: int) -> list[ImageResult]:
    results: list[ImageResult] = []
    end = time.monotonic() + PATIENCE_S
    while len(results) < count:
        assert time.monotonic() < end, f"only {len(results)} of {count} results"
        select.select([encoder], [], [], 0.1)
        results += encoder.finished()
    return results


def numbers(results: list[ImageResult]) -> list[int]:
    return [result.plan.trigger_id for result in results]


def test_pictures_come_out_in_order_and_are_on_the_disk(store: ImageStore) -> None:
    with running(store) as encoder:
        for number in range(1, 11):
            assert encoder.submit(picture_job(picture_record(number), seed=number))
        results = wait_for(encoder, 10)
        assert numbers(results) == list(range(1, 11))
        assert all(result.stored and store.find(result.plan) == result.stored for result in results)
        assert encoder.status()["stored"] == 10
        assert (len(encoder), encoder.status()["waiting_bytes"]) == (0, 0)


def test_two_threads_store_everything_once(store: ImageStore) -> None:
    with running(store, threads=2) as encoder:
        for number in range(30):
            assert encoder.submit(picture_job(picture_record(number)))
        assert sorted(numbers(wait_for(encoder, 30))) == list(range(30))


def test_pixels_may_be_overwritten_once_they_are_submitted(store: ImageStore) -> None:
    job = picture_job(picture_record())
    undisturbed = store.write(job).stored
    pixels = job.pixels.copy()
    with running(store) as encoder:
        assert encoder.submit(ImageJob(job.plan, pixels, "Mono8"))
        pixels[:] = 0
        (result,) = wait_for(encoder, 1)
    assert result.stored == undisturbed


def test_a_picture_that_finds_no_room_is_refused_and_counted(tmp_path: Path) -> None:
    store = StallingStore(tmp_path / "images")
    with running(store, room=2) as encoder:
        assert [encoder.submit(picture_job(picture_record(number))) for number in (1, 2, 3)] == [True, True, False]
        store.go_on.set()
        assert numbers(wait_for(encoder, 2)) == [1, 2]
        assert encoder.submit(picture_job(picture_record(4)))
        assert numbers(wait_for(encoder, 1)) == [4]
        assert encoder.status()["missing"] == {"queue_full": 1}


def test_a_picture_larger_than_all_room_passes_alone(store: ImageStore) -> None:
    with running(store, room=0) as encoder:
        assert encoder.submit(picture_job(picture_record()))
        assert wait_for(encoder, 1)[0].stored is not None


def test_a_full_disk_stops_neither_thread_nor_queue(store: ImageStore) -> None:
    full = store.root / f"{picture_job(picture_record(1)).plan.stem}.png.tmp"
    full.parent.mkdir(parents=True)
    full.symlink_to("/dev/full")
    with running(store) as encoder:
        for number in (1, 2):
            assert encoder.submit(picture_job(picture_record(number)))
        full_result, result = wait_for(encoder, 2)
    assert full_result.why is Absence.DISK_FULL
    assert result.stored is not None


def test_a_bug_costs_one_picture(store: ImageStore, caplog: pytest.LogCaptureFixture) -> None:
    nonsense = ImageJob(picture_job(picture_record(1, verdict="MAYBE")).plan, np.zeros((4, 4), np.uint8), "Mono8")
    with running(store) as encoder:
        assert encoder.submit(nonsense)
        assert encoder.submit(picture_job(picture_record(2)))
        failed, result = wait_for(encoder, 2)
    assert failed.why is Absence.ENCODING_FAILED
    assert result.stored is not None
    assert "KeyError" in caplog.text


def test_the_threads_step_back_and_nobody_else_does(store: ImageStore) -> None:
    with running(store) as encoder:
        assert encoder.submit(picture_job(picture_record()))
        wait_for(encoder, 1)
        (thread,) = (each for each in threading.enumerate() if each.name == "images-0")
        assert thread.native_id is not None
        assert os.getpriority(os.PRIO_PROCESS, thread.native_id) == 10
        assert os.getpriority(os.PRIO_PROCESS, threading.get_native_id()) == 0


def test_closing_in_time_finishes_what_waits(store: ImageStore) -> None:
    encoder = ImageEncoder(store, max_waiting_bytes=100 * PICTURE_BYTES)
    for number in range(5):
        assert encoder.submit(picture_job(picture_record(number)))
    assert numbers(encoder.close(PATIENCE_S)) == list(range(5))


def test_closing_at_once_drops_what_waits_and_finishes_what_is_being_written(tmp_path: Path) -> None:
    store = StallingStore(tmp_path / "images")
    encoder = ImageEncoder(store, max_waiting_bytes=100 * PICTURE_BYTES)
    for number in range(3):
        assert encoder.submit(picture_job(picture_record(number)))
    assert store.is_hanging.wait(PATIENCE_S)
    last: list[ImageResult] = []
    closing = threading.Thread(target=lambda: last.extend(encoder.close()))
    closing.start()
    while not encoder._is_closing:
        closing.join(0.001)
    store.go_on.set()
    closing.join()
    assert numbers(last) == [0]
    assert [path.name.partition("-cam0")[0][-2:] for path in store.root.rglob("*.png")] == ["-0"]


def test_a_hanging_disk_holds_up_the_closing_for_its_time_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(encoder_module, "LAST_WRITE_S", 0.2)
    store = StallingStore(tmp_path / "images")
    encoder = ImageEncoder(store, max_waiting_bytes=100 * PICTURE_BYTES)
    assert encoder.submit(picture_job(picture_record()))
    assert store.is_hanging.wait(PATIENCE_S)
    start = time.monotonic()
    assert encoder.close() == []
    assert time.monotonic() - start < PATIENCE_S / 2
    store.go_on.set()
    (thread,) = (each for each in threading.enumerate() if each.name == "images-0")
    thread.join(PATIENCE_S)
    os.close(encoder.fileno())  # left open for the thread; a real one goes with the process
