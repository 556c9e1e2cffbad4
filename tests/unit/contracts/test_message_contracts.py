"""Messages as the code makes them against their published schemas, and against the models, which know no other key."""

import dataclasses
import functools
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from pydantic import TypeAdapter, ValidationError

from appliance.contracts.catalogue import CONTRACTS, differing_files, packaged_directory, write_files
from appliance.contracts.line_state import LineCounters
from appliance.learning.drift.alarms import AlarmBook
from appliance.learning.drift.comparison import Comparison
from appliance.messages import (
    ClockSource,
    Defect,
    Finding,
    FrameEvidence,
    ModelIdentity,
    Outcome,
    Part,
    Reason,
    Trigger,
    TriggerFlag,
    VerdictWord,
    View,
    drift_event_record,
    encode,
    inspection_record,
    late_finding_record,
    model_event_record,
    range_record,
    shadow_finding_record,
    verdict_message,
)
from appliance.messages.control import ControlStatus, control_reply, parse_request
from appliance.messages.line import LineError, LineStatus, line_message
from appliance.wire.replay import (
    Acked,
    Answer,
    BadEpoch,
    Gone,
    JournalHead,
    Refused,
    Rows,
    encode_answer,
)
from appliance.wire.replay import parse_request as parse_replay_request
from appliance.wire.requests import Peer

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
    evidence=FrameEvidence(mean_grey=120.5, saturated_fraction=0.01, sharpness=3.2),
)
DRIFTS = [
    [
        Comparison("brightness", "training", "outside_share", value, 0.2, 40.0, 120.0, 500, 300),
        Comparison("score", "last_week", "distance", value, 0.3, 0.4, 0.0, 500, 9000),
        Comparison("ng_rate", "last_week", "difference", value / 10, 0.02, 0.09, 0.01, 500, 9000),
    ]
    for value in (0.8, 0.1)
]
NOT_IN_OLDER_ROWS = {"evidence"}
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
PICTURE = {"seq": 4, "captured_at": AT, "verdict": "OK", "value": 31.5, "path": None}
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
    recipe, model = {"name": "tabs", "version": 3, "sha256": SHA}, ModelIdentity("m", SHA, SHA)
    shadow = shadow_finding_record(dataclasses.replace(FINDING, model=model), recipe=recipe, recorded_at=AT, **PLACE)
    yield "record", "shadow finding", shadow | journalled
    for event, follows in (("activated", model.reference), ("failed", None)):
        record = model_event_record(
            event=event,
            event_id=7,
            recipe=recipe,
            old_model=model.reference,
            model=follows,
            by="root, pid 1",
            detail="",
            effective_at=AT,
            recorded_at=AT,
            **PLACE,
        )
        yield "record", f"model {event}", record | journalled
    book = AlarmBook(Path("/nowhere"), clear_at=0.7)
    for comparisons in DRIFTS:
        told = {"recipe": recipe, "model": model.reference, "now": AT, "pictures": lambda _: ([PICTURE], [PICTURE])}
        for event in book.judge(("tabs", "cam0", "whole"), comparisons, **told):
            record = drift_event_record(
                event=event.event, event_id=event.event_id, alarm=event.alarm, recorded_at=AT, **PLACE
            )
            yield "record", f"drift {event.event} {event.alarm['signal']}", record | journalled
    line = LineStatus(
        ready=False,
        not_ready_because=("the inspector isn't connected",),
        stop_requested=False,
        trigger_acknowledged=True,
        result_valid=False,
        result_acknowledged=False,
        overrun=False,
        error_id=LineError.INSPECTOR_MISSING,
    )
    state = line_message(
        line,
        line="line1",
        station="tabs",
        at_ns=NOW_NS,
        counters=dict.fromkeys(LineCounters.model_fields, 3),
        ledger_epoch="e",
        verdict_seq=4,
        controller_count=None,
        our_count=7,
        recipe={"name": "tabs", "version": 3, "sha256": SHA},
        is_simulated=False,
    )
    yield "line_state", "not ready", state
    for kind in ("unrecorded", "lost_range"):
        record = range_record(
            kind, camera="cam0", first_trigger_id=1, last_trigger_id=9, detail="power loss", recorded_at=AT, **PLACE
        )
        yield "record", kind, record | journalled


CASES = [pytest.param(name, message, id=f"{name}: {case}") for name, case, message in messages()]


@functools.cache
def published(name: str) -> jsonschema.Draft202012Validator:
    schema = json.loads((packaged_directory() / f"{name}.json").read_text(encoding="utf-8"))
    return jsonschema.Draft202012Validator(schema, format_checker=jsonschema.FormatChecker())


@functools.cache
def model_of(name: str) -> TypeAdapter[Any]:
    return TypeAdapter(CONTRACTS[name].kind)


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
    model_of(name).validate_json(encoded)


@pytest.mark.parametrize(("name", "message"), CASES)
def test_a_key_more_or_less_anywhere_would_be_noticed(name: str, message: dict[str, Any]) -> None:
    """A receiver lets new keys pass, the model doesn't; a missing key fails both, but where old rows lack it."""
    kind, schema = model_of(name), published(name)
    plain = json.loads(encode(message))
    for _, found in paths(plain):
        found["surprise"] = 1
        with pytest.raises(ValidationError, match="surprise"):
            kind.validate_json(encode(plain))
        schema.validate(plain)
        del found["surprise"]
        for key in list(found):
            value = found.pop(key)
            if key not in NOT_IN_OLDER_ROWS:
                with pytest.raises(ValidationError):
                    kind.validate_json(encode(plain))
                assert not schema.is_valid(plain), key
            found[key] = value


@pytest.mark.parametrize("name", CONTRACTS)
def test_every_schema_is_a_schema_and_says_what_each_key_means(name: str) -> None:
    schema = published(name).schema
    jsonschema.Draft202012Validator.check_schema(schema)
    assert schema["description"]
    for definition in (schema, *schema.get("$defs", {}).values()) if CONTRACTS[name].is_ours else ():
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


CONTROL_REQUESTS = [
    {"request": "part.set", "bind": {"trigger": {"camera": "cam0", "trigger_id": 7}}, "part_id": "P-1", "lot": "L"},
    {"request": "part.set", "bind": {"encoder": {"camera": "cam0", "count": 7}}, "part_id": "P-1", "id": "x"},
    {"request": "recipe.select", "from": {"controller_count": 7}, "recipe": "tabs", "id": 3},
    {"request": "line.count", "controller_count": 7},
    {"request": "line.resync", "controller_count": 7, "bind": {"controller_count": 7}},
    {"request": "line.release"},
    {"request": "result.ack", "verdict_seq": 3},
    {"request": "line.state", "id": None},
]
NO_CONTROL_REQUESTS = [
    {},
    {"request": "line.stop"},
    {"request": "line.count"},
    {"request": "line.count", "controller_count": -1},
    {"request": "line.count", "controller_count": 1, "surprise": 1},
    {"request": "part.set", "part_id": "P-1"},
    {"request": "part.set", "bind": {"trigger": {"camera": "../cam0", "trigger_id": 7}}, "part_id": "P-1"},
]


@pytest.mark.parametrize("request_", CONTROL_REQUESTS, ids=lambda request: str(request["request"]))
def test_what_the_appliance_takes_as_a_request_is_described(request_: dict[str, Any]) -> None:
    parse_request(request_)
    published("control_request").validate(request_)


@pytest.mark.parametrize("request_", NO_CONTROL_REQUESTS)
def test_what_it_refuses_is_refused_by_the_schema_too(request_: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"expected|field|Input|required|valid|got"):
        parse_request(request_)
    assert not published("control_request").is_valid(request_)


@pytest.mark.parametrize("status", ControlStatus)
def test_control_replies_are_described(status: ControlStatus) -> None:
    for more in ({}, {"our_count": -3}, {"inspection_id": None}):
        reply = control_reply(None, status, "told", **more)
        published("control_reply").validate(reply)
        model_of("control_reply").validate_json(encode(reply))


REPLAY_REQUESTS = (["GET", "e1", "1", "500"], ["ACK", "mes", "e1", "0"], ["HEAD"])
NO_REPLAY_REQUESTS = (
    [], ["GET"], ["GET", "e1", "1"], ["GET", "e1", "01", "5"], ["GET", "e 1", "1", "5"], ["HEAD", ""], ["head"],
    ["ACK", "", "e1", "1"], ["ACK", "mes", "e1", "1", "1"], ["ACK", "m" * 65, "e1", "1"],
)  # fmt: skip


@pytest.mark.parametrize("frames", REPLAY_REQUESTS)
def test_replay_requests_are_described(frames: list[str]) -> None:
    parse_replay_request(Peer(()), [frame.encode() for frame in frames])
    published("replay_request").validate(frames)


@pytest.mark.parametrize("frames", NO_REPLAY_REQUESTS)
def test_what_replay_refuses_is_refused_by_the_schema_too(frames: list[str]) -> None:
    with pytest.raises(ValueError, match=r"expected|field|Input|required|valid|got"):
        parse_replay_request(Peer(()), [frame.encode() for frame in frames])
    assert not published("replay_request").is_valid(frames)


@pytest.mark.parametrize(
    "answer",
    [
        Rows("e1", 9, []),
        Rows("e1", 9, [(8, b"{}"), (9, b"{}")]),
        Gone(3),
        BadEpoch("e2"),
        Acked("mes", 7),
        JournalHead("e1", 0, 0),
        Refused("no"),
    ],
)
def test_replay_answers_are_described(answer: Answer) -> None:
    frames = [frame.decode() for frame in encode_answer(answer)]
    published("replay_reply").validate(frames)
    assert not published("replay_reply").is_valid(["?", *frames[1:]])
