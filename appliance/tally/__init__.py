"""The tally files: announced and decided triggers, one writer each. Files are the truth, datagrams only wake."""

from appliance.tally.announced import AnnouncedReader, AnnouncedWriter
from appliance.tally.count import TallyCounts, count
from appliance.tally.decided import DecidedReader, DecidedWriter, Decision, Totals
from appliance.tally.ids import IdBlock, ledger_epoch

__all__ = [
    "AnnouncedReader",
    "AnnouncedWriter",
    "DecidedReader",
    "DecidedWriter",
    "Decision",
    "IdBlock",
    "TallyCounts",
    "Totals",
    "count",
    "ledger_epoch",
]
