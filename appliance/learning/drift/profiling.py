"""Make a profile of training pictures, and put it into a bundle. Needs numpy and OpenCV, not torch."""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from appliance.errors import DatasetError, ModelError
from appliance.inspection.evidence import measure
from appliance.learning.datasets import Dataset, read_image
from appliance.learning.drift.profile import PROFILE_FILE, Profile
from appliance.learning.drift.scale import Histogram, plain
from appliance.learning.drift.signals import LIGHT, SCALES, SCORE
from appliance.learning.evaluation.detecting import LOWEST_SCORE, Progress, detect_all
from appliance.modelling import ModelBundle
from appliance.modelling.bundle_files import load_bundle
from appliance.modelling.bundle_writer import write_bundle
from appliance.modelling.detector import Detector
from appliance.modelling.pixels import Pixels
from appliance.modelling.quantise.trial import contract_of


def profile_of(
    pixels: Iterable[Pixels], best_scores: Iterable[float], *, made_from: str, pixel_format: str = "Mono8"
) -> Profile:
    """Say what pictures are like, measured as the inspector measures each frame.

    Args:
        pixels: Training pictures as the camera gives them, before any augmentation or resizing: (H, W) uint8, or as
            `measure` takes them. One at a time; none is kept.
        best_scores: Of the good pictures among them, in any order: the highest score of anything that the model finds;
            0 where it finds nothing.
        made_from: The pictures, in words.
        pixel_format: PFNC name of `pixels`.
    Raises:
        DatasetError: There are no pictures.
    """
    return _profile(((one, pixel_format) for one in pixels), best_scores, made_from)


def profile_of_dataset(detector: Detector, dataset: Dataset, progress: Progress | None = None) -> Profile:
    """Measure the pictures of a labelled set, and let a model look at the good ones.

    Raises:
        DatasetError: An image can't be read.
        ModelError: The model failed.
    """
    good = [image for image in dataset.images if image.is_ok]
    found, _ = detect_all(detector, good, LOWEST_SCORE, progress) if good else ([], [])
    scores = [float(one.scores.max()) if len(one.scores) else 0.0 for one in found]
    split = f", split {dataset.split}" if dataset.split else ""
    made_from = f"{dataset.folder.name}{split}: {len(dataset.images)} pictures, {len(good)} of them good"
    return _profile((read_image(image.path) for image in dataset.images), scores, made_from)


def _profile(pictures: Iterable[tuple[Pixels, str]], best_scores: Iterable[float], made_from: str) -> Profile:
    histograms: dict[str, Histogram] = {name: Counter() for name in SCALES}
    count = 0
    for pixels, pixel_format in pictures:
        evidence = measure(pixels, pixel_format)
        for name, key in LIGHT.items():
            histograms[name][SCALES[name].bin_of(float(getattr(evidence, key)))] += 1
        count += 1
    if not count:
        raise DatasetError("a profile needs pictures, got none")
    for score in best_scores:
        histograms[SCORE][SCALES[SCORE].bin_of(score)] += 1
    return Profile(
        made_from=made_from,
        pictures=count,
        good_pictures=histograms[SCORE].total(),
        brightness=plain(histograms["brightness"]),
        saturation=plain(histograms["saturation"]),
        sharpness=plain(histograms["sharpness"]),
        score=plain(histograms[SCORE]),
    )


def write_profile(folder: Path, profile: Profile) -> None:
    """Put the file into a folder that `write_bundle` is about to make a bundle of."""
    (folder / PROFILE_FILE).write_text(profile.model_dump_json(indent=1) + "\n", encoding="utf-8")


def add_profile(folder: Path, profile: Profile) -> ModelBundle:
    """Give a bundle a profile, in place of the one it may have: its network stays, its identity becomes another.

    The new bundle is made beside the old one and takes its place when it is whole.

    Raises:
        ModelError: The bundle is broken, or its folder can't be written.
    """
    bundle = load_bundle(folder)
    part, old = (folder.with_name(f".{folder.name}.{word}") for word in ("part", "old"))
    try:
        for leftover in (part, old):
            shutil.rmtree(leftover, ignore_errors=True)
        shutil.copytree(folder, part)
        write_profile(part, profile)
        write_bundle(part, contract_of(bundle))
        folder.rename(old)
        part.rename(folder)
        shutil.rmtree(old)
    except OSError as error:
        raise ModelError(f"model bundle {folder}: can't be written: {error.strerror}; check its rights") from error
    finally:
        shutil.rmtree(part, ignore_errors=True)
    return load_bundle(folder)
