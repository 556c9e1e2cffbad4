import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.messages import (
    ClockSource,
    Defect,
    Finding,
    Outcome,
    Reason,
    Trigger,
    TriggerFlag,
    VerdictWord,
    View,
    encode,
    verdict_message,
    verdict_topic,
)

u64 = st.integers(0, 2**63 - 1)
triggers = st.builds(
    Trigger,
    trigger_id=u64,
    exposed_ns=u64,
    frame_id=u64,
    device_timestamp_ns=u64,
    encoder_count=u64,
    received_after_us=st.integers(0, 2**32 - 1),
    clock_source=st.sampled_from(list(ClockSource)),
    clock_uncertainty_us=st.integers(0, 2**32 - 1),
    stream_epoch=st.integers(0, 2**32 - 1),
    width=st.integers(0, 65535),
    height=st.integers(0, 65535),
    flags=st.sampled_from([TriggerFlag(0), TriggerFlag.SIMULATED, TriggerFlag.SIMULATED | TriggerFlag.COUNTED]),
    reason=st.sampled_from(list(Reason)),
)


@given(triggers)
def test_a_trigger_survives_its_64_bytes(trigger: Trigger) -> None:
    record = trigger.pack()
    assert len(record) == 64
    assert Trigger.unpack(record) == trigger


@given(triggers, st.integers(0, 511))
def test_any_flipped_bit_of_a_trigger_is_noticed(trigger: Trigger, bit: int) -> None:
    record = bytearray(trigger.pack())
    record[bit // 8] ^= 1 << bit % 8
    assert Trigger.unpack(bytes(record)) is None


FINDING = Finding(
    "cam0",
    7,
    VerdictWord.NG,
    defects=(Defect("spur", 0.93, (1.5, 2.0, 30.0, 41.25), "burr"),),
    region_px=(0, 0, 640, 640),
    stage_ms={"inference": 9.5},
)


def test_a_finding_survives_the_way_to_the_publisher() -> None:
    assert Finding.decode(FINDING.encode()) == FINDING


@pytest.mark.parametrize("message", [b"", b"{}", b"[]", b'{"verdict":1}', b"\xff\xfe"])
def test_garbage_is_not_a_finding(message: bytes) -> None:
    with pytest.raises(ValueError, match="not a finding"):
        Finding.decode(message)


def message_for(trigger: Trigger, finding: Finding | None, verdict: VerdictWord, reason: Reason) -> dict[str, object]:
    outcome = Outcome(
        line="line1",
        station="tabs",
        ledger_epoch="0123456789abcdef",
        verdict_seq=11,
        inspection_id=12,
        views=[View("cam0", trigger, finding)],
        verdict=verdict,
        reason=reason,
        model={"name": "m", "sha256": "00"},
        recipe={"name": "r", "version": 1, "sha256": "11"},
        decided_ns=trigger.exposed_ns + 20_000_000,
        deadline_ns=trigger.exposed_ns + 100_000_000,
    )
    encoded = encode(verdict_message(outcome))
    assert b": " not in encoded
    fields: dict[str, object] = json.loads(encoded)
    return fields


def test_a_verdict_carries_every_field_of_the_contract() -> None:
    trigger = Trigger(7, 10**12, frame_id=9, width=640, height=640, flags=TriggerFlag.SIMULATED)
    fields = message_for(trigger, FINDING, VerdictWord.NG, Reason.NONE)
    assert list(fields) == [
        "schema_version",
        "line",
        "station",
        "ledger_epoch",
        "verdict_seq",
        "inspection_id",
        "part_id",
        "lot",
        "job_id",
        "lane",
        "views",
        "verdict",
        "reason",
        "defects",
        "model",
        "recipe",
        "captured_at",
        "device_timestamp_ns",
        "clock",
        "published_at",
        "deadline_at",
        "stage_ms",
        "is_simulated",
    ]
    assert fields["verdict"] == "NG"
    assert fields["reason"] is None
    assert fields["defects"] == [{"class_name": "spur", "score": 0.93, "box_px": [1.5, 2.0, 30.0, 41.25]}]
    assert fields["is_simulated"] is True
    for name in ("captured_at", "published_at", "deadline_at"):
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", str(fields[name]))


def test_a_trigger_without_frame_says_so() -> None:
    trigger = Trigger(7, 10**12, reason=Reason.LOST_FRAME)
    fields = message_for(trigger, None, VerdictWord.UNKNOWN, Reason.LOST_FRAME)
    assert fields["reason"] == "lost_frame"
    assert fields["views"] == [
        {
            "camera": "cam0",
            "view": "whole",
            "trigger_id": 7,
            "stream_epoch": 0,
            "frame_id": None,
            "region_px": None,
            "encoder_count": None,
        }
    ]


def test_simulated_verdicts_never_share_a_production_topic() -> None:
    assert verdict_topic("l", "s", is_simulated=False) == "verdict.l.s"
    assert verdict_topic("l", "s", is_simulated=True) == "sim.verdict.l.s"
