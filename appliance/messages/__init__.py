"""What the processes tell each other and the world: triggers, findings, verdicts."""

from appliance.messages.finding import Defect, Finding
from appliance.messages.image import BYTES_PER_PIXEL, FrameGeometry
from appliance.messages.reason import ClockSource, Reason, VerdictWord
from appliance.messages.trigger import TRIGGER_BYTES, Trigger, TriggerFlag
from appliance.messages.verdict import SCHEMA_VERSION, View, verdict_message, verdict_topic

__all__ = [
    "BYTES_PER_PIXEL",
    "SCHEMA_VERSION",
    "TRIGGER_BYTES",
    "ClockSource",
    "Defect",
    "Finding",
    "FrameGeometry",
    "Reason",
    "Trigger",
    "TriggerFlag",
    "VerdictWord",
    "View",
    "verdict_message",
    "verdict_topic",
]
