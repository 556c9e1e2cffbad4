"""Replay: not JSON but frames of ASCII text, described as arrays of strings. Spoken by `appliance.wire.replay`."""

from typing import Annotated, Any

from pydantic import WithJsonSchema

WORD = {"type": "string", "pattern": "^[A-Za-z0-9][A-Za-z0-9_.:-]{0,63}$"}
NUMBER = {"type": "string", "pattern": "^(0|[1-9][0-9]{0,18})$"}
TEXT = {"type": "string"}


def _frames(word: str, *fields: dict[str, str], description: str, further: dict[str, str] | None = None) -> Any:
    """Describe a message by its frames: its word, its fields, and what may follow without end."""
    return {
        "description": description,
        "type": "array",
        "prefixItems": [{"const": word}, *fields],
        "minItems": 1 + len(fields),
        "items": further if further is not None else False,
    }


_REQUESTS = [
    _frames("GET", WORD, NUMBER, NUMBER, description="Epoch, first and last sequence number, both included; from 1."),
    _frames("ACK", WORD, WORD, NUMBER, description="Consumer (with keys: the key's name), epoch, sequence number."),
    _frames("HEAD", description="Where does the journal begin and end?"),
]
_REPLIES = [
    _frames(
        "ROWS",
        WORD,
        NUMBER,
        further=TEXT,
        description="Epoch, the journal's newest sequence number; then in turn the sequence number and the record "
        "(JSON, `record`) of each result, at most 500 and 256 KiB: ask on behind the last one.",
    ),
    _frames("GONE", NUMBER, description="Retention has removed what was asked for; the oldest sequence number left."),
    _frames("BADEPOCH", WORD, description="The journal was made anew; its epoch. Start over at 1."),
    _frames("ACKED", WORD, NUMBER, description="Consumer, and what is on record for it, durably."),
    _frames("HEAD", WORD, NUMBER, NUMBER, description="Epoch, oldest and newest sequence number; 0 0 while empty."),
    _frames("ERROR", TEXT, description="Why not, for people. The same may be granted later."),
]

ReplayRequest = Annotated[list[str], WithJsonSchema({"oneOf": _REQUESTS})]
ReplayReply = Annotated[list[str], WithJsonSchema({"oneOf": _REPLIES})]
