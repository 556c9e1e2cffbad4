"""What stands around records and verdicts on their lanes."""

from appliance.contracts.document import Count, Document, Timestamp


class ResultHeader(Document):
    """Second frame of a result: its identity. Drop doubles by it."""

    epoch: str
    """Epoch of the journal: changes only when the journal is made anew. Not the ledger's."""
    seq: Count
    """Dense from 1 within the epoch."""


class Heartbeat(Document):
    """How far the journal is, so that a lost tail is seen: each second, and as a greeting at each connect."""

    epoch: str
    """Epoch of the journal."""
    head_seq: Count
    """Newest result; 0 when there is none."""
    oldest_seq: Count
    """Oldest result that replay can give."""
    at: Timestamp
    """RFC 3339 UTC with microseconds."""


class VerdictWelcome(Document):
    """Greeting of the verdict lane at each connect: what was last said before."""

    ledger_epoch: str
    """Verdict ids are unique within it."""
    verdict_seq: Count
    """Of the last verdict; a subscriber that has seen lower ones only has missed some."""
