"""What the processes tell each other and the world: triggers, findings, verdicts, records."""

from appliance.messages.finding import DEFAULT_VIEW, Defect, Finding, FrameEvidence, Measurement
from appliance.messages.image import BYTES_PER_PIXEL, FrameGeometry
from appliance.messages.model import ModelIdentity, ModelRef
from appliance.messages.outcome import Outcome, Part, View
from appliance.messages.reason import ClockSource, Reason, VerdictWord
from appliance.messages.record import (
    drift_event_record,
    inspection_record,
    late_finding_record,
    model_event_record,
    range_record,
    result_topic,
    shadow_finding_record,
)
from appliance.messages.trigger import TRIGGER_BYTES, Trigger, TriggerFlag
from appliance.messages.verdict import SCHEMA_VERSION, encode, verdict_message, verdict_topic

__all__ = [
    "BYTES_PER_PIXEL",
    "DEFAULT_VIEW",
    "SCHEMA_VERSION",
    "TRIGGER_BYTES",
    "ClockSource",
    "Defect",
    "Finding",
    "FrameEvidence",
    "FrameGeometry",
    "Measurement",
    "ModelIdentity",
    "ModelRef",
    "Outcome",
    "Part",
    "Reason",
    "Trigger",
    "TriggerFlag",
    "VerdictWord",
    "View",
    "drift_event_record",
    "encode",
    "inspection_record",
    "late_finding_record",
    "model_event_record",
    "range_record",
    "result_topic",
    "shadow_finding_record",
    "verdict_message",
    "verdict_topic",
]
