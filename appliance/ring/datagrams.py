"""What writer and readers say to each other; one datagram each, first byte its kind.

writer -> reader   G  JSON layout of a generation, with the memfd as SCM_RIGHTS
                   F  frame: slot u16, generation u32, then the trigger's 64 bytes
reader -> writer   H  JSON {"version", "role"}; first message, once
                   R  release: slot u16, generation u32
"""

import json
import struct
from dataclasses import asdict
from enum import StrEnum

from appliance.errors import RingError
from appliance.messages import FrameGeometry, Trigger
from appliance.ring.memory import RingLayout

VERSION = 1
_HEAD = struct.Struct("<cHI")


class ReaderRole(StrEnum):
    """Who reads; the inspector is the ring's primary reader, a sampler takes what is left over."""

    INSPECTOR = "inspector"
    OBSERVER = "observer"
    SAMPLER = "sampler"


def encode_hello(role: ReaderRole) -> bytes:
    """Introduce a reader."""
    return b"H" + json.dumps({"version": VERSION, "role": role.value}).encode()


def decode_hello(message: bytes) -> ReaderRole:
    """Read a reader's introduction.

    Raises:
        RingError: Not a hello, another version, unknown role.
    """
    try:
        hello = json.loads(message[1:]) if message[:1] == b"H" else {}
        version, role = hello["version"], ReaderRole(hello["role"])
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise RingError(f"ring reader's hello refused: {error!r}, got {message[:80]!r}") from error
    if version != VERSION:
        raise RingError(f"ring reader speaks version {version}, expected {VERSION}: restart it with this release")
    return role


def encode_layout(generation: int, layout: RingLayout) -> bytes:
    """Describe a generation."""
    return b"G" + json.dumps({"generation": generation, **asdict(layout)}).encode()


def decode_layout(message: bytes) -> tuple[int, RingLayout]:
    """Read a generation's number and layout.

    Raises:
        RingError: Written by another version.
    """
    try:
        fields = json.loads(message[1:])
        generation = fields.pop("generation")
        geometry = FrameGeometry(**fields.pop("geometry"))
        return generation, RingLayout(geometry, **fields)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise RingError(f"ring layout not understood: {error!r}, got {message[:200]!r}") from error


def encode_frame(slot: int, generation: int, trigger: Trigger) -> bytes:
    """Offer a frame."""
    return _HEAD.pack(b"F", slot, generation) + trigger.pack()


def decode_frame(message: bytes) -> tuple[int, int, Trigger]:
    """Read slot, generation and trigger of an offered frame.

    Raises:
        RingError: Damaged; never seen between processes of one version.
    """
    trigger = Trigger.unpack(message[_HEAD.size :])
    if trigger is None:
        raise RingError(f"frame descriptor is damaged: {message!r}")
    _, slot, generation = _HEAD.unpack_from(message)
    return slot, generation, trigger


def encode_release(slot: int, generation: int) -> bytes:
    """Give a lease back."""
    return _HEAD.pack(b"R", slot, generation)


def decode_release(message: bytes) -> tuple[int, int]:
    """Read slot and generation of a release.

    Raises:
        RingError: Not a release.
    """
    if len(message) != _HEAD.size or message[:1] != b"R":
        raise RingError(f"expected a release from a ring reader, got {message[:80]!r}")
    _, slot, generation = _HEAD.unpack(message)
    return slot, generation
