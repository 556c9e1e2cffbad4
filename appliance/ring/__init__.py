"""The frame ring: pixels never move after the grab, slot numbers do.

`memory` holds the byte map, `slots` the state table, `datagrams` the protocol, `writer` and `reader` its two ends,
`feed` a reader that outlives its writers.
"""

from appliance.ring.datagrams import ReaderRole
from appliance.ring.feed import CameraFeed
from appliance.ring.memory import RingLayout, RingMemory
from appliance.ring.reader import FrameLease, Generation, Pixels, RingReader, contiguous
from appliance.ring.slots import RESERVED, OverflowPolicy, SlotState, SlotTable, observer_quota
from appliance.ring.writer import FrameRing, Outcome

__all__ = [
    "RESERVED",
    "CameraFeed",
    "FrameLease",
    "FrameRing",
    "Generation",
    "Outcome",
    "OverflowPolicy",
    "Pixels",
    "ReaderRole",
    "RingLayout",
    "RingMemory",
    "RingReader",
    "SlotState",
    "SlotTable",
    "contiguous",
    "observer_quota",
]
