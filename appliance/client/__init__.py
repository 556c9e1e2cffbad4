"""What another program uses to follow an appliance: verdicts at once, results without loss, and control requests."""

from appliance.client.async_result_client import AsyncResultClient
from appliance.client.control_client import ControlClient, ControlReply, at_count, at_encoder, at_trigger
from appliance.client.items import Cursor, JournalRecreated, RangeLost, Result, StreamItem
from appliance.client.result_client import ResultClient
from appliance.client.verdict import LaneMessage, LineState, Verdict
from appliance.client.verdict_client import AsyncVerdictClient, VerdictClient
from appliance.wire.client_keys import ClientKeys

__all__ = [
    "AsyncResultClient",
    "AsyncVerdictClient",
    "ClientKeys",
    "ControlClient",
    "ControlReply",
    "Cursor",
    "JournalRecreated",
    "LaneMessage",
    "LineState",
    "RangeLost",
    "Result",
    "ResultClient",
    "StreamItem",
    "Verdict",
    "VerdictClient",
    "at_count",
    "at_encoder",
    "at_trigger",
]
