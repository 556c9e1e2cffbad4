"""Time per part of a model and of rules, turn by turn on the same images in the same run, one thread each."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from appliance.learning.datasets import LabelledImage, read_image
from appliance.learning.rules.method import Rules, grey
from appliance.learning.rules.threads import one_thread
from appliance.modelling import ModelBundle
from appliance.modelling.detector import Detector

MOST_IMAGES = 40


@dataclass(frozen=True)
class Timing:
    """Medians over images; each was judged by both in turn.

    Attributes:
        model_cpu_ms, rules_cpu_ms: CPU time from pixels in memory to boxes.
        model_ms, rules_ms: The same by the clock.
    """

    image_count: int
    model_cpu_ms: float
    rules_cpu_ms: float
    model_ms: float
    rules_ms: float

    def figures(self) -> dict[str, Any]:
        """Return the JSON form."""
        return {
            "images": self.image_count,
            "threads": 1,
            "model_cpu_ms": round(self.model_cpu_ms, 3),
            "rules_cpu_ms": round(self.rules_cpu_ms, 3),
            "model_ms": round(self.model_ms, 3),
            "rules_ms": round(self.rules_ms, 3),
        }


def measure_time(bundle: ModelBundle, rules: Rules, images: Sequence[LabelledImage]) -> Timing:
    """Measure both on up to `MOST_IMAGES` of the images, evenly chosen.

    Raises:
        DatasetError, ModelError: As either raises them.
    """
    places = np.unique(np.linspace(0, len(images) - 1, min(len(images), MOST_IMAGES)).round().astype(int))
    detector = Detector(bundle, threads=1, max_batch=1)
    rows = []
    with one_thread():
        for number, place in enumerate([int(places[0]), *places.tolist()]):
            image = images[place]
            pixels, pixel_format = read_image(image.path)
            mono = grey(image.path)
            row = (
                *_timed(lambda p=pixels, f=pixel_format: detector.detect([p], pixel_format=f)),  # type: ignore[misc]
                *_timed(lambda p=mono, i=image: rules.detect(p, i)),  # type: ignore[misc]
            )
            if number:  # the first is a warm-up
                rows.append(row)
    model_cpu, model, rules_cpu, by_rules = np.median(np.array(rows), axis=0).tolist()
    return Timing(len(rows), model_cpu, rules_cpu, model, by_rules)


def _timed(work: Callable[[], object]) -> tuple[float, float]:
    """Return ms of CPU and ms by the clock."""
    cpu, clock = time.process_time_ns(), time.monotonic_ns()
    work()
    return (time.process_time_ns() - cpu) / 1e6, (time.monotonic_ns() - clock) / 1e6
