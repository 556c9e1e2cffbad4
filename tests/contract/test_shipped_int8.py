"""The INT8 bundle that is shipped belongs to the float one, and finds here what it found where it was made."""

import re
from pathlib import Path
from statistics import median

import pytest

from appliance.modelling import load_bundle
from appliance.modelling.detector import Detector
from appliance.modelling.gate.golden import check_golden
from appliance.modelling.quantise import read_calibration_set

ROOT = Path(__file__).parents[2]
DOT_PRODUCTS = ("avx512_vnni", "avx_vnni", "asimddp")
"""Processor flags: 8-bit dot products that can't overflow. Others compute otherwise, and the gate says so."""


def test_it_was_made_of_the_shipped_float_model_with_the_shipped_images():
    made, source = (load_bundle(ROOT / "models" / name) for name in ("deeppcb-nano-int8", "deeppcb-nano"))
    assert made.source is not None
    assert made.source.sha256 == source.sha256
    assert made.quantisation is not None
    assert made.metrics["val"].groups == ("44000",)
    assert made.metrics["test"].groups == ("50600",)
    calibration = read_calibration_set(ROOT / "calibration/int8/deeppcb")
    assert made.quantisation["calibration"]["sha256"] == calibration.sha256
    assert source.training is not None
    assert {Path(name).name[:5] for name in calibration.manifest.files} <= set(source.training.groups["train"])


def test_its_figures_are_within_the_budget_and_it_is_twice_as_fast_on_one_thread():
    told = load_bundle(ROOT / "models/deeppcb-nano-int8").quantisation
    assert told is not None
    assert told["before"]["map50"] - told["after"]["map50"] <= told["budget"]["max_map_drop"] / 100
    assert median(row["before_ms"] / row["after_ms"] for row in told["speed"] if row["threads"] == 1) >= 2.0


def test_its_golden_images_give_what_they_gave():
    flags = Path("/proc/cpuinfo").read_text().split()
    if not any(flag in flags for flag in DOT_PRODUCTS):
        pytest.skip(f"this processor has none of {', '.join(DOT_PRODUCTS)}")
    told = check_golden(Detector(load_bundle(ROOT / "models/deeppcb-nano-int8")))
    assert re.match(r"4 images, [1-9]\d* detections found again", told), told
