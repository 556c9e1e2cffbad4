"""What stands around the records on the result lane."""

from appliance.contracts.document import Count, Document, Timestamp


class ResultHeader(Document):
    """Second frame of a result: its identity. Drop doubles by it."""

    epoch: str
    """Epoch of the journal: changes only when the journal is made anew. Not the ledger's."""
    seq: Count
    """Dense from 1 within the epoch."""


class Heartbeat(Document):
    """Second frame of a heartbeat, once a second: how far the journal is, so that a lost tail is seen."""

    epoch: str
    """Epoch of the journal."""
    head_seq: Count
    """Newest result; 0 when there is none."""
    oldest_seq: Count
    """Oldest result that replay can give."""
    at: Timestamp
    """RFC 3339 UTC with microseconds."""
