"""The tally files and the spool, one writer each. Files are the truth, datagrams only wake."""

from appliance.tally.announced import AnnouncedReader, AnnouncedWriter
from appliance.tally.count import TallyCounts, count
from appliance.tally.decided import DecidedReader, DecidedWriter, Decision, Totals
from appliance.tally.ids import IdBlock, ledger_epoch
from appliance.tally.spool import SpoolEntry, SpoolReader, SpoolWriter

__all__ = [
    "AnnouncedReader",
    "AnnouncedWriter",
    "DecidedReader",
    "DecidedWriter",
    "Decision",
    "IdBlock",
    "SpoolEntry",
    "SpoolReader",
    "SpoolWriter",
    "TallyCounts",
    "Totals",
    "count",
    "ledger_epoch",
]
