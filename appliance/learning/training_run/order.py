"""What a person asks for, and the plan that comes of it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np

from appliance.config import read_toml
from appliance.errors import ConfigError, TrainingFailed
from appliance.learning.training.plan import Plan, Variation
from appliance.learning.training_run.anchors import fitting_anchors
from appliance.learning.training_run.division import Division, Shares
from appliance.learning.training_run.input_size import common_size, input_size
from appliance.learning.training_run.networks import Network, network_named
from appliance.learning.training_run.outcome import PLAN_FILE
from appliance.modelling.quantise import Budget

EPOCHS = 60
CUT_SHARE = 5 / 6
"""Of the epochs look at cuttings, where a frame is mostly background."""
PIXELS_IN_BATCH = 2_500_000
CUTS_OF_PART = 4
LEAST_BATCHES = 64
"""In an epoch: with fewer, a small set would end before anything is learnt."""
HANDED_OVER = "dataset"
_DECIDED_HERE = ("dataset", "file_format", "train_split", "val_split", "class_names", "work")
_BESIDE_THE_PLAN = ("epochs", "data_source", "licence")


@dataclass(frozen=True, kw_only=True)
class TrainOrder:
    """One `appliance train`.

    Attributes:
        dataset, file_format, class_names: As `read_dataset` takes them.
        name: Of the model. models_dir: Gets its folder. work: Gets everything in between.
        size_px: Width and height of the network's input; None: from the images.
        epochs, seed, threads, device: None: as the settings say, else the usual.
        settings: Fields of the plan, as a settings file gives them.
        python: An interpreter in place of the training environment's own.
        data, licence: What the bundle says of the images. command: What was typed.
        quantises: Whether an INT8 model is made. calibration, calibration_data: As `read_calibration_set` takes them.
        overwrites: A model of this name may be replaced. restarts: A begun training of another plan may be dropped.
    """

    dataset: Path
    name: str
    models_dir: Path
    work: Path
    network: str
    file_format: str = "auto"
    class_names: tuple[str, ...] = ()
    size_px: tuple[int, int] | None = None
    epochs: int | None = None
    seed: int | None = None
    threads: int | None = None
    device: str | None = None
    val_share: float = 0.2
    test_share: float = 0.0
    settings: Mapping[str, Any]
    python: Path | None = None
    data: str
    licence: str
    command: str
    quantises: bool = True
    calibration: Path | None = None
    calibration_data: Path | None = None
    budget: Budget = Budget()
    overwrites: bool = False
    restarts: bool = False

    @property
    def shares(self) -> Shares:
        """How a set without splits is divided."""
        return Shares(self.val_share, self.test_share, int(self.chosen("seed", Plan.seed)))

    def chosen(self, name: str, usual: Any) -> Any:
        """Return a setting: the option, else the settings file's, else the usual."""
        option = getattr(self, name, None)
        return self.settings.get(name, usual) if option is None else option


def read_settings(path: Path | None) -> dict[str, Any]:
    """Read a settings file: fields of `Plan`, those of `Variation` in a table of that name, and a few more.

    Raises:
        ConfigError: It can't be read, or has a key that isn't one of them, or that the command decides itself.
    """
    if path is None:
        return {}
    told = dict(read_toml(path))
    known = {field.name for field in fields(Plan)} - set(_DECIDED_HERE)
    variation = told.get("variation", {})
    strange = [key for key in told if key not in known and key not in _BESIDE_THE_PLAN]
    strange += [f"variation.{key}" for key in variation if key not in {field.name for field in fields(Variation)}]
    if strange:
        names = ", ".join(sorted([*known, *_BESIDE_THE_PLAN]))
        raise ConfigError(f"{path}: unknown key {strange[0]!r}; expected some of {names}")
    return told


def plan_of(order: TrainOrder, division: Division) -> Plan:
    """Make the plan.

    Raises:
        ConfigError: A value of the settings is impossible, or the network is unknown.
        DatasetError: An image can't be read.
    """
    network = network_named(order.network)
    image_px = common_size(division.train.images)
    width, height = _input_px(order, network, image_px)
    given = {key: value for key, value in order.settings.items() if key not in ("variation", *_BESIDE_THE_PLAN)}
    cut_px = int(given.get("cut_px", Plan.cut_px))
    epochs = _epochs(order, division, (width, height), image_px, cut_px)
    if "anchors" in given:
        given["anchors"] = tuple(tuple(anchor) for anchor in given["anchors"])
    variation = dict(order.settings.get("variation", {}))
    if "negative_classes" in variation:
        variation["negative_classes"] = tuple(variation["negative_classes"])
    values = {
        "anchors": _anchors(division, network, min(width / image_px[0], height / image_px[1]), order),
        **_amounts(division, width * height, cut_px),
        **given,
        **epochs,
        "dataset": str((order.work / HANDED_OVER).absolute()),
        "file_format": "coco",
        "work": str(order.work.absolute()),
        "class_names": division.class_names,
        "network": network.name,
        "width_px": width,
        "height_px": height,
        **{key: value for key in ("seed", "threads", "device") if (value := getattr(order, key)) is not None},
    }
    try:
        plan = Plan(**values, variation=Variation(**variation))
    except TypeError as error:
        raise ConfigError(f"training settings: {error}") from error
    if plan.cut_epochs and plan.cut_px > min(plan.width_px, plan.height_px):
        raise ConfigError(
            f"training settings: cut_px {plan.cut_px} is more than the network's input has, {plan.width_px}x"
            f"{plan.height_px} px; make it smaller, set cut_epochs = 0, or give a larger --size"
        )
    return plan


def _input_px(order: TrainOrder, network: Network, image_px: tuple[int, int]) -> tuple[int, int]:
    if order.size_px is None:
        size = input_size(image_px)
        return (max(size), max(size)) if network.is_square else size
    if network.is_square and order.size_px[0] != order.size_px[1]:
        width, height = order.size_px
        raise ConfigError(f"--size {width}x{height}: {network.name} reads square pictures, e.g. {width}x{width}")
    return order.size_px


def _anchors(division: Division, network: Network, scale: float, order: TrainOrder) -> tuple[tuple[float, float], ...]:
    if not network.anchors:
        return ()
    boxes = np.concatenate([image.boxes for image in division.train.images])
    return fitting_anchors((boxes[:, 2:] - boxes[:, :2]) * np.float32(scale), network.anchors, order.shares.seed)


def _amounts(division: Division, frame_px: int, cut_px: int) -> dict[str, int]:
    """Choose batches and epochs by how much there is to look at: few parts are looked at more often in an epoch."""
    parts = len(division.train.images)
    frames, cuts = _batch(frame_px, parts), _batch(cut_px**2, CUTS_OF_PART * parts)
    return {
        "frames_in_batch": frames,
        "cuts_in_batch": cuts,
        "frames_in_epoch": max(parts, LEAST_BATCHES * frames),
        "cuts_in_epoch": max(CUTS_OF_PART * parts, LEAST_BATCHES * cuts),
    }


def _batch(picture_px: int, pictures: int) -> int:
    """Return a multiple of 8: as many as memory and caches like, but an epoch shall have some batches."""
    return 8 * max(1, min(round(PIXELS_IN_BATCH / picture_px / 8), pictures // LEAST_BATCHES // 8))


def _epochs(
    order: TrainOrder, division: Division, input_px: tuple[int, int], image_px: tuple[int, int], cut_px: int
) -> dict[str, int]:
    """Divide the epochs among cuttings and whole frames, unless the settings do."""
    settings = order.settings
    if order.epochs is None and ("cut_epochs" in settings or "frame_epochs" in settings):
        return {}
    total = int(order.chosen("epochs", EPOCHS))
    if order.epochs is not None and "cut_epochs" in settings and "frame_epochs" in settings:
        share = settings["cut_epochs"] / max(1, settings["cut_epochs"] + settings["frame_epochs"])
    else:
        share = CUT_SHARE if _mostly_background(division, input_px, image_px, cut_px) else 0.0
    cut = min(round(total * share), total - 1)
    return {"cut_epochs": cut, "frame_epochs": total - cut}


def _mostly_background(division: Division, input_px: tuple[int, int], image_px: tuple[int, int], cut_px: int) -> bool:
    """Whether cuttings show defects whole and are much smaller than a frame: then they teach more a second."""
    boxes = np.concatenate([image.boxes for image in division.train.images])
    scale = min(input_px[0] / image_px[0], input_px[1] / image_px[1])
    longest = float(np.percentile((boxes[:, 2:] - boxes[:, :2]).max(axis=1), 95)) * scale
    return min(input_px) >= 2 * cut_px and longest <= 0.75 * cut_px


def settle_plan(plan: Plan, work: Path, *, restarts: bool) -> None:
    """Write plan.json, unless the work folder holds a begun training of another plan.

    Raises:
        TrainingFailed: It does; says what differs.
    """
    path = work / PLAN_FILE
    if path.is_file() and not restarts:
        try:
            before = Plan.from_dict(json.loads(path.read_text(encoding="utf-8"))).identity
        except (ValueError, OSError):  # half written, or of another version: nothing to go on from
            before = None
        if before is not None:
            _check_same(before, plan.identity, work)
    draft = path.with_suffix(".partial")
    draft.write_text(json.dumps(plan.as_dict(), indent=1) + "\n", encoding="utf-8")
    draft.replace(path)


def _check_same(before: Mapping[str, Any], now: Mapping[str, Any], work: Path) -> None:
    changed = [key for key, value in now.items() if before.get(key) != value]
    if changed:
        told = ", ".join(f"{key} {_short(before.get(key))}, now {_short(now[key])}" for key in changed[:3])
        raise TrainingFailed(
            f"{work}: holds a training of another plan ({told}); give the same options to go on with it, "
            "--restart to begin anew, or another --work"
        )


def _short(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 60 else f"{text[:57]}…"
