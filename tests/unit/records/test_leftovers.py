"""Images without a row go at the start, unless the journal can't know of them."""

import contextlib
from datetime import UTC, datetime
from pathlib import Path

from appliance.records.journal import Journal
from appliance.records.leftovers import sweep_leftovers
from appliance.testing.journal_records import LEDGER_EPOCH, inspection


def image_of(folder: Path, number: int) -> Path:
    now = datetime.now(UTC)
    path = folder / f"images/reject/{now:%Y%m%d/%H}/{LEDGER_EPOCH}-{number}-cam0.whole.png"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"picture")
    return path


def sweep(folder: Path) -> None:
    with contextlib.closing(Journal.open(folder / "journal")) as journal:
        sweep_leftovers(folder / "images", journal, folder, LEDGER_EPOCH)


def test_an_image_whose_row_was_lost_with_the_power_is_removed(tmp_path: Path) -> None:
    with contextlib.closing(Journal.open(tmp_path / "journal")) as journal:
        journal.append([inspection(1)])
    known, lost = image_of(tmp_path, 1), image_of(tmp_path, 2)
    sweep(tmp_path)
    assert known.exists()
    assert not lost.exists()


def test_a_journal_that_was_moved_away_takes_no_images_with_it(tmp_path: Path) -> None:
    with contextlib.closing(Journal.open(tmp_path / "journal")) as journal:
        journal.append([inspection(1)])
    image = image_of(tmp_path, 1)
    (tmp_path / "journal").rename(tmp_path / "journal.broken")
    sweep(tmp_path)
    assert image.exists()


def test_an_image_whose_row_retention_has_dropped_stays(tmp_path: Path) -> None:
    with contextlib.closing(Journal.open(tmp_path / "journal")) as journal:
        journal.append([inspection(1)])
        journal.seal()
        journal.append([inspection(2)])
        journal.drop(journal.partitions()[0])
    image = image_of(tmp_path, 1)
    sweep(tmp_path)
    assert image.exists()
