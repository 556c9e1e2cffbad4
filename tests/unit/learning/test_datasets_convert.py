import json
from itertools import count
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from appliance.errors import DatasetError
from appliance.learning.datasets import ClassLock, Dataset, Labels, read_dataset, read_every_split
from appliance.learning.datasets.convert import WRITERS, convert
from appliance.learning.datasets.voc_writer import whole_px

FORMATS = tuple(WRITERS)
SIZES = {"部件 a": (100, 80), "b": (33, 47), "c.d": (1, 1), "e": (1920, 7)}
NAMES = ("毛刺", "pin hole & <more>", "划痕: 深", "#1", "'quoted\"", "no")


def write_image(path: Path, width: int = 100, height: int = 80, grey: int = 90) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(cv2.imencode(".png", np.full((height, width), grey, np.uint8))[1].tobytes())
    return path


def made(folder: Path, rows: dict[str, list], *, split: str | None = None, names: tuple = NAMES, part=None) -> Dataset:
    """Make a set: image's stem to rows of class name, box and difficult."""
    images = []
    for stem, boxes in rows.items():
        path = folder / f"{stem}.png"
        if not path.is_file():
            write_image(path, *SIZES.get(stem, (100, 80)))
        truth = Labels.empty()
        for name, box, is_difficult in boxes:
            truth.add(box, name, is_ignored=is_difficult)
        images.append(truth.image(path, names, part=part))
    return Dataset(folder, "made", split, names, tuple(images))


def rows_of(dataset: Dataset) -> dict[str, list]:
    return {
        image.path.stem: [
            (dataset.class_names[class_id], tuple(box), is_difficult)
            for box, class_id, is_difficult in zip(
                image.boxes.tolist(), image.class_ids.tolist(), image.is_ignored.tolist(), strict=True
            )
        ]
        for image in dataset.images
    }


@st.composite
def corners(draw, length: int, whole: bool) -> tuple[float, float]:
    parts = 1 if whole else 1024  # of a px
    first = draw(st.integers(0, length * parts - max(1, parts // 8)))
    return first / parts, draw(st.integers(first + max(1, parts // 8), length * parts)) / parts


@st.composite
def sets(draw, whole: bool) -> dict[str, list]:
    rows = {}
    for stem, (width, height) in SIZES.items():
        rows[stem] = []
        for _ in range(draw(st.integers(0, 3))):
            (x1, x2), (y1, y2) = draw(corners(width, whole)), draw(corners(height, whole))
            rows[stem].append((draw(st.sampled_from(NAMES)), (x1, y1, x2, y2), draw(st.booleans())))
    return rows


@pytest.fixture(scope="module")
def bench(tmp_path_factory):
    """A folder for the examples of one test, each in a folder of its own."""
    folder, numbers = tmp_path_factory.mktemp("convert"), count()
    for stem, (width, height) in SIZES.items():
        write_image(folder / f"images/{stem}.png", width, height)
    return folder, numbers


@settings(max_examples=12)
@given(rows=sets(whole=True), order=st.permutations(FORMATS))
def test_whole_boxes_come_back_through_all_formats_in_any_order(bench, rows, order):
    folder, numbers = bench
    dataset = made(folder / "images", rows)
    for file_format in order:
        out = folder / str(next(numbers))
        convert([dataset], file_format, out, images="none")
        (dataset,) = read_every_split(out)
        assert dataset.file_format == file_format
        assert dataset.class_names == NAMES
    read = rows_of(dataset)
    assert read.keys() == rows.keys()
    for stem, expected in rows.items():
        assert [name for name, _, _ in read[stem]] == [name for name, _, _ in expected]
        for (_, got, is_difficult), (_, box, was_difficult) in zip(read[stem], expected, strict=True):
            assert got == pytest.approx(box, abs=2e-6 * 1920)
            assert is_difficult is False or was_difficult  # yolo can't say it, and notes that


@settings(max_examples=5)
@given(rows=sets(whole=False))
@pytest.mark.parametrize("file_format", FORMATS)
def test_boxes_come_back_as_exactly_as_the_format_can_say_them(bench, file_format, rows):
    folder, numbers = bench
    out = folder / str(next(numbers))
    convert([made(folder / "images", rows)], file_format, out, images="none")
    read = rows_of(read_every_split(out)[0])
    for stem, expected in rows.items():
        for (name, got, is_difficult), (wanted, box, was_difficult) in zip(read[stem], expected, strict=True):
            width, height = SIZES[stem]
            step = np.array([width, height] * 2) * 1e-6 if file_format == "yolo" else 0
            exact = whole_px(box) if file_format == "voc" else box
            assert name == wanted
            assert is_difficult == (was_difficult and file_format != "yolo")
            assert np.all(np.abs(np.subtract(got, exact)) <= step + 2e-7 * np.abs(exact) + 1e-37)


@pytest.mark.parametrize("file_format", FORMATS)
def test_splits_images_and_equal_names_survive(tmp_path, file_format):
    box = [("毛刺", (1, 2, 30, 40), False)]
    sets_ = [made(tmp_path / split, {"a": box, split: []}, split=split, names=("毛刺",)) for split in ("train", "val")]
    done = convert(sets_, file_format, tmp_path / "out")
    assert done.figures()["splits"] == {"train": 2, "val": 2}
    read = {dataset.split: rows_of(dataset) for dataset in read_every_split(tmp_path / "out")}
    assert read == {split: {f"{split}_a": box, split: []} for split in ("train", "val")}
    assert all(tmp_path / "out" in image.path.parents for image in read_dataset(tmp_path / "out").images)
    assert "2 images have new names, because several had the same one" in done.notes


def test_images_are_copied_linked_or_left(tmp_path):
    dataset = made(tmp_path / "in", {"a": []})
    original = tmp_path / "in/a.png"
    for mode, links in (("copy", 1), ("link", 2), ("none", 2)):
        convert([dataset], "coco", tmp_path / mode, images=mode)
        (image,) = read_dataset(tmp_path / mode).images
        assert image.path.stat().st_nlink == links
        assert image.path.read_bytes() == original.read_bytes()
        assert (image.path == original) is (mode == "none")


def test_what_a_format_can_not_say_is_told(tmp_path):
    dataset = made(tmp_path / "in", {"a": [("no", (1.25, 2, 99, 90), True)]}, part="P7")
    notes = {name: convert([dataset], name, tmp_path / name).notes for name in FORMATS}
    assert notes["yolo"] == (
        "1 boxes are `difficult`, which yolo can't say: they became plain boxes",
        "1 images have the id of a part, which yolo can't say: it was left out",
        "the set has no splits: data.yaml calls all of it train",
        "1 boxes reached outside their images and were cut off there: yolo can't say it",
    )
    assert notes["voc"][1:] == ("1 boxes were rounded to whole px, as labelImg has them",)
    assert len(notes["cvat"]) == 1
    assert notes["coco"] == notes["labelstudio"] == ()
    assert [read_dataset(tmp_path / name).images[0].part for name in ("coco", "labelstudio")] == ["P7", "P7"]


def test_defective_image_without_a_box_does_not_become_an_ok_part(tmp_path):
    for name in ("test/good/a.png", "test/dent/b.png"):
        write_image(tmp_path / "in" / name)
    done = convert(read_every_split(tmp_path / "in"), "voc", tmp_path / "out")
    assert done.figures()["images"] == 1
    assert done.notes == ("1 defective images without a box were left out: as labels they would say OK",)


def test_class_ids_stay_when_classes_come_and_go(tmp_path):
    first = made(tmp_path / "in", {"a": [("crack", (1, 2, 3, 4), False)]}, names=("burr", "crack"))
    second = made(tmp_path / "in", {"a": [("bend", (1, 2, 3, 4), False), ("crack", (1, 2, 3, 4), False)]},
                  names=("bend", "crack"))  # fmt: skip
    convert([first], "yolo", tmp_path / "one")
    lock = ClassLock.beside(tmp_path / "one")
    done = convert([second], "yolo", tmp_path / "two", lock=lock)
    assert done.figures()["class_ids"] == {"burr": 0, "crack": 1, "bend": 2}
    assert [row[0] for row in (tmp_path / "two/labels/a.txt").read_text().splitlines()] == ["2", "1"]
    assert read_dataset(tmp_path / "two").class_names == ("burr", "crack", "bend")
    categories = {"burr": 1, "crack": 2, "bend": 3}
    convert(read_every_split(tmp_path / "two"), "coco", tmp_path / "three")
    written = json.loads((tmp_path / "three/annotations/instances_train.json").read_text())["categories"]
    assert {row["name"]: row["id"] for row in written} == categories


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("[classes]\na = 0\nb = 2\n", r"expected ids from 0 to 1, each once; got a = 0, b = 2"),
        ("[classes]\na = 0\nb = 0\n", r"expected ids from 0 to 1"),
        ("classes = 1\n", r"expected a table \[classes\]"),
        ("[cla", r"expected a table \[classes\]"),
    ],
    ids=["gap", "twice", "no table", "no toml"],
)
def test_lock_file_that_is_broken_is_refused(tmp_path, text, told):
    (tmp_path / "classes.lock.toml").write_text(text)
    with pytest.raises(DatasetError, match=told):
        ClassLock.beside(tmp_path)


def test_nothing_is_left_behind_when_an_image_is_broken(tmp_path):
    dataset = made(tmp_path / "in", {"a": [], "b": []})
    (tmp_path / "in/b.png").write_bytes(b"torn")
    with pytest.raises(DatasetError, match=r"b\.png: expected an image"):
        convert([dataset], "voc", tmp_path / "out")
    assert [path.name for path in tmp_path.iterdir()] == ["in"]


def test_folder_with_something_in_it_is_never_touched(tmp_path):
    dataset = made(tmp_path / "in", {"a": []})
    with pytest.raises(DatasetError, match=r"expected a folder that isn't there yet, or is empty"):
        convert([dataset], "voc", tmp_path / "in")
    (tmp_path / "empty").mkdir()
    assert convert([dataset], "voc", tmp_path / "empty").figures()["images"] == 1


@pytest.mark.parametrize("name", ["", " burr", "two\nlines", "bell\a"])
def test_class_name_that_a_list_would_change_is_refused(tmp_path, name):
    dataset = made(tmp_path / "in", {"a": [(name, (1, 2, 3, 4), False)]}, names=(name,))
    with pytest.raises(DatasetError, match="expected a name without control characters"):
        convert([dataset], "voc", tmp_path / "out")


def export(folder: Path, *tasks: dict) -> Path:
    (folder / "export.json").write_text(json.dumps(list(tasks)), encoding="utf-8")
    return folder


def region(**changes) -> dict:
    value = {"x": 10, "y": 25, "width": 50, "height": 12.5, "rotation": 0, "rectanglelabels": ["burr"]}
    size = {"original_width": 100, "original_height": 80, "image_rotation": 0}
    return {"type": "rectanglelabels", **size, "value": {**value, **changes.pop("value", {})}, **changes}


@pytest.mark.parametrize(
    "address",
    ["/data/upload/3/0a1b2c3d-a.png", "/data/local-files/?d=else%2Fwhere%2Fa.png", "s3://bucket/a.png", "a.png"],
    ids=["upload", "local", "cloud", "plain"],
)
def test_label_studio_images_are_found_by_any_address(tmp_path, address):
    write_image(tmp_path / "images/a.png")
    task = {"id": 1, "data": {"image": address}, "annotations": [{"result": [region()]}]}
    read = read_dataset(export(tmp_path, task))
    assert rows_of(read) == {"a": [("burr", (10, 20, 60, 30), False)]}


def test_label_studio_tells_what_it_leaves_out(tmp_path):
    for name in "ab":
        write_image(tmp_path / f"{name}.png")
    done = {"result": [region(value={"rotation": 5}), {"type": "brushlabels"}]}
    tasks = [
        {"id": 1, "data": {"image": "a.png"}, "annotations": [{"result": []}, done]},
        {"id": 2, "data": {"image": "b.png"}, "annotations": [{"result": [], "was_cancelled": True}]},
    ]
    assert read_dataset(export(tmp_path, *tasks)).notes == (
        "1 tasks have several annotations: the last one counts",
        "1 rectangles are turned, which isn't read: the upright one counts",
        "1 regions of type brushlabels, which aren't read",
        "1 tasks without annotation, left out",
    )


CVAT = """<?xml version="1.0" encoding="utf-8"?>
<annotations><version>1.1</version><meta><task><labels><label><name>burr</name><type>any</type></label>
<label><name>whole</name><type>tag</type></label></labels></task></meta>
<image id="0" name="a.png" subset="Train" width="100" height="80">
{box}<polygon label="burr" points="1,2;3,4;5,6" /></image></annotations>"""
BOX = '<box label="burr" occluded="1" xtl="1.50" ytl="2.00" xbr="30.25" ybr="40.00" rotation="12.5" z_order="0"/>'


def test_cvat_tells_what_it_leaves_out(tmp_path):
    write_image(tmp_path / "images/a.png")
    (tmp_path / "annotations.xml").write_text(CVAT.format(box=BOX))
    (read,) = read_every_split(tmp_path)
    assert (read.split, read.class_names) == ("train", ("burr",))
    assert rows_of(read) == {"a": [("burr", (1.5, 2, 30.25, 40), False)]}
    assert read.notes == (
        "1 boxes are turned, which isn't read: the upright one counts",
        "1 boxes are marked as occluded, which isn't read",
        "1 shapes of type polygon, which aren't read",
    )


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (("xbr", "1.5"), r"annotations\.xml, image id 0, box\[0\]: expected xtl < xbr"),
        (("ybr", "nan"), r"box\[0\]: expected xtl < xbr"),
        (("xtl", "left"), r"box\[0\]: expected numbers as xtl"),
        (("label", ""), r"box\[0\]: expected a label, got none"),
    ],
    ids=["empty", "nan", "letters", "no label"],
)
def test_cvat_box_that_is_broken_names_the_place(tmp_path, change, told):
    write_image(tmp_path / "images/a.png")
    key, text = change
    before = BOX.split(f'{key}="')[1].split('"', maxsplit=1)[0]
    (tmp_path / "annotations.xml").write_text(CVAT.format(box=BOX.replace(f'{key}="{before}"', f'{key}="{text}"')))
    with pytest.raises(DatasetError, match=told):
        read_dataset(tmp_path)


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"value": {"width": 0}}, r"export\.json, \[0\] \(id 1\), result\[0\]: expected width and height above 0"),
        ({"value": {"x": "left"}}, r"result\[0\]: expected x, y, width, height"),
        ({"value": {"rectanglelabels": ["a", "b"]}}, "expected one label, got a, b"),
        ({"original_width": None}, "expected original_width and original_height"),
    ],
    ids=["empty", "letters", "two labels", "no size"],
)
def test_label_studio_region_that_is_broken_names_the_place(tmp_path, changes, told):
    write_image(tmp_path / "a.png")
    task = {"id": 1, "data": {"image": "a.png"}, "annotations": [{"result": [region(**changes)]}]}
    with pytest.raises(DatasetError, match=told):
        read_dataset(export(tmp_path, task))
