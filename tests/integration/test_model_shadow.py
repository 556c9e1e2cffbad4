"""A second model sees the same frames: what it says is stored, and no verdict depends on it."""

import os
import signal
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from appliance.config import load_recipe, recipe_reference
from appliance.records.shadow_report import shadow_report
from appliance.ring.slots import SAMPLER_QUOTA
from appliance.rollout import ShadowChoice, write_shadows
from appliance.rollout.choices import ChosenModel
from appliance.tally.spool import SHADOW
from appliance.testing.model_stand import ModelStand

pytestmark = pytest.mark.timeout(360)  # many processes are started and waited for

DARK = 90
"""The watching model gives NaN for frames that are darker; parts have 40 to 103."""


@pytest.fixture
def stand(tmp_path: Path) -> Iterator[ModelStand]:
    models = {"one": {}, "two": {"nan_below": float(DARK)}}
    with ModelStand(tmp_path, models=models) as stand:
        chosen = ChosenModel.of(stand.ref("two"))
        write_shadows(stand.config.state_dir, {"a": ShadowChoice(model=chosen, since=datetime.now(UTC), by="test")})
        stand.start("shadow")
        yield stand


def test_both_models_findings_are_stored_and_the_report_says_where_they_differ(stand: ModelStand) -> None:
    stand.is_running = True
    stand.until(lambda: len({one["verdict"] for one in stand.records(SHADOW)}) == 2)
    stand.drain()
    stand.assert_each_trigger_has_one_verdict()
    shadows = stand.records(SHADOW)
    reference = recipe_reference(stand.config.recipe, load_recipe(stand.config.recipe))
    assert {one["kind"] for one in shadows} == {"shadow_finding"}
    assert {one["model"]["name"] for one in shadows} == {"two"}
    assert all(one["recipe"] == reference for one in shadows)
    assert {verdict["model"]["name"] for verdict in stand.verdicts if verdict["model"]} == {"one"}
    inspections = [one | {"seq": number} for number, one in enumerate(stand.records()) if one["kind"] == "inspection"]
    report = shadow_report([*shadows, *inspections]).to_json(limit=1000)
    (pair,) = report["pairs"]
    assert (pair["active"].split()[0], pair["shadow"].split()[0]) == ("one", "two")
    assert pair["compared"] == pair["table"]["NG"]["NG"] + pair["table"]["NG"]["UNKNOWN"]
    assert pair["compared"] - pair["agree"] == report["disagreement_count"] == pair["table"]["NG"]["UNKNOWN"] > 0
    assert {one["shadow"]["reason"] for one in report["disagreements"]} == {"model_error"}
    assert {one["active"]["defects"][0]["class_name"] for one in report["disagreements"]} == {"bright"}


def test_a_stopped_shadow_costs_no_verdict(stand: ModelStand) -> None:
    stand.is_running = True
    stand.until(lambda: len(stand.records(SHADOW)) > 2)
    process = stand.processes["shadow"]
    os.kill(process.pid, signal.SIGSTOP)
    try:
        stand.parts(60)  # more than the ring has slots
        stand.drain()
        stand.until(lambda: stand.rings["cam0"].leased <= SAMPLER_QUOTA)
    finally:
        os.kill(process.pid, signal.SIGCONT)
    stand.assert_each_trigger_has_one_verdict()


def test_the_shadow_ends_when_none_is_set(stand: ModelStand) -> None:
    stand.is_running = True
    stand.until(lambda: stand.records(SHADOW))
    write_shadows(stand.config.state_dir, {})
    stand.until(lambda: stand.processes["shadow"].poll() is not None)
    assert stand.processes["shadow"].returncode == 0
    stand.drain()
    stand.until(lambda: stand.rings["cam0"].leased == 0)
