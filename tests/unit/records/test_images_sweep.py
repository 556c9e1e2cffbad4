from datetime import UTC, datetime
from pathlib import Path

import pytest

from appliance.records.images import ImageStore
from appliance.records.sweep import Swept, stem_of, sweep
from appliance.testing.image_records import picture_job, picture_record

THEN = datetime(2026, 11, 22, 21, 59, tzinfo=UTC)


@pytest.fixture
def store(tmp_path: Path) -> ImageStore:
    return ImageStore(tmp_path / "images", image_format="png", thumbnail_px=64)


def names(store: ImageStore) -> set[str]:
    return {path.relative_to(store.root).as_posix() for path in store.root.rglob("*") if path.is_file()}


def test_pictures_that_nobody_knows_are_removed_with_their_thumbnails(store: ImageStore) -> None:
    known, _ = (store.write(picture_job(picture_record(number))) for number in (1, 2))
    assert known.stored is not None
    assert sweep(store.root, {known.plan.stem}, THEN) == Swept(orphans=2)
    assert names(store) == {known.stored.path, known.stored.thumbnail}


def test_half_written_files_are_removed(store: ImageStore) -> None:
    result = store.write(picture_job(picture_record()))
    left = store.root / f"{result.plan.stem}.png.tmp"
    left.write_bytes(b"half")
    assert sweep(store.root, {result.plan.stem}, THEN) == Swept(temporaries=1)
    assert not left.exists()


def test_hours_before_the_cutoff_are_left_alone(store: ImageStore) -> None:
    store.write(picture_job(picture_record(captured_at="2026-11-22T20:59:59Z")))
    store.write(picture_job(picture_record(captured_at="2026-11-22T21:00:00Z", verdict="OK")))
    assert sweep(store.root, set(), THEN) == Swept(orphans=2)
    assert {name.split("/")[0] for name in names(store)} == {"reject"}


def test_files_of_other_people_are_left_alone(store: ImageStore) -> None:
    result = store.write(picture_job(picture_record()))
    note = (store.root / result.plan.stem).with_name("note.txt")
    note.write_text("keep me")
    sweep(store.root, set(), THEN)
    assert note.exists()


def test_what_cannot_be_removed_is_counted(store: ImageStore) -> None:
    result = store.write(picture_job(picture_record()))
    (store.root / f"{result.plan.stem}.png.tmp").mkdir()
    assert sweep(store.root, {result.plan.stem}, THEN) == Swept(failed=1)


def test_an_empty_store_has_nothing_to_sweep(tmp_path: Path) -> None:
    assert sweep(tmp_path / "images", set(), THEN) == Swept()


def test_image_and_thumbnail_lead_back_to_their_plan(store: ImageStore) -> None:
    result = store.write(picture_job(picture_record()))
    assert result.stored is not None
    assert result.stored.thumbnail is not None
    assert {stem_of(result.stored.path), stem_of(result.stored.thumbnail)} == {result.plan.stem}
