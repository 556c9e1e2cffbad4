import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from appliance.errors import DatasetError
from appliance.learning.datasets import TO_CHOOSE, Dataset, Labels, read_dataset, read_image
from appliance.testing.labelled_copies import write_coco, write_voc, write_yolo

VOC = """<annotation><filename>{name}</filename><size><width>{size}</width><height>{size}</height></size>
{objects}
</annotation>"""
OBJECT = """<object><name>{name}</name><difficult>{difficult}</difficult>
<bndbox><xmin>{box[0]}</xmin><ymin>{box[1]}</ymin><xmax>{box[2]}</xmax><ymax>{box[3]}</ymax></bndbox></object>"""


def write_image(path: Path, width: int = 100, height: int = 80) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), np.full((height, width), 90, np.uint8))
    return path


def write_xml(path: Path, *rows: tuple, name: str = "", size: int = 0) -> Path:
    objects = "\n".join(OBJECT.format(name=row[0], box=row[1], difficult=row[2] if len(row) > 2 else 0) for row in rows)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(VOC.format(name=name or f"{path.stem}.png", size=size, objects=objects), encoding="utf-8")
    return path


def by_name(dataset: Dataset) -> dict:
    return {
        image.path.name: [
            (dataset.class_names[class_id], [round(side, 2) for side in box], bool(is_ignored))
            for box, class_id, is_ignored in zip(image.boxes.tolist(), image.class_ids, image.is_ignored, strict=True)
        ]
        for image in dataset.images
    }


@pytest.fixture
def labelled(tmp_path) -> Dataset:
    """Three parts: two defects, none, one."""
    names = ("burr", "pin hole & more")
    images = []
    for number, rows in enumerate([[(3, 4, 50, 60, 0), (10, 10, 21, 30, 1)], [], [(99, 79, 100, 80, 1)]]):
        truth = Labels.empty()
        for x1, y1, x2, y2, class_id in rows:
            truth.add((x1, y1, x2, y2), names[class_id])
        images.append(truth.image(write_image(tmp_path / "source" / f"part{number}.png"), names))
    return Dataset(tmp_path, "made", None, names, tuple(images))


@pytest.mark.parametrize("write", [write_voc, write_yolo, write_coco], ids=["voc", "yolo", "coco"])
def test_every_format_is_recognised_and_says_the_same(labelled, tmp_path, write):
    read = read_dataset(write(labelled, tmp_path / "copy"))
    assert read.file_format == write.__name__.removeprefix("write_")
    assert by_name(read) == by_name(labelled)
    assert [image.is_ok for image in read.images] == [False, True, False]
    assert all(image.size_px == (100, 80) for image in read.images)


def test_voc_finds_images_by_name_in_a_folder_of_their_own(tmp_path):
    write_image(tmp_path / "JPEGImages/a.png")
    write_xml(tmp_path / "Annotations/a.xml", ("burr", (1, 2, 30, 40)), name="C:\\Users\\x\\a.png")
    assert by_name(read_dataset(tmp_path)) == {"a.png": [("burr", [1, 2, 30, 40], False)]}
    assert by_name(read_dataset(tmp_path / "Annotations")) == by_name(read_dataset(tmp_path))


def test_voc_difficult_boxes_are_neither_reward_nor_fault(tmp_path):
    write_image(tmp_path / "a.png")
    write_xml(tmp_path / "a.xml", ("burr", (1, 2, 30, 40), 1))
    (image,) = read_dataset(tmp_path).images
    assert image.is_ignored.tolist() == [True]
    assert (image.is_ok, image.is_ng) == (False, False)


def test_voc_images_without_xml_are_left_out_and_told(tmp_path):
    write_image(tmp_path / "a.png")
    write_image(tmp_path / "b.png")
    write_xml(tmp_path / "a.xml")
    read = read_dataset(tmp_path)
    assert len(read.images) == 1
    assert read.notes == ("1 images have no XML file and were left out",)


def test_voc_lists_choose_the_split(tmp_path):
    for name in "ab":
        write_image(tmp_path / f"{name}.png")
        write_xml(tmp_path / f"{name}.xml")
    for split, names in (("train", "a\n"), ("test", "b 1\n")):
        path = tmp_path / "ImageSets/Main" / f"{split}.txt"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(names)
    assert list(by_name(read_dataset(tmp_path))) == ["b.png"]
    assert list(by_name(read_dataset(tmp_path, split="train"))) == ["a.png"]
    with pytest.raises(DatasetError, match=r"no split 'val'.*it has test, train"):
        read_dataset(tmp_path, split="val")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("<annotation><object>", "expected XML, got: no element found: line 1"),
        (VOC.format(name="a.png", size=1, objects="<object><bndbox/></object>"), r"a\.xml, line 2: .*with a <name>"),
        (
            VOC.format(
                name="a.png", size=1, objects="\n\n" + OBJECT.format(name="burr", difficult=0, box=(9, 1, 9, 5))
            ),
            r"a\.xml, line 4: expected xmin < xmax.*got 9 1 9 5",
        ),
        (
            VOC.format(name="a.png", size=1, objects=OBJECT.format(name="burr", difficult=0, box=("x", 1, 9, 5))),
            r"a\.xml, line 2: expected numbers as xmin",
        ),
        (
            VOC.format(name="a.png", size=1, objects=OBJECT.format(name="burr", difficult=0, box=(1, 1, "inf", 5))),
            r"a\.xml, line 2: expected xmin < xmax",
        ),
        (VOC.format(name="c.png", size=1, objects="").replace("a", "a", 1), r"expected one image 'c\.png'.*got none"),
    ],
    ids=["not xml", "no name", "inside out", "letters", "endless", "no image"],
)
def test_voc_that_is_broken_names_file_and_line(tmp_path, text, told):
    write_image(tmp_path / ("b.png" if "c.png" in text else "a.png"))
    (tmp_path / "a.xml").write_text(text)
    with pytest.raises(DatasetError, match=told):
        read_dataset(tmp_path, file_format="voc")


def yolo(folder: Path, rows: str | None, yaml: str | None = None) -> Path:
    write_image(folder / "images/a.png")
    (folder / "labels").mkdir()
    if rows is not None:
        (folder / "labels/a.txt").write_text(rows)
    (folder / ("data.yaml" if yaml else "classes.txt")).write_text(yaml or "burr\nhole\n")
    return folder


@pytest.mark.parametrize(
    ("rows", "told"),
    [
        ("0 0.5 0.5 0.1 0.1\n2 0.5 0.5 0.1 0.1\n", r"a\.txt, line 2: expected a class from 0 to 1, got 2"),
        ("0 0.5 0.5 0.1\n", r"a\.txt, line 1: expected `class centre_x .*got '0 0.5 0.5 0.1'"),
        ("0 0.99 0.5 0.1 0.1\n", r"a\.txt, line 1: expected a box inside the image"),
        ("0 nan 0.5 0.1 0.1\n", r"a\.txt, line 1: expected a box inside the image"),
        ("0 0.5 0.5 0 0.1\n", r"a\.txt, line 1: expected a box inside the image"),
    ],
    ids=["class", "short row", "outside", "nan", "no area"],
)
def test_yolo_row_that_is_broken_names_file_and_line(tmp_path, rows, told):
    with pytest.raises(DatasetError, match=told):
        read_dataset(yolo(tmp_path, rows), file_format="yolo")


def test_yolo_image_without_a_label_file_is_ok_and_told(tmp_path):
    yolo(tmp_path, "")
    write_image(tmp_path / "images/b.png")
    read = read_dataset(tmp_path, file_format="yolo")
    assert [image.is_ok for image in read.images] == [True, True]
    assert read.notes == ("1 images have no label file and count as OK, as Ultralytics reads it",)


def test_yolo_without_any_label_file_is_refused(tmp_path):
    with pytest.raises(DatasetError, match=r"expected label files such as .*labels/a\.txt, got none"):
        read_dataset(yolo(tmp_path, None), file_format="yolo")


def test_yolo_needs_names_from_somewhere(tmp_path):
    yolo(tmp_path, "1 0.5 0.5 0.1 0.1\n")
    (tmp_path / "classes.txt").unlink()
    with pytest.raises(DatasetError, match=r"expected class names in data\.yaml or classes\.txt.*--classes"):
        read_dataset(tmp_path)
    assert read_dataset(tmp_path, class_names=("burr", "hole")).used_names == ["hole"]


@pytest.mark.parametrize(
    "names", ["[burr, hole]", "{0: burr, 1: hole}", "\n- burr\n- hole"], ids=["list", "ids", "block"]
)
def test_yolo_yaml_names_classes_and_splits(tmp_path, names):
    yolo(tmp_path, "1 0.5 0.5 0.1 0.1\n", f"path: /another/machine\nval: ../images\nnames: {names}\n")
    read = read_dataset(tmp_path)
    assert (read.class_names, read.used_names, read.split) == (("burr", "hole"), ["hole"], "val")
    assert by_name(read_dataset(tmp_path / "data.yaml")) == by_name(read)


def test_yolo_split_that_is_not_there_matters_only_when_it_is_read(tmp_path):
    yolo(tmp_path, "", "train: nowhere\nval: images\nnames: [burr]\n")
    assert read_dataset(tmp_path, file_format="yolo").split == "val"
    with pytest.raises(DatasetError, match=r"split 'train': expected images in .*nowhere, got nothing there"):
        read_dataset(tmp_path, file_format="yolo", split="train")


def test_images_of_one_name_in_several_folders_are_several_parts(tmp_path):
    for split in ("train", "test"):
        write_image(tmp_path / "images" / split / "a.png")
        write_xml(tmp_path / "labels" / split / "a.xml", ("burr", (1, 2, 30, 40)))
    assert read_dataset(tmp_path, split="train").images[0].path.parts[-2] == "train"
    assert read_dataset(tmp_path, split="test").images[0].path.parts[-2] == "test"


def test_yolo_yaml_that_is_broken_names_the_line(tmp_path):
    yolo(tmp_path, "", "names: [burr\nval: x\n")
    with pytest.raises(DatasetError, match=r"data\.yaml, line 2: expected YAML"):
        read_dataset(tmp_path)


def test_yolo_reads_lists_of_images_and_labels_beside_them(tmp_path):
    for name in "ab":
        write_image(tmp_path / f"{name}.png")
        (tmp_path / f"{name}.txt").write_text("0 0.5 0.5 0.2 0.1\n")
    (tmp_path / "val.list.txt").write_text("a.png\n")
    (tmp_path / "data.yaml").write_text("val: val.list.txt\nnames: [burr]\n")
    assert by_name(read_dataset(tmp_path)) == {"a.png": [("burr", [40, 36, 60, 44], False)]}


def coco(folder: Path, **changes) -> Path:
    write_image(folder / "a.png")
    row = {"id": 1, "image_id": 5, "category_id": 9, "bbox": [1, 2, 3, 4], "iscrowd": 1}
    content = {
        "images": [{"id": 5, "file_name": "a.png", "part_id": "P1"}],
        "annotations": [row | changes],
        "categories": [{"id": 9, "name": "burr"}],
    }
    (folder / "labels.json").write_text(json.dumps(content, indent=1))
    return folder / "labels.json"


def test_coco_knows_crowds_and_parts(tmp_path):
    (image,) = read_dataset(coco(tmp_path)).images
    assert (image.part, image.is_ignored.tolist(), image.boxes.tolist()) == ("P1", [True], [[1, 2, 4, 6]])


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"image_id": 6}, r"annotations\[0\] \(id 1\): expected the id of an image as image_id, got 6"),
        ({"category_id": 1}, r"expected a category_id out of \[9\], got 1"),
        ({"bbox": [1, 2, 0, 4]}, "expected a bbox with width and height above 0"),
        ({"bbox": [float("nan"), 2, 3, 4]}, "expected a bbox with width and height above 0, got .nan"),
        ({"bbox": None}, r"expected bbox as \[x, y, width, height\], got None"),
    ],
    ids=["image", "category", "no area", "not a number", "no box"],
)
def test_coco_that_is_broken_names_the_annotation(tmp_path, changes, told):
    with pytest.raises(DatasetError, match=told):
        read_dataset(coco(tmp_path, **changes))


def test_coco_that_is_no_json_names_the_line(tmp_path):
    path = coco(tmp_path)
    path.write_text(path.read_text().replace('"bbox": [', '"bbox": [['))
    with pytest.raises(DatasetError, match=r"labels\.json, line \d+: expected JSON"):
        read_dataset(path)


def write_mask(path: Path, *boxes: tuple[int, int, int, int]) -> None:
    mask = np.zeros((80, 100), np.uint8)
    for x1, y1, x2, y2 in boxes:
        mask[y1:y2, x1:x2] = 255
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), mask)


def test_masks_of_mvtec_become_boxes(tmp_path):
    for name in ("train/good/a.png", "test/good/a.png", "test/scratch/a.png", "test/dent/b.png"):
        write_image(tmp_path / name)
    write_mask(tmp_path / "ground_truth/scratch/a_mask.png", (3, 4, 10, 9), (50, 50, 60, 70))
    read = read_dataset(tmp_path, task="anomaly")
    assert (read.file_format, read.split, read.class_names) == ("masks", "test", ("dent", "scratch"))
    dent, good, scratch = read.images
    assert (dent.is_ng, len(dent.boxes), good.is_ok) == (True, 0, True)
    assert scratch.boxes.tolist() == [[3, 4, 10, 9], [50, 50, 60, 70]]
    assert [image.is_ok for image in read_dataset(tmp_path, split="train").images] == [True]


def test_masks_beside_the_images_become_boxes(tmp_path):
    write_image(tmp_path / "MT_Free/Imgs/a.jpg")
    write_image(tmp_path / "MT_Crack/Imgs/b.jpg")
    write_mask(tmp_path / "MT_Crack/Imgs/b.png", (3, 4, 10, 9))
    crack, free = read_dataset(tmp_path).images
    assert (crack.kind, crack.boxes.tolist(), free.is_ok) == ("MT_Crack", [[3, 4, 10, 9]], True)


def test_several_formats_in_one_folder_need_a_word(labelled, tmp_path):
    write_voc(labelled, tmp_path / "both")
    write_coco(labelled, tmp_path / "both")
    with pytest.raises(DatasetError, match=r"several formats fit \(voc: .*; coco: .*\); --format"):
        read_dataset(tmp_path / "both")
    assert read_dataset(tmp_path / "both", file_format="coco").file_format == "coco"


def test_folder_without_labels_is_refused(tmp_path):
    write_image(tmp_path / "a.png")
    with pytest.raises(DatasetError, match=r"expected one of these formats .*got none of them"):
        read_dataset(tmp_path)


def test_validation_split_is_preferred_when_something_is_chosen(tmp_path):
    for split in ("train", "val", "test"):
        write_image(tmp_path / f"images/{split}/{split}.png")
        label = tmp_path / f"labels/{split}/{split}.txt"
        label.parent.mkdir(parents=True)
        label.write_text("0 0.5 0.5 0.1 0.1\n")
    (tmp_path / "classes.txt").write_text("burr\n")
    assert read_dataset(tmp_path).split == "test"
    assert read_dataset(tmp_path, preferred=TO_CHOOSE).split == "val"


def test_classes_are_matched_by_name_not_by_place(labelled):
    known = labelled.for_classes(("scratch", "hole", "burr"), {"pin hole & more": "hole"})
    assert known.images[0].class_ids.tolist() == [2, 1]
    assert known.class_names == ("scratch", "hole", "burr")


def test_class_that_the_model_does_not_know_is_refused_with_both_lists(labelled):
    told = "no class 'pin hole & more'; the set has 'burr', 'pin hole & more', the model 'burr', 'crack'; --map"
    with pytest.raises(DatasetError, match=told):
        labelled.for_classes(("burr", "crack"))
    with pytest.raises(DatasetError, match="no class 'bur' to rename; it has 'burr'"):
        labelled.for_classes(("burr",), {"bur": "burr"})


@pytest.mark.parametrize(
    ("pixels", "expected"),
    [
        (np.full((2, 3), 7, np.uint8), ("Mono8", (2, 3))),
        (np.full((2, 3), 700, np.uint16), ("Mono16", (2, 3))),
        (np.full((2, 3, 3), 7, np.uint8), ("BGR8", (2, 3, 3))),
        (np.full((2, 3, 4), 7, np.uint8), ("BGR8", (2, 3, 3))),
        (np.full((2, 3, 3), 700, np.uint16), ("BGR8", (2, 3, 3))),
    ],
    ids=["grey", "grey 16", "colour", "with alpha", "colour 16"],
)
def test_images_of_any_kind_are_read(tmp_path, pixels, expected):
    assert cv2.imwrite(str(tmp_path / "a.png"), pixels)
    read, pixel_format = read_image(tmp_path / "a.png")
    assert (pixel_format, read.shape) == expected


def test_file_that_is_no_image_is_refused(tmp_path):
    (tmp_path / "a.png").write_bytes(b"not an image")
    with pytest.raises(DatasetError, match=r"a\.png: expected an image"):
        read_image(tmp_path / "a.png")
