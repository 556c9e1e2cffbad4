"""The commands as people type them; one whole import, the rest works on what it made."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from appliance.cli import main
from appliance.errors import ExitCode
from appliance.testing.foreign_network import foreign_network


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a file, a picture (one red square on black), and a models folder with `cells` imported."""
    folder = tmp_path_factory.mktemp("import")
    (folder / "cells.onnx").write_bytes(foreign_network())
    picture = np.zeros((96, 64, 3), np.uint8)
    picture[32:64, 32:64, 2] = 255  # OpenCV writes blue first
    cv2.imwrite(str(folder / "red.png"), picture)
    run(
        "model", "import", folder / "cells.onnx", "--name", "cells", "--models-dir", folder / "models",
        "--golden", folder / "red.png", "--score", "0.9",
    )  # fmt: skip
    return folder


def run(*words: object) -> int:
    with pytest.raises(SystemExit) as left:
        main([str(word) for word in words])
    return int(left.value.code or 0)


def answer(capsys: pytest.CaptureFixture[str], *words: object) -> Any:
    assert run(*words, "--json") == ExitCode.OK
    return json.loads(capsys.readouterr().out)


def refusal(capsys: pytest.CaptureFixture[str], code: ExitCode, *words: object) -> str:
    assert run(*words) == code
    captured = capsys.readouterr()
    assert captured.out == ""
    return captured.err


def names_in(folder: Path) -> Sequence[str]:
    return sorted(path.name for path in folder.iterdir())


def test_import_writes_a_bundle_that_says_where_it_comes_from(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shown = answer(capsys, "model", "show", "cells", "--models-dir", place / "models")
    assert (shown["family"], shown["task"], shown["classes"]["names"]) == ("yolov8", "detect", ["red", "blue"])
    assert shown["input"]["pixel_format"] == "RGB8"
    assert (shown["input"]["width"], shown["input"]["height"], shown["input"]["batch"]) == (64, 96, 0)
    assert shown["thresholds"]["score"] == 0.9
    source = shown["source"]
    assert (source["file"], source["producer"]) == ("cells.onnx", "exporter")
    assert source["preprocessing"].startswith(
        "letterbox to 64x96 (linear), grey 114 beside it; red, green, blue; / 255"
    )
    assert str(place) not in source["made_by"].split("--models-dir")[0]
    assert names_in(place / "models") == ["cells"]


def test_golden_pictures_are_kept_with_what_is_found(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shown = answer(capsys, "model", "show", "cells", "--models-dir", place / "models")
    (golden,) = shown["golden_images"]
    assert golden["verdict"] == "NG"
    assert {one["class_name"] for one in golden["detections"]} == {"red"}
    assert [32.0, 32.0, 64.0, 64.0] in [one["box_px"] for one in golden["detections"]]


def test_list_shows_the_whole_and_the_broken(place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    models = tmp_path / "models"
    for name in ("cells", "broken"):
        (models / name).mkdir(parents=True)
        for path in (place / "models" / "cells").iterdir():
            if path.is_file():
                (models / name / path.name).write_bytes(path.read_bytes())
    (models / ".importing-x").mkdir()
    (models / ".importing-x" / "model.toml").write_text("")
    rows = answer(capsys, "model", "list", "--models-dir", models)
    assert [row["name"] for row in rows] == ["broken", "cells"]
    assert all("golden" in row["error"] for row in rows)  # both lack golden/
    assert run("model", "list", "--models-dir", place / "models") == ExitCode.OK
    out = capsys.readouterr().out
    assert "cells" in out
    assert "RGB8 64x96" in out


def test_run_finds_the_red_square(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (found,) = answer(capsys, "model", "run", place / "models" / "cells", place / "red.png", "--score", "0.95")
    assert (found["image"], found["width"], found["height"]) == (str(place / "red.png"), 64, 96)
    assert "image_score" not in found
    assert {one["class_name"] for one in found["detections"]} == {"red"}
    best = next(one for one in found["detections"] if one["box_px"] == [32.0, 32.0, 64.0, 64.0])
    assert best == {"class_name": "red", "class_id": 0, "score": 1.0, "box_px": [32.0, 32.0, 64.0, 64.0]}


def test_run_takes_sixteen_bits_transparency_and_several_images(
    place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    deep = np.zeros((96, 64, 3), np.uint16)
    deep[32:64, 32:64, 2] = 65535
    cv2.imwrite(str(tmp_path / "deep.png"), deep)
    clear = np.dstack([cv2.imread(str(place / "red.png")), np.full((96, 64), 9, np.uint8)])
    cv2.imwrite(str(tmp_path / "clear.png"), clear)
    found = answer(
        capsys, "model", "run", "cells", place / "red.png", tmp_path / "deep.png", tmp_path / "clear.png",
        "--models-dir", place / "models",
    )  # fmt: skip
    assert [one["detections"] for one in found[1:]] == [found[0]["detections"]] * 2


def test_run_draws_what_it_found(place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("model", "run", place / "models" / "cells", place / "red.png", "--save", tmp_path / "out") == 0
    assert "red" in capsys.readouterr().out
    drawn = cv2.imread(str(tmp_path / "out" / "red.png"))
    assert drawn.shape == (96, 64, 3)
    assert not np.array_equal(drawn, cv2.imread(str(place / "red.png")))


def test_run_refuses_what_is_no_image_and_models_that_are_not_there(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = refusal(capsys, ExitCode.DATASET, "model", "run", place / "models" / "cells", place / "cells.onnx")
    assert words.startswith(f"error: {place / 'cells.onnx'}: expected an image")
    words = refusal(capsys, ExitCode.MODEL, "model", "run", "nuts", place / "red.png", "--models-dir", place / "models")
    assert "there: cells" in words


def test_import_refuses_before_anything_is_written(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    models = place / "models"
    again = ("model", "import", place / "cells.onnx", "--models-dir", models)
    assert "pass --overwrite" in refusal(capsys, ExitCode.MODEL, *again, "--name", "cells")
    assert "--name '../x'" in refusal(capsys, ExitCode.IMPORT, *again, "--name", "../x")
    nothing = ("model", "import", place / "none.onnx", "--models-dir", models, "--name", "other")
    assert "can't be read: No such file" in refusal(capsys, ExitCode.IMPORT, *nothing)
    assert "no such family" in refusal(capsys, ExitCode.IMPORT, *again, "--name", "other", "--family", "nuts")
    assert "no such file" in refusal(capsys, ExitCode.DATASET, *again, "--name", "other", "--classes", "no.txt").lower()
    assert names_in(models) == ["cells"]


@pytest.mark.parametrize(
    "words",
    [("--size", "wide"), ("--mean", "a,b"), ("--decode", "anchors"), ("--constant", "sizes"), ("--fit", "crop")],
)
def test_import_tells_how_an_option_is_written(
    place: Path, words: tuple[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    asked = ("model", "import", place / "cells.onnx", "--models-dir", place / "models", "--name", "other")
    assert words[0] in refusal(capsys, ExitCode.USAGE, *asked, *words)


def test_overwritten_model_is_replaced_whole(place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    models = tmp_path / "models"
    (models / "cells").mkdir(parents=True)
    (models / "cells" / "left over.txt").write_text("from before")
    (tmp_path / "names.yaml").write_text("names: {0: rot, 1: blau}")
    told = answer(
        capsys, "model", "import", place / "cells.onnx", "--name", "cells", "--models-dir", models, "--overwrite",
        "--classes", tmp_path / "names.yaml",
    )  # fmt: skip
    assert told["classes"] == ["rot", "blau"]
    assert told["farthest_apart"] < 1e-5
    assert names_in(models) == ["cells"]
    assert names_in(models / "cells") == ["model.onnx", "model.sha256", "model.toml"]
    first, again = (folder / "cells" / "model.onnx" for folder in (place / "models", models))
    assert first.read_bytes() == again.read_bytes()
