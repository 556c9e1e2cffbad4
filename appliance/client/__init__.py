"""What another program uses to follow an appliance: verdicts at once, results without loss, and control requests."""

from appliance.client.async_result_client import AsyncResultClient
from appliance.client.items import Cursor, JournalRecreated, RangeLost, Result, StreamItem
from appliance.client.result_client import ResultClient

__all__ = ["AsyncResultClient", "Cursor", "JournalRecreated", "RangeLost", "Result", "ResultClient", "StreamItem"]
