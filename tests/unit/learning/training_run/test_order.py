"""What a person asks for becomes a plan."""

from pathlib import Path

import numpy as np
import pytest

from appliance.errors import ConfigError, TrainingFailed
from appliance.learning.training.plan import Plan
from appliance.learning.training_run.division import Shares, divide
from appliance.learning.training_run.input_size import input_size
from appliance.learning.training_run.order import TrainOrder, plan_of, read_settings, settle_plan
from appliance.learning.training_run.outcome import read_curve
from appliance.learning.training_run.reporter import EpochDone

SHIPPED = sorted(Path("examples/training").glob("*.toml"))


def order(squares: Path, **more: object) -> TrainOrder:
    given = {"network": "nano", "settings": {}, "data": "", "licence": "", "command": "", **more}
    return TrainOrder(dataset=squares, name="x", models_dir=squares, work=squares / "work", **given)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("image", "network"),
    [
        ((640, 640), (640, 640)),
        ((200, 200), (224, 224)),
        ((320, 256), (320, 256)),
        ((1280, 1024), (640, 512)),
        ((64, 48), (64, 64)),
        ((4096, 256), (640, 64)),
    ],
)
def test_an_input_is_as_large_as_the_images_in_whole_strides_and_640_px_at_most(
    image: tuple[int, int], network: tuple[int, int]
) -> None:
    assert input_size(image) == network


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_every_shipped_settings_file_makes_a_plan(squares: Path, path: Path) -> None:
    settings = read_settings(path)
    asked = order(squares, settings=settings, network=settings.get("network", "nano"), size_px=(640, 640))
    plan = plan_of(asked, divide(squares, Shares()))
    assert Plan.from_dict(plan.as_dict()) == plan
    assert settings["licence"]


def test_options_win_over_settings_and_settings_over_what_is_usual(squares: Path) -> None:
    division = divide(squares, Shares())
    settings = {"seed": 5, "threads": 1, "learning_rate": 0.01, "variation": {"turns": False}, "epochs": 9}
    plan = plan_of(order(squares, settings=settings), division)
    assert (plan.seed, plan.threads, plan.learning_rate, plan.variation.turns, plan.epochs) == (5, 1, 0.01, False, 9)
    plan = plan_of(order(squares, settings=settings, seed=6, epochs=3), division)
    assert (plan.seed, plan.epochs, plan.cut_epochs) == (6, 3, 0)
    settings = {"cut_epochs": 30, "frame_epochs": 10, "cut_px": 64}
    assert plan_of(order(squares, settings=settings), division).epochs == 40
    plan = plan_of(order(squares, settings=settings, epochs=8), division)
    assert (plan.cut_epochs, plan.frame_epochs) == (6, 2)


def test_cuttings_larger_than_the_input_are_refused(squares: Path) -> None:
    with pytest.raises(ConfigError, match="cut_px 192 is more than the network's input has, 64x64"):
        plan_of(order(squares, settings={"cut_epochs": 3}), divide(squares, Shares()))


def test_few_parts_are_looked_at_more_often_in_an_epoch(squares: Path) -> None:
    plan = plan_of(order(squares), divide(squares, Shares()))
    assert plan.frames_in_epoch >= 64 * plan.frames_in_batch > 12


def test_a_network_with_anchors_gets_those_of_the_training_boxes(squares: Path) -> None:
    for label in (squares / "labels/train").iterdir():
        rng = np.random.default_rng(len(label.name) + int(label.stem[5:]))
        label.write_text(
            "".join(f"{k % 2} 0.5 0.5 {w:.3f} {h:.3f}\n" for k, (w, h) in enumerate(rng.uniform(0.1, 0.9, (4, 2))))
        )
    plan = plan_of(order(squares, network="yolov3-tiny"), divide(squares, Shares()))
    assert len(plan.anchors) == 6
    assert plan_of(order(squares), divide(squares, Shares())).anchors == ()


def test_a_yolox_reads_squares(squares: Path) -> None:
    division = divide(squares, Shares())
    plan = plan_of(order(squares, network="yolox-nano"), division)
    assert plan.width_px == plan.height_px
    with pytest.raises(ConfigError, match="reads square pictures"):
        plan_of(order(squares, network="yolox-nano", size_px=(64, 96)), division)


def test_a_begun_training_goes_on_on_other_threads_but_not_by_another_plan(tmp_path: Path) -> None:
    plan = Plan("set", ("burr",), 64, 64, str(tmp_path))
    settle_plan(plan, tmp_path, restarts=False)
    settle_plan(Plan("set", ("burr",), 64, 64, str(tmp_path), threads=7, device="cpu"), tmp_path, restarts=False)
    other = Plan("set", ("burr",), 96, 64, str(tmp_path))
    with pytest.raises(TrainingFailed, match="width_px 64, now 96"):
        settle_plan(other, tmp_path, restarts=False)
    settle_plan(other, tmp_path, restarts=True)
    (tmp_path / "plan.json").write_text("{half")
    settle_plan(plan, tmp_path, restarts=False)


def test_half_a_line_and_repeated_epochs_do_not_spoil_the_curve(tmp_path: Path) -> None:
    rows = [
        '{"epoch": 1, "minutes": 1, "loss": 3.0, "val_map50": null}',
        '{"epoch": 2, "minutes": 2, "loss": NaN, "val_map50": null}',
        '{"epoch": 2, "minutes": 2, "loss": 2.0, "val_map50": 0.5}',
        '{"epoch": 2, "minutes": 3, "loss": 1.5, "val_map50": 0.6}',
        '{"epoch": 3, "min',
    ]
    (tmp_path / "curve.jsonl").write_text("\n".join(rows))
    assert [(point.epoch, point.loss, point.val_map50) for point in read_curve(tmp_path)] == [
        (1, 3.0, None),
        (2, 1.5, 0.6),
    ]


def test_an_epoch_without_an_estimate_gets_one_from_the_epochs_before() -> None:
    done = EpochDone.of({"event": "epoch", "epoch": 5, "minutes": 10, "loss": 1.0}, epochs=20)
    assert done is not None
    assert done.minutes_left == pytest.approx(30)
    assert EpochDone.of({"event": "epoch", "epoch": "five"}, epochs=20) is None
