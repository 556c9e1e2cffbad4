"""Messages as the code makes them against their published schemas, and against the models, which know no other key."""

import dataclasses
import json
from collections.abc import Iterator
from typing import Any

import jsonschema
import pytest
from pydantic import TypeAdapter, ValidationError

from appliance.contracts.catalogue import CONTRACTS, differing_files, packaged_directory, write_files
from appliance.messages import (
    ClockSource,
    Defect,
    Finding,
    Outcome,
    Part,
    Reason,
    Trigger,
    TriggerFlag,
    VerdictWord,
    View,
    encode,
    inspection_record,
    late_finding_record,
    range_record,
    verdict_message,
)

NOW_NS = 5_000_000_000_000
SHA = "0" * 64
DEFECT = Defect("spur", 0.93, (1.5, 2.0, 30.0, 41.25), "burr")
TRIGGER = Trigger(
    trigger_id=7,
    exposed_ns=NOW_NS,
    frame_id=8,
    device_timestamp_ns=2**60,
    encoder_count=99,
    received_after_us=1500,
    clock_source=ClockSource.MIN_DELAY,
    clock_uncertainty_us=40,
    stream_epoch=3,
    width=640,
    height=480,
    flags=TriggerFlag.COUNTED | TriggerFlag.SIMULATED,
)
FINDING = Finding(
    "cam0",
    7,
    VerdictWord.NG,
    defects=(DEFECT,),
    near_misses=(dataclasses.replace(DEFECT, defect_code=None),),
    region_px=(0, 0, 640, 480),
    stage_ms={"inference": 9.5},
)
LATE = Finding("cam0", 7, VerdictWord.UNKNOWN, Reason.IMAGE_INVALID, detail="mean grey 2.0 < 20")


def outcome(*views: View, verdict: VerdictWord, reason: Reason = Reason.NONE, **changes: Any) -> Outcome:
    known = {"model": {"name": "tiny", "sha256": SHA}, "recipe": {"name": "tabs", "version": 3, "sha256": SHA}}
    return Outcome(
        line="line1",
        station="tabs",
        ledger_epoch="0123456789abcdef",
        verdict_seq=11,
        inspection_id=12,
        views=views,
        verdict=verdict,
        reason=reason,
        decided_ns=NOW_NS + 30_000_000,
        deadline_ns=NOW_NS + 80_000_000,
        **{**known, **changes},
    )


OUTCOMES = {
    "ng": outcome(View("cam0", TRIGGER, FINDING), verdict=VerdictWord.NG),
    "ok, announced part, two views": outcome(
        View("cam0", TRIGGER, Finding("cam0", 7, VerdictWord.OK), name="left"),
        View("cam1", TRIGGER, Finding("cam1", 7, VerdictWord.OK, view="right"), name="right"),
        verdict=VerdictWord.OK,
        part=Part("P-1", "lot 7", "job", "lane 2"),
    ),
    "lost frame": outcome(
        View("cam0", Trigger(7, NOW_NS, reason=Reason.LOST_FRAME)),
        verdict=VerdictWord.UNKNOWN,
        reason=Reason.LOST_FRAME,
        model=None,
        recipe=None,
    ),
    "one view is missing": outcome(
        View("cam0", TRIGGER, FINDING), View("cam1", TRIGGER), verdict=VerdictWord.UNKNOWN, reason=Reason.LATE
    ),
}
PLACE = {"line": "line1", "station": "tabs", "ledger_epoch": "e", "is_simulated": True}
AT = "2026-01-31T09:30:00.123456Z"
STORED = {
    "camera": "cam0", "view": "whole", "path": "reject/20260131/09/e-12-cam0.whole.png", "format": "png", "width": 640,
    "height": 480, "pixel_format": "Mono8", "bytes": 1234, "sha256": SHA, "thumbnail": None,
}  # fmt: skip


def messages() -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Give (contract, case, message)."""
    for case, each in OUTCOMES.items():
        message = verdict_message(each)
        yield "verdict", case, message
        journalled = {"epoch": "j", "seq": 5}
        for was_sent in (True, False):
            record = inspection_record(each, message, was_sent=was_sent, is_recovered=not was_sent) | journalled
            yield "record", f"{case}, sent: {was_sent}", record
        image = {"views": [STORED], "missing": [{"camera": "cam1", "view": "right", "why": "frame had gone"}]}
        yield "record", f"{case}, images", record | {"image": image}
    for finding in (FINDING, LATE):
        record = late_finding_record(finding, recorded_at=AT, **PLACE)
        yield "record", f"late {finding.verdict.name}", record | journalled
    for kind in ("unrecorded", "lost_range"):
        record = range_record(
            kind, camera="cam0", first_trigger_id=1, last_trigger_id=9, detail="power loss", recorded_at=AT, **PLACE
        )
        yield "record", kind, record | journalled


CASES = [pytest.param(name, message, id=f"{name}: {case}") for name, case, message in messages()]


def published(name: str) -> jsonschema.Draft202012Validator:
    schema = json.loads((packaged_directory() / f"{name}.json").read_text(encoding="utf-8"))
    return jsonschema.Draft202012Validator(schema, format_checker=jsonschema.FormatChecker())


def paths(part: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], dict[str, Any]]]:
    """Find every JSON object inside a message that has fixed keys."""
    if isinstance(part, dict) and path[-1:] != ("stage_ms",):
        yield path, part
    for key, value in part.items() if isinstance(part, dict) else enumerate(part) if isinstance(part, list) else ():
        yield from paths(value, (*path, str(key)))


@pytest.mark.parametrize(("name", "message"), CASES)
def test_a_message_is_as_its_schema_says(name: str, message: dict[str, Any]) -> None:
    encoded = encode(message)
    published(name).validate(json.loads(encoded))
    TypeAdapter(CONTRACTS[name].kind).validate_json(encoded)


@pytest.mark.parametrize(("name", "message"), CASES)
def test_a_key_more_or_less_anywhere_would_be_noticed(name: str, message: dict[str, Any]) -> None:
    """A receiver lets new keys pass, the model doesn't; a missing key fails both."""
    kind, schema = TypeAdapter(CONTRACTS[name].kind), published(name)
    plain = json.loads(encode(message))
    for _, found in paths(plain):
        found["surprise"] = 1
        with pytest.raises(ValidationError, match="surprise"):
            kind.validate_json(encode(plain))
        schema.validate(plain)
        del found["surprise"]
        for key in list(found):
            value = found.pop(key)
            with pytest.raises(ValidationError):
                kind.validate_json(encode(plain))
            assert not schema.is_valid(plain), key
            found[key] = value


@pytest.mark.parametrize("name", CONTRACTS)
def test_every_schema_is_a_schema_and_says_what_each_key_means(name: str) -> None:
    schema = published(name).schema
    jsonschema.Draft202012Validator.check_schema(schema)
    for definition in (schema, *schema.get("$defs", {}).values()):
        assert definition["description"]
        for key, description in definition.get("properties", {}).items():
            assert description.get("description"), f"{name}: {key}"


def test_the_files_in_the_package_are_what_the_code_says() -> None:
    assert differing_files(packaged_directory()) == [], "run `appliance schemas --out appliance/contracts`"


def test_files_that_differ_are_named(tmp_path: Any) -> None:
    write_files(tmp_path)
    assert differing_files(tmp_path) == []
    (tmp_path / "verdict.json").write_text("{}")
    (tmp_path / "stranger.json").write_text("{}")
    (tmp_path / "heartbeat.json").unlink()
    assert differing_files(tmp_path) == ["heartbeat.json", "stranger.json", "verdict.json"]
