import hashlib
import os
from pathlib import Path

import numpy as np
import pytest

from appliance.messages import BYTES_PER_PIXEL
from appliance.records.absence import Absence
from appliance.records.image_format import ImageFormat
from appliance.records.images import ImageStore
from appliance.testing.image_records import defect, picture_job, picture_record


def store_in(folder: Path, image_format: ImageFormat = "png") -> ImageStore:
    return ImageStore(folder / "images", image_format=image_format, thumbnail_px=64)


def files_of(store: ImageStore) -> list[str]:
    return sorted(path.name for path in store.root.rglob("*") if not path.is_dir())


@pytest.mark.parametrize("image_format", ["png", "raw"])
@pytest.mark.parametrize("pixel_format", sorted(BYTES_PER_PIXEL))
def test_the_reference_tells_the_file_as_it_is(tmp_path: Path, pixel_format: str, image_format: ImageFormat) -> None:
    store = store_in(tmp_path, image_format)
    stored = store.write(picture_job(picture_record(), pixel_format)).stored
    assert stored is not None
    content = (store.root / stored.path).read_bytes()
    assert (stored.bytes, stored.sha256) == (len(content), hashlib.sha256(content).hexdigest())
    assert (stored.width, stored.height, stored.pixel_format) == (64, 48, pixel_format)
    assert stored.thumbnail is not None
    assert (store.root / stored.thumbnail).read_bytes().endswith(b"\xff\xd9")  # a JPEG's end


@pytest.mark.parametrize("image_format", ["png", "raw"])
def test_a_restarted_recorder_finds_what_was_stored_before(tmp_path: Path, image_format: ImageFormat) -> None:
    result = store_in(tmp_path, image_format).write(picture_job(picture_record(), "BayerRG8"))
    assert store_in(tmp_path, image_format).find(result.plan) == result.stored


def test_a_picture_without_its_thumbnail_is_found_without_it(tmp_path: Path) -> None:
    store = store_in(tmp_path)
    result = store.write(picture_job(picture_record()))
    assert result.stored is not None
    assert result.stored.thumbnail is not None
    (store.root / result.stored.thumbnail).unlink()
    found = store.find(result.plan)
    assert found is not None
    assert (found.path, found.thumbnail) == (result.stored.path, None)


def test_a_truncated_picture_is_not_found(tmp_path: Path) -> None:
    store = store_in(tmp_path)
    result = store.write(picture_job(picture_record()))
    assert result.stored is not None
    os.truncate(store.root / result.stored.path, result.stored.bytes - 1)
    assert store.find(result.plan) is None


def test_what_a_killed_recorder_left_of_a_picture_goes_when_it_is_not_found(tmp_path: Path) -> None:
    store = store_in(tmp_path)
    result = store.write(picture_job(picture_record()))
    assert result.stored is not None
    (store.root / result.stored.path).unlink()  # its thumbnail is written first
    assert store.find(result.plan) is None
    assert not [path for path in store.root.rglob("*") if path.is_file()]


def test_a_picture_that_was_never_stored_is_not_found(tmp_path: Path) -> None:
    assert store_in(tmp_path).find(picture_job(picture_record()).plan) is None


def test_a_full_disk_is_a_reason_and_leaves_nothing(tmp_path: Path) -> None:
    store = store_in(tmp_path)
    job = picture_job(picture_record())
    name = store.root / f"{job.plan.stem}.png.tmp"
    name.parent.mkdir(parents=True)
    name.symlink_to("/dev/full")  # each write to it fails with the kernel's own ENOSPC
    result = store.write(job)
    assert (result.stored, result.why) == (None, Absence.DISK_FULL)
    assert files_of(store) == []
    assert store.write(job).stored is not None


def test_a_directory_that_cannot_be_made_is_a_reason(tmp_path: Path) -> None:
    store = store_in(tmp_path)
    (store.root / "reject").write_text("in the way")
    assert store.write(picture_job(picture_record())).why is Absence.WRITE_FAILED
    assert files_of(store) == ["reject"]


def test_a_failing_fsync_is_a_reason_and_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = store_in(tmp_path)

    def fail(descriptor: int) -> None:
        raise OSError(5, "Input/output error")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", fail)
        assert store.write(picture_job(picture_record())).why is Absence.WRITE_FAILED
    assert files_of(store) == []


def test_pixels_that_no_encoder_takes_are_a_reason(tmp_path: Path) -> None:
    job = picture_job(picture_record())
    object.__setattr__(job, "pixels", np.zeros((0, 0), np.uint8))
    assert store_in(tmp_path).write(job).why is Absence.ENCODING_FAILED


def test_a_box_that_cannot_be_drawn_costs_only_the_thumbnail(tmp_path: Path) -> None:
    record = picture_record(defects=[defect("whole", (0.0, 0.0, float("inf"), 1.0))])
    stored = store_in(tmp_path).write(picture_job(record)).stored
    assert stored is not None
    assert stored.thumbnail is None


def test_files_are_synchronised_before_their_rename_and_directories_after(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = store_in(tmp_path)
    synchronised: list[tuple[str, bool]] = []
    job = picture_job(picture_record())
    final = store.root / f"{job.plan.stem}.png"
    fsync = os.fsync

    def spy(descriptor: int) -> None:
        path = Path(f"/proc/self/fd/{descriptor}").readlink()
        synchronised.append((path.relative_to(tmp_path).as_posix(), final.exists()))
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", spy)
    assert store.write(job).stored is not None
    hour = final.parent.relative_to(tmp_path).as_posix()
    new_directories = ["images/reject/20261122", "images/reject", "images", "."]
    written = [f"images/{job.plan.stem}.thumb.jpg.tmp", f"images/{job.plan.stem}.png.tmp"]
    assert synchronised == [(path, False) for path in new_directories + written] + [(hour, True)]
    synchronised.clear()
    assert store.write(picture_job(picture_record(2))).stored is not None
    assert len(synchronised) == 3  # two files and their directory: the others are durable already


def test_an_hour_that_retention_removed_is_made_again(tmp_path: Path) -> None:
    store = store_in(tmp_path)
    stored = store.write(picture_job(picture_record())).stored
    assert stored is not None
    hour = (store.root / stored.path).parent
    for path in hour.iterdir():
        path.unlink()
    hour.rmdir()
    assert store.write(picture_job(picture_record())).stored == stored


def test_an_hour_that_retention_removes_under_our_hands_is_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = store_in(tmp_path)
    fsync = os.fsync

    def remove_the_new_hour(descriptor: int) -> None:
        fsync(descriptor)
        monkeypatch.setattr(os, "fsync", fsync)
        (store.root / "reject" / "20261122" / "21").rmdir()

    monkeypatch.setattr(os, "fsync", remove_the_new_hour)
    assert store.write(picture_job(picture_record())).stored is not None
