from pathlib import Path

import cv2
import numpy as np
import pytest

from appliance.errors import DatasetError
from appliance.learning.datasets.check import check
from appliance.learning.datasets.perceptual_hash import ALIKE_BITS, distances, perceptual_hash

XML = """<annotation><filename>{name}</filename><size><width>{size[0]}</width><height>{size[1]}</height></size>
{objects}
</annotation>"""
OBJECT = (
    "<object><name>{0}</name><bndbox><xmin>{1}</xmin><ymin>{2}</ymin><xmax>{3}</xmax><ymax>{4}</ymax></bndbox></object>"
)


def picture(seed: int, height: int = 80, width: int = 100) -> np.ndarray:
    """A surface with structure: what a hash of a real image sees."""
    noise = np.random.default_rng(seed).normal(128, 60, (10, 12)).clip(0, 255).astype(np.uint8)
    return cv2.resize(noise, (width, height), interpolation=cv2.INTER_CUBIC)


def save(path: Path, pixels: np.ndarray) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(cv2.imencode(path.suffix, pixels)[1].tobytes())
    return path


def voc(folder: Path, stem: str, *rows: tuple, seed: int = 0, size: tuple = (100, 80)) -> None:
    save(folder / f"{stem}.png", picture(seed or sum(map(ord, stem))))
    text = XML.format(name=f"{stem}.png", size=size, objects="\n".join(OBJECT.format(*row) for row in rows))
    (folder / f"{stem}.xml").write_text(text, encoding="utf-8")


def seen(report) -> set:
    return {(Path(finding.file).name, finding.at, finding.kind) for finding in report.findings}


def test_sound_set_has_no_findings(tmp_path):
    for split, stem in (("train", "a"), ("test", "b")):
        (tmp_path / split).mkdir()
        voc(tmp_path / split, stem, ("burr", 1, 2, 30, 40))
    report = check(tmp_path)
    assert (report.findings, report.is_sound) == ((), True)
    assert report.figures()["splits"]["test"] == {
        "images": 1, "ok_images": 0, "ng_images": 1, "parts": 1, "boxes": 1, "ignored_boxes": 0,
        "boxes_by_class": {"burr": 1},
    }  # fmt: skip


def test_everything_wrong_in_a_voc_set_is_found_file_by_file(tmp_path):
    voc(tmp_path, "broken_image", ("burr", 1, 2, 3, 4))
    (tmp_path / "broken_image.png").write_bytes(b"torn")
    voc(tmp_path, "broken_label")
    (tmp_path / "broken_label.xml").write_text("<annotation><object>")
    voc(tmp_path, "sizes", size=(99, 80))
    voc(tmp_path, "boxes", ("burr", 5, 5, 5, 9), ("burr", 90, 1, 120, 9), ("burr", 1, 1, 9, 9), ("burr", 1, 1, 9, 9))
    voc(tmp_path, "class", ("bur", 1, 1, 9, 9))
    voc(tmp_path, "no_image")
    (tmp_path / "no_image.png").unlink()
    save(tmp_path / "no_label.png", picture(7))
    (tmp_path / "predefined_classes.txt").write_text("burr\n")
    report = check(tmp_path)
    assert seen(report) == {
        ("broken_image.png", "", "broken_image"),
        ("broken_label.xml", "", "broken_label"),
        ("broken_label.png", "", "image_without_label"),
        ("sizes.xml", "", "size_mismatch"),
        ("boxes.xml", "line 2", "empty_box"),
        ("boxes.xml", "line 3", "box_outside"),
        ("boxes.xml", "line 5", "duplicate_box"),
        ("class.xml", "line 2", "unknown_class"),
        ("no_image.xml", "", "label_without_image"),
        ("no_label.png", "", "image_without_label"),
    }
    assert not report.is_sound
    (outside,) = (finding for finding in report.findings if finding.kind == "box_outside")
    assert str(outside).endswith(
        "boxes.xml, line 3: expected a box inside 100x80 px, got 90 1 120 9 (boxes.png) [box_outside]"
    )


def test_everything_wrong_in_a_yolo_set_is_found_file_by_file(tmp_path):
    for number, stem in enumerate("abc"):
        save(tmp_path / f"images/{stem}.png", picture(number))
    save(tmp_path / "images/torn.png", picture(9)).write_bytes(b"torn")
    (tmp_path / "labels").mkdir()
    (tmp_path / "classes.txt").write_text("burr\n")
    sound = "0 0.5 0.5 0.1 0.1"
    rows = [sound, "1 0.5 0.5 0.1 0.1", "0 0.5 0.5 0 0.1", "0 0.99 0.5 0.1 0.1", "0 0.5", sound]
    (tmp_path / "labels/a.txt").write_text("\n".join(rows))
    (tmp_path / "labels/b.txt").write_text("")
    (tmp_path / "labels/gone.txt").write_text("0 0.5 0.5 0.1 0.1\n")
    assert seen(check(tmp_path)) == {
        ("a.txt", "line 2", "unknown_class"),
        ("a.txt", "line 3", "empty_box"),
        ("a.txt", "line 4", "box_outside"),
        ("a.txt", "line 5", "broken_label"),
        ("a.txt", "line 6", "duplicate_box"),
        ("c.png", "", "image_without_label"),
        ("torn.png", "", "broken_image"),
        ("torn.png", "", "image_without_label"),
        ("gone.txt", "", "label_without_image"),
    }


def test_image_without_a_label_is_a_warning_alone(tmp_path):
    voc(tmp_path, "a")
    save(tmp_path / "b.png", picture(2))
    report = check(tmp_path)
    assert [finding.severity for finding in report.findings] == ["warning"]
    assert report.is_sound


def test_leaks_between_splits_are_found_by_bytes_and_by_look(tmp_path):
    for split in ("train", "test"):
        (tmp_path / split).mkdir()
        for number in range(6):
            voc(tmp_path / split, f"{split}{number}", seed=100 * len(split) + number)
    voc(tmp_path / "test", "same", seed=503)
    save(tmp_path / "test/alike.png", cv2.convertScaleAbs(picture(504), alpha=0.9, beta=10))
    (tmp_path / "test/alike.xml").write_text(XML.format(name="alike.png", size=(0, 0), objects=""))
    report = check(tmp_path)
    assert {row[::2] for row in seen(report)} == {("same.png", "leak_same_bytes"), ("alike.png", "leak_near_duplicate")}
    assert "train4.png" in next(finding.what for finding in report.findings if "alike" in finding.file)


def test_leak_of_a_part_is_found_by_its_id(tmp_path):
    for number, split in enumerate(("train", "test")):
        save(tmp_path / f"images/{split}.png", picture(number))
        row = f'{{"id": 1, "file_name": "{split}.png", "part_id": "P1"}}'
        text = f'{{"images": [{row}], "annotations": [], "categories": []}}'
        (tmp_path / f"instances_{split}.json").write_text(text)
    (finding,) = check(tmp_path).findings
    assert (finding.kind, Path(finding.file).name) == ("leak_same_part", "test.png")
    assert finding.what.startswith("in split 'test'; part 'P1' is in split 'train' too")


def test_parts_that_all_look_alike_are_not_called_leaks(tmp_path):
    for split in ("train", "test"):
        (tmp_path / split).mkdir()
        for number in range(4):
            voc(tmp_path / split, f"{split}{number}", seed=1)
            pixels = picture(1)
            pixels[len(split) * 3 : len(split) * 3 + 4, number * 9 : number * 9 + 4] = 255
            save(tmp_path / split / f"{split}{number}.png", pixels)
    report = check(tmp_path)
    assert [finding.kind for finding in report.findings] == ["parts_look_alike"]
    assert report.is_sound


@pytest.mark.parametrize(
    "change",
    [
        lambda image: cv2.imdecode(
            cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, 50])[1], cv2.IMREAD_GRAYSCALE
        ),
        lambda image: cv2.convertScaleAbs(image, alpha=0.85, beta=20),
        lambda image: cv2.resize(image, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA),
    ],
    ids=["jpeg", "brighter", "smaller"],
)
def test_copies_of_an_image_look_alike_and_other_images_do_not(change):
    one, other = picture(1, 160, 200), picture(2, 160, 200)
    hashes = np.stack([perceptual_hash(change(one), "Mono8"), perceptual_hash(other, "Mono8")])
    copy, stranger = distances(perceptual_hash(one, "Mono8"), hashes)
    assert copy <= ALIKE_BITS < 2 * ALIKE_BITS < stranger


def test_folder_that_is_no_set_is_refused(tmp_path):
    with pytest.raises(DatasetError, match="expected one of these formats"):
        check(tmp_path)
