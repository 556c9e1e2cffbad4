"""Damaged label files end with one deliberate error, and a check tells more; nothing else ever comes out."""

import copy
import json
import random
from contextlib import suppress
from pathlib import Path

import cv2
import numpy as np
import pytest

from appliance.errors import DatasetError
from appliance.learning.datasets import Dataset, Labels, read_dataset
from appliance.learning.datasets.check import check
from appliance.learning.datasets.convert import convert

STRANGE = [None, 0, -1, 1.5, "x", "", [], {}, [1], {"a": 1}, True, float("nan"), 10**400, "a.png\0", ["a", "b"]]
TORN = [b"0", b"-", b"9" * 400, b"\0", b"\n", b"nan", b"<", b'"', b"inf", b"\xff"]


@pytest.fixture(scope="module")
def labelled(tmp_path_factory) -> Dataset:
    path = tmp_path_factory.mktemp("damage") / "a.png"
    path.write_bytes(cv2.imencode(".png", np.full((80, 100), 90, np.uint8))[1].tobytes())
    truth = Labels.empty()
    truth.add((1, 2, 30, 40), "毛刺", is_ignored=True)
    truth.add((3, 4, 5, 6), "no")
    return Dataset(path.parent, "made", None, ("毛刺", "no"), (truth.image(path, ("毛刺", "no"), part="P"),))


def read_and_check(place: Path) -> None:
    for look in (read_dataset, check):
        with suppress(DatasetError):
            look(place)


def places_in(value, place=()):
    yield place
    rows = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, below in rows:
        yield from places_in(below, (*place, key))


@pytest.mark.parametrize(
    ("file_format", "name"), [("coco", "annotations/instances.json"), ("labelstudio", "tasks.json")]
)
def test_strange_values_in_json(labelled, tmp_path, file_format, name):
    convert([labelled], file_format, tmp_path / "set")
    file = tmp_path / "set" / name
    whole = json.loads(file.read_text(encoding="utf-8"))
    pairs = [(place, strange) for place in places_in(whole) if place for strange in STRANGE]
    for place, strange in random.Random(7).sample(pairs, 50):
        damaged = holder = copy.deepcopy(whole)
        for key in place[:-1]:
            holder = holder[key]
        holder[place[-1]] = strange
        file.write_text(json.dumps(damaged))
        read_and_check(file)


@pytest.mark.parametrize(
    ("file_format", "name"),
    [
        ("cvat", "annotations.xml"),
        ("voc", "a.xml"),
        ("voc", "classes.lock.toml"),
        ("yolo", "labels/a.txt"),
        ("yolo", "data.yaml"),
    ],
)
def test_torn_text(labelled, tmp_path, file_format, name):
    convert([labelled], file_format, tmp_path / "set")
    file = tmp_path / "set" / name
    whole, dice = file.read_bytes(), random.Random(7)
    for _ in range(25):
        torn = bytearray(whole)
        for _ in range(dice.choice([1, 2, 6])):
            at = dice.randrange(len(torn))
            torn[at : at + dice.choice([0, 1, 12])] = dice.choice(TORN)
        file.write_bytes(bytes(torn))
        read_and_check(tmp_path / "set")
