"""What another program uses to follow an appliance: verdicts at once, results without loss, and control requests."""

from appliance.client.items import Cursor, JournalRecreated, RangeLost, Result, StreamItem

__all__ = ["Cursor", "JournalRecreated", "RangeLost", "Result", "StreamItem"]
