import json
from pathlib import Path

import cv2
import pytest

from appliance.cli.app import main
from appliance.config.toml import read_toml
from appliance.errors import ExitCode
from appliance.learning.tabs import REGIMES, render
from appliance.learning.tabs.export import MANIFEST
from appliance.learning.tabs.voc_label import voc_label
from appliance.testing.tiny_detector import write_tiny_bundle

AS_DARK = ("--map", "missing_corner=dark")
"""The tiny detector knows bright and dark alone."""
KIND = ("--kind", "missing_corner=dark")
KEYS = {
    "method", "title", "knows", "parameter_count", "parameters", "tuning", "comparison", "detections", "time",
    "left_out_images", "notes",
}  # fmt: skip


@pytest.fixture(scope="module")
def tabs(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("rules") / "tabs"
    for number in range(32):
        split = ("train", "val", "test", "train")[number // 2 % 4]
        rendered = render(
            REGIMES["in"], number, width_px=240, height_px=180, defective=number % 2 == 0, kind="missing_corner"
        )
        for place in ("images", "annotations"):
            (folder / place / split).mkdir(parents=True, exist_ok=True)
        assert cv2.imwrite(str(folder / "images" / split / f"{number}.png"), rendered.pixels)
        label = voc_label(rendered, split, f"{number}.png")
        (folder / "annotations" / split / f"{number}.xml").write_text(label)
    (folder / MANIFEST).write_text('{"rendered": true}')
    return folder


@pytest.fixture
def desk(tmp_path, monkeypatch) -> Path:
    """A folder with models/tiny."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    Path("models").mkdir()
    write_tiny_bundle(Path("models/tiny"), fit="stretch")
    return tmp_path


def run(capsys, *arguments: str) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as ended:
        main(["compare-rules", "tiny", *arguments])
    printed = capsys.readouterr()
    return int(ended.value.code or 0), printed.out, printed.err


def test_rules_are_tuned_measured_saved_and_used_again(desk, tabs, capsys):
    options = (str(tabs), *AS_DARK, *KIND, "--reference-parts", "6", "--json")
    code, out, _ = run(capsys, *options, "--trials", "3", "--save-rules", "saved", "--html", "page.html")
    assert code == ExitCode.OK
    told = json.loads(out)
    assert told.keys() == {"model", "dataset", "development", "rendered", "machine", "rivals"}
    assert told["rendered"] is True
    assert (told["dataset"]["split"], told["development"]["split"]) == ("test", "val")
    (rival,) = told["rivals"]
    assert rival.keys() == KEYS
    assert rival["parameter_count"] == len(rival["parameters"])
    assert rival["tuning"]["trials"] == 3
    assert rival["comparison"]["a"]["ng_parts"] == rival["comparison"]["b"]["ng_parts"] == 4
    assert rival["comparison"]["b"]["model"]["name"] == "rules (golden)"
    assert "mcnemar_p" in rival["comparison"]["differences"]["escape_rate"]
    assert rival["detections"]["b"].keys() >= {"precision", "precision_ci95", "recall", "recall_ci95", "per_class"}
    assert min(rival["time"]["model_cpu_ms"], rival["time"]["rules_cpu_ms"]) > 0
    page = Path("page.html").read_text()
    assert "Rendered parts, never photographed" in page
    assert "Worst misses: rules (golden)" in page

    assert read_toml(Path("saved/golden.toml"))["method"] == "golden"
    code, out, _ = run(capsys, *options, "--rules", "saved/golden.toml")
    assert code == ExitCode.OK
    (again,) = json.loads(out)["rivals"]
    assert again["tuning"] is None
    assert again["parameters"] == rival["parameters"]
    assert again["comparison"]["b"]["per_class"] == rival["comparison"]["b"]["per_class"]


def test_rules_arent_tuned_on_what_they_are_measured_on(desk, tabs, capsys):
    code, _, error = run(capsys, str(tabs), *AS_DARK, *KIND, "--tune-split", "test")
    assert code == ExitCode.DATASET
    assert error.count("\n") == 1
    assert "--tune-split" in error


@pytest.mark.parametrize(
    ("options", "code", "words"),
    [
        (("--method", "magic"), ExitCode.DATASET, "golden, template, morphology"),
        ((), ExitCode.DATASET, "--kind"),
        (("--rules", "none.toml"), ExitCode.CONFIG, "none.toml"),
        (("--method", "template", "--kind", "spur=dark"), ExitCode.DATASET, "no image that they can judge"),
        (("--kind", "burr"), ExitCode.USAGE, "expected RULES_CLASS=MODEL_CLASS"),
        (("--score", "0.4", "--tune-score"), ExitCode.USAGE, "--tune-score"),
        (("--html", "page.txt"), ExitCode.USAGE, "page.txt"),
    ],
)
def test_what_cant_be_done_is_said_with_its_exit_code(desk, tabs, capsys, options, code, words):
    ended, _, error = run(capsys, str(tabs), *AS_DARK, *options)
    assert ended == code
    assert words in " ".join(error.replace("│", " ").split())
