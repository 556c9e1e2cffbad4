"""Everything that decides what a training run does; the same plan on the same machine gives the same network."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from appliance.errors import DatasetError

NMS_IOU = 0.5
"""Largest overlap of two detections of a class: in the checks on the way, and in the bundle."""

_PLACES = frozenset({"threads", "device", "work", "dataset", "file_format", "train_split", "val_split"})


@dataclass(frozen=True)
class Variation:
    """How pictures are varied so that few of them teach much.

    Attributes:
        turns: Quarter turns; flips: mirror images. Off where a part always lies the same way and that matters.
        zoom_share: Of the pictures, how many are scaled, by `least_zoom` to `most_zoom`.
        light_share: Of the pictures, how many get another black level and gain, blur and noise.
        heal_share: Of the defective pictures with a clean twin, how many lose some of their defects to it.
        mosaic_share: Of the pictures, how many are put together from four.
        negative_share: Of the pictures, how many are inverted; `negative_classes` says what each class becomes then.
        drawn_share: Of the pictures, how many are boards drawn by `appliance.learning.boards`.
        marked_share: Of the pictures, how many get up to `most_marks` further defects drawn on them.
        lure_share: Of the cuttings of good parts, how many are of parts on which the network saw a
            defect at the last check, and show that place.
        lean_px: How much wider the set's boxes are to the left and top than to the right and bottom.
    """

    turns: bool = True
    flips: bool = True
    zoom_share: float = 0.5
    least_zoom: float = 0.75
    most_zoom: float = 1.4
    light_share: float = 0.4
    heal_share: float = 0.5
    mosaic_share: float = 0.0
    negative_share: float = 0.0
    negative_classes: tuple[int, ...] = ()
    drawn_share: float = 0.0
    marked_share: float = 0.0
    most_marks: int = 4
    lure_share: float = 0.0
    lean_px: float = 0.0


@dataclass(frozen=True)
class Plan:
    """One training run.

    Attributes:
        dataset: Labelled images, in any format that `read_dataset` knows; file_format "auto" looks at them.
        train_split, val_split: Names of the splits.
        class_names: In the order of the network's outputs.
        network: A key of `appliance.learning.training.networks.NETWORKS`.
        width_px, height_px: The network's input; frames of another size are fitted into it, padded with `pad_value`.
        cut_epochs: Epochs on cuttings of `cut_px` around defects (many defects a second).
        frame_epochs: Epochs on whole frames (what the appliance will see, nearly all of it background).
        cuts_in_epoch, frames_in_epoch: How many pictures an epoch looks at; 0: each part's once.
        patience_checks: End early after so many checks without a better network; 0: never.
        threads: Of PyTorch. device: "cpu", "cuda", or "auto".
        work: Folder for checkpoint, curve and result.
        anchors: Width and height in px of each anchor, for networks that have some; empty: those they were published
            with.
    """

    dataset: str
    class_names: tuple[str, ...]
    width_px: int
    height_px: int
    work: str
    file_format: str = "auto"
    train_split: str = "train"
    val_split: str = "val"
    network: str = "nano"
    pad_value: int = 114
    cut_epochs: int = 40
    frame_epochs: int = 8
    cut_px: int = 192
    cuts_in_batch: int = 64
    frames_in_batch: int = 8
    cuts_in_epoch: int = 0
    frames_in_epoch: int = 0
    seed: int = 7
    threads: int = 2
    device: str = "auto"
    learning_rate: float = 3e-3
    weight_decay: float = 0.05
    warm_up_steps: int = 100
    average_decay: float = 0.998
    check_every_epochs: int = 4
    patience_checks: int = 0
    anchors: tuple[tuple[float, float], ...] = ()
    variation: Variation = field(default_factory=Variation)

    @property
    def epochs(self) -> int:
        """Epochs of both kinds."""
        return self.cut_epochs + self.frame_epochs

    @property
    def work_folder(self) -> Path:
        """Where checkpoint, curve and result lie."""
        return Path(self.work)

    @property
    def identity(self) -> dict[str, Any]:
        """What a run must share with the one it goes on from: all but where it runs and where its images are read."""
        return {name: value for name, value in self.as_dict().items() if name not in _PLACES}

    def as_dict(self) -> dict[str, Any]:
        """Return what JSON can say of it; `from_dict` reads it back."""
        values: dict[str, Any] = json.loads(json.dumps(dataclasses.asdict(self)))
        return values

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Plan:
        """Read what `as_dict` wrote.

        Raises:
            DatasetError: A field is missing or unknown.
        """
        known = dict(values)
        try:
            variation = {**known.pop("variation", {})}
            variation["negative_classes"] = tuple(variation.get("negative_classes", ()))
            known["class_names"] = tuple(known["class_names"])
            known["anchors"] = tuple(tuple(anchor) for anchor in known.get("anchors", ()))
            return cls(**known, variation=Variation(**variation))
        except (KeyError, TypeError) as error:
            raise DatasetError(f"training plan: {error}; expected the fields that `appliance train` writes") from error
