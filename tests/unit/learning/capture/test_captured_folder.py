"""What a capture leaves in its folder: also after a kill, and through labelImg's own reader and writer."""

import json
import re
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from appliance.cli.app import main
from appliance.errors import DatasetError
from appliance.learning.datasets import Provenance, read_dataset
from appliance.learning.datasets.check import check
from appliance.learning.datasets.convert import convert
from appliance.testing.captured_set import CLASSES, frame, keep, open_folder, result, write_captured_set

CASES = Path(__file__).parents[3] / "cases/labelimg"
STEMS = [f"cam0_20260131T093000000Z_{number}" for number in (1, 2, 3)]


def scene(seed: int) -> np.ndarray:
    return np.kron(np.random.default_rng(seed).integers(0, 255, (6, 8)).astype(np.uint8), np.ones((5, 5), np.uint8))


def kinds(folder: Path) -> list[str]:
    return [finding.kind for finding in check(folder).findings]


def without_paths(text: str) -> str:
    """Drop <folder> and <path>: they name the machine."""
    return re.sub(r"\t<(folder|path)>.*\n", "", text)


@pytest.fixture
def captured(tmp_path) -> Path:
    write_captured_set(tmp_path / "captured")
    return tmp_path / "captured"


def test_our_prelabels_are_those_that_labelimg_opened(captured):
    for stem in STEMS:
        ours = (captured / f"{stem}.xml").read_text(encoding="utf-8")
        assert without_paths(ours) == without_paths((CASES / f"captured/{stem}.xml").read_text(encoding="utf-8"))


def test_nothing_is_lost_when_labelimg_opens_and_saves_a_captured_set(captured):
    before = {image.path.name: image for image in read_dataset(captured).images}
    manifest = (captured / "capture-manifest.jsonl").read_bytes()
    for stem in STEMS:
        (captured / f"{stem}.xml").write_bytes((CASES / f"captured_saved/{stem}.xml").read_bytes())
    after = read_dataset(captured)
    assert after.class_names == CLASSES
    assert {image.path.name for image in after.images} == before.keys()
    for image in after.images:
        assert image.boxes.tolist() == before[image.path.name].boxes.tolist()
        assert image.class_ids.tolist() == before[image.path.name].class_ids.tolist()
        assert image.part == before[image.path.name].part
    assert (captured / "capture-manifest.jsonl").read_bytes() == manifest
    report = check(captured)
    assert report.is_sound
    assert [finding.kind for finding in report.findings] == ["unlabelled"]
    figures = report.figures()["captured"]
    assert (figures["images"], figures["labelled"], figures["unlabelled"], figures["is_simulated"]) == (4, 3, 1, 4)
    assert [note for note in after.notes if "as a model wrote them" in note] == [], "a person has saved each"
    assert "3 of 3 images are simulated (is_simulated): figures of them say nothing of a line" in after.notes


def test_a_set_that_nobody_has_labelled_is_sound_and_holds_no_ok_part(captured, capsys):
    for stem in STEMS:
        (captured / f"{stem}.xml").unlink()
    with pytest.raises(DatasetError, match="4 captured images, none of them labelled yet"):
        read_dataset(captured)
    with pytest.raises(SystemExit) as ended:
        main(["dataset", "check", str(captured)])
    assert not ended.value.code
    out = capsys.readouterr().out
    assert "captured: 4 images, 0 labelled, 4 not yet; 4 simulated" in out
    assert "0 errors, 4 warnings" in out


def test_yolo_labels_leave_out_what_has_none_in_a_captured_set(captured):
    for stem in STEMS:
        (captured / f"{stem}.xml").unlink()
    (captured / "classes.txt").write_text("burr\n")
    (captured / f"{STEMS[0]}.txt").write_text("0 0.5 0.5 0.2 0.2\n")
    (captured / f"{STEMS[1]}.txt").write_text("")
    (captured / "classes.lock.toml").unlink()
    dataset = read_dataset(captured, file_format="yolo")
    assert [image.is_ok for image in dataset.images] == [False, True]
    assert "2 captured images have no label file yet and were left out" in dataset.notes


def test_parts_of_the_manifest_tell_leaks_between_splits(captured, tmp_path):
    dataset = read_dataset(captured)
    assert [image.part for image in dataset.images] == ["P1", "P1", "P2"]
    lists = captured / "ImageSets/Main"
    lists.mkdir(parents=True)
    (lists / "train.txt").write_text(f"{STEMS[0]}\n{STEMS[2]}\n")
    (lists / "val.txt").write_text(f"{STEMS[1]}\n")
    assert "leak_same_part" in kinds(captured)


@pytest.mark.parametrize("to", ["voc", "yolo", "coco"])
def test_the_manifest_goes_with_the_pictures_into_another_format(captured, tmp_path, to):
    written = convert([read_dataset(captured)], to, tmp_path / "new")
    provenance = Provenance.of(tmp_path / "new")
    assert len(provenance) == 3
    assert all(path.is_file() for path in provenance.captured)
    assert not [note for note in written.notes if "part" in note], "the manifest keeps the parts"
    assert check(tmp_path / "new").is_sound
    assert [image.part for image in read_dataset(tmp_path / "new", split=None).images][:2] == ["P1", "P1"]


def test_a_picture_that_was_changed_or_came_from_elsewhere_is_named(captured):
    (captured / f"{STEMS[0]}.png").write_bytes((captured / f"{STEMS[1]}.png").read_bytes())
    (captured / f"{STEMS[2]}.png").unlink()
    (captured / f"{STEMS[2]}.xml").unlink()
    (captured / "other.png").write_bytes((captured / f"{STEMS[1]}.png").read_bytes())
    found = kinds(captured)
    assert sorted(found) == sorted(
        ["captured_changed", "captured_gone", "unlabelled", "no_provenance", "image_without_label"]
    )


@pytest.mark.parametrize(
    "line",
    ["{", "[]", '{"file": 3, "sha256": "0"}', '{"file": "../a.png", "sha256": "0"}', '{"file": "a.png"}', "\udcff"],
)
def test_a_broken_line_is_told_with_its_number(captured, line):
    manifest = captured / "capture-manifest.jsonl"
    manifest.write_bytes(manifest.read_bytes() + line.encode(errors="surrogateescape") + b"\n")
    (broken,) = [finding for finding in check(captured).findings if finding.kind == "broken_manifest"]
    assert broken.severity == "error"
    assert str(manifest) in str(broken)
    with pytest.raises(DatasetError, match=r"capture-manifest\.jsonl"):
        open_folder(captured)


def test_a_kill_within_a_line_costs_that_line_alone(captured):
    manifest = captured / "capture-manifest.jsonl"
    whole = manifest.read_bytes()
    manifest.write_bytes(whole + b'{"file":"half')
    (captured / "cam0_x.png.tmp").write_bytes(b"half a picture")
    with closing(open_folder(captured)) as folder:
        assert manifest.read_bytes() == whole
        assert not list(captured.glob("*.tmp"))
        outcome, _ = keep(folder, frame(9, scene(9)), result(9, "OK", []))
    assert outcome.file is not None
    assert [json.loads(line)["trigger_id"] for line in manifest.read_text().splitlines()] == [1, 2, 3, 4, 9]
    assert check(captured).is_sound


def test_what_a_person_threw_away_is_not_taken_again(captured):
    (captured / f"{STEMS[2]}.png").unlink()
    with closing(open_folder(captured)) as folder:
        outcome, _ = keep(folder, frame(9, scene(3)), result(9, "OK", []))
    assert outcome.like == f"{STEMS[2]}.png"


def test_pictures_that_were_there_before_count_as_well(captured, tmp_path):
    other = tmp_path / "other"
    other.mkdir()
    (other / "mine.png").write_bytes((captured / f"{STEMS[0]}.png").read_bytes())
    with closing(open_folder(other)) as folder:
        assert keep(folder, frame(1, scene(1)), result(1, "NG", []))[0].like == "mine.png"
        assert folder.pictures == 1


def test_classes_get_ids_once_and_keep_them(tmp_path):
    with closing(open_folder(tmp_path / "set", class_names=("a", "b"))) as folder:
        folder.name_classes(["c", "b"])
    with closing(open_folder(tmp_path / "set", class_names=("b", "d"))) as folder:
        assert folder.class_names == ("a", "b", "c", "d")
    assert (tmp_path / "set/predefined_classes.txt").read_text().split() == ["a", "b", "c", "d"]


def test_a_folder_that_is_a_file_is_refused_in_one_line(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(DatasetError, match="can't be written"):
        open_folder(tmp_path / "file")
