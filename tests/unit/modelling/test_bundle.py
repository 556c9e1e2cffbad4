import hashlib
import json
import os
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from appliance.errors import ModelError
from appliance.modelling import load_bundle
from appliance.modelling.bundle_files import write_seal
from appliance.modelling.bundle_writer import write_bundle

ONNX = b"not a network: load_bundle looks at hashes only"


def contract() -> dict[str, Any]:
    figures = {"groups": ["1"], "map50": 0.9, "map50_95": 0.5, "ap50": {"burr": 0.9}, "escapes": 0, "ng_parts": 2}
    return {
        "schema_version": 2,
        "name": "tabs",
        "task": "detect",
        "family": "yolov8",
        "created_at": "2026-01-02T03:04:05+00:00",
        "opset": 17,
        "input": {
            "name": "images",
            "layout": "NCHW",
            "dtype": "uint8",
            "pixel_format": "Mono8",
            "height": 64,
            "width": 96,
            "fit": "letterbox",
        },
        "outputs": [{"name": "detections", "shape": ["N", 6, 96], "dtype": "float32"}],
        "classes": {"names": ["burr", 'excess "material"']},
        "thresholds": {"score": 0.4, "nms_iou": 0.5, "score_method": "on validation parts"},
        "training": {
            "data": "tabs",
            "licence": "own",
            "groups": {"train": ["0"], "test": ["1"]},
            "epochs": 1,
            "seed": 0,
            "minutes": 0.5,
            "machine": "any",
            "command": "make train",
        },
        "metrics": {
            "test": figures
            | {"escape_rate": 0.0, "false_rejects": 1, "ok_parts": 2, "false_reject_rate": 0.5}
            | {"missed_defects": 0, "defects": 3}
        },
    }


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "tabs"
    (path / "golden").mkdir(parents=True)
    (path / "model.onnx").write_bytes(ONNX)
    (path / "golden" / "a.png").write_bytes(b"png")
    cases = [{"file": "golden/a.png", "verdict": "OK", "detections": []}]
    (path / "golden" / "expected.json").write_text(json.dumps({"cases": cases}))
    write_bundle(path, contract())
    return path


def edit(folder: Path, old: str, new: str) -> None:
    text = (folder / "model.toml").read_text()
    assert old in text
    (folder / "model.toml").write_text(text.replace(old, new))
    write_seal(folder)


def test_written_bundle_reads_back_with_every_byte_and_name(folder):
    bundle = load_bundle(folder)
    assert bundle.onnx_bytes == ONNX
    assert bundle.sha256 == hashlib.sha256(ONNX).hexdigest()
    assert bundle.class_names == ("burr", 'excess "material"')
    assert (bundle.input.width, bundle.input.height, bundle.input.pixel_format) == (96, 64, "Mono8")
    assert bundle.thresholds.score == 0.4
    assert bundle.metrics["test"].ok_parts == 2
    assert [case.file for case in bundle.golden_cases()] == ["golden/a.png"]


def test_contents_stay_what_was_verified_when_the_file_changes_later(folder):
    bundle = load_bundle(folder)
    (folder / "model.onnx").write_bytes(b"swapped")
    assert bundle.onnx_bytes == ONNX


def test_every_single_flipped_bit_of_the_network_is_noticed(folder):
    for position in range(len(ONNX)):
        (folder / "model.onnx").write_bytes(ONNX[:position] + bytes([ONNX[position] ^ 1]) + ONNX[position + 1 :])
        with pytest.raises(ModelError, match=r"model\.onnx differs from model\.toml: expected sha256"):
            load_bundle(folder)


def test_every_single_flipped_bit_of_the_contract_and_of_its_seal_is_noticed(folder):
    for name in ("model.toml", "model.sha256"):
        whole = (folder / name).read_bytes()
        for position in range(len(whole)):
            bit = 1 << position % 8
            (folder / name).write_bytes(whole[:position] + bytes([whole[position] ^ bit]) + whole[position + 1 :])
            with pytest.raises(ModelError, match=r"model\.toml differs from what model\.sha256 promises"):
                load_bundle(folder)
        (folder / name).write_bytes(whole)
    load_bundle(folder)


def test_seal_is_what_sha256sum_understands(folder):
    subprocess.run(["sha256sum", "--check", "--strict", "--quiet", "model.sha256"], cwd=folder, check=True)


@dataclass(frozen=True)
class Broken:
    name: str
    old: str
    new: str
    message: str


BROKEN = [
    Broken("unknown key", "opset = 17", "opset = 17\ncolour = 1", "unknown key 'colour'"),
    Broken("missing key", 'task = "detect"\n', "", "key 'task' is missing"),
    Broken("score above one", "score = 0.4", "score = 1.4", "thresholds.score"),
    Broken("other schema", "schema_version = 2", "schema_version = 1", "schema_version"),
    Broken("double class", '"burr", ', '"burr", "burr", ', "class names must differ"),
    Broken("local time", "+00:00", "", "created_at"),
    Broken("not TOML", "opset = 17", "opset = ", "not valid TOML"),
    Broken("lists in lists", "opset = 17", f"opset = {'[' * 5000}", "not valid TOML"),
    Broken("number without end", "opset = 17", f"opset = {'1' * 5000}", "not valid TOML"),
    Broken("parent path", '"golden/a.png" =', '"../a.png" =', "plain path inside the bundle"),
    Broken("absolute path", '"golden/a.png" =', '"/etc/passwd" =', "plain path inside the bundle"),
    Broken("crooked path", '"golden/a.png" =', '"golden/./a.png" =', "plain path inside the bundle"),
    Broken("file gone", '"golden/a.png" =', '"golden/b.png" =', r"b\.png is missing"),
]


@pytest.mark.parametrize("case", BROKEN, ids=lambda case: case.name)
def test_broken_contract_is_refused_in_one_clear_line(folder, case):
    edit(folder, case.old, case.new)
    if case.new.endswith('" ='):
        (folder / "golden" / "a.png").unlink()
    with pytest.raises(ModelError, match=case.message) as refused:
        load_bundle(folder)
    assert "\n" not in str(refused.value)
    assert str(folder) in str(refused.value)


def test_contract_without_a_network_is_refused(folder):
    text = (folder / "model.toml").read_text().splitlines()
    (folder / "model.toml").write_text("\n".join(line for line in text if not line.startswith('"model.onnx"')))
    write_seal(folder)
    with pytest.raises(ModelError, match=r"\[files\] must list model\.onnx"):
        load_bundle(folder)


def test_missing_folder_is_refused(tmp_path):
    with pytest.raises(ModelError, match="no such folder"):
        load_bundle(tmp_path / "nothing")


def test_file_that_the_contract_does_not_list_is_refused(folder):
    (folder / "weights.bin").write_bytes(b"external data")
    with pytest.raises(ModelError, match=r"weights\.bin is not listed"):
        load_bundle(folder)


def test_symbolic_link_is_refused_even_to_the_right_bytes(folder, tmp_path):
    (tmp_path / "elsewhere.onnx").write_bytes(ONNX)
    (folder / "model.onnx").unlink()
    (folder / "model.onnx").symlink_to(tmp_path / "elsewhere.onnx")
    with pytest.raises(ModelError, match="symbolic link"):
        load_bundle(folder)


def test_golden_file_that_names_an_unknown_image_is_refused(folder):
    cases = [{"file": "golden/z.png", "verdict": "OK", "detections": []}]
    (folder / "golden" / "expected.json").write_text(json.dumps({"cases": cases}))
    bundle = write_bundle(folder, contract())
    with pytest.raises(ModelError, match=r"golden/z\.png"):
        bundle.golden_cases()


def test_file_too_large_to_be_read_is_refused_unread(folder):
    with (folder / "golden" / "a.png").open("r+b") as file:
        file.truncate(1 << 40)
    with pytest.raises(ModelError, match=r"a\.png has 1099511627776 bytes, at most \d+ are left for it"):
        load_bundle(folder)


@pytest.mark.parametrize("make", [Path.mkdir, os.mkfifo], ids=["folder", "pipe"])
def test_what_is_no_file_is_refused_without_waiting_for_it(folder, make):
    (folder / "model.onnx").unlink()
    make(folder / "model.onnx")
    with pytest.raises(ModelError, match=r"model\.onnx is not a regular file"):
        load_bundle(folder)
