"""Applies SFNC features in an order cameras accept, reads each one back, and notices drift.

A camera keeps features while it has power, also those of a configuration that is gone: so the user set "Default" is
loaded first, unless the configuration says otherwise (`UserSetLoad = false`, or a set of its own).

A name may carry a selector: `"LineMode[Line1]" = "Output"` selects LineSelector = Line1 first.

Order, because later features depend on earlier ones (a smaller Width makes room for an OffsetX, ExposureAuto must be
Off before ExposureTime may be written):

    UserSet* → link throughput, packet size → binning, PixelFormat → offsets 0, Width, Height, offsets → autos Off →
    ExposureTime, Gain, BlackLevel, Gamma → AcquisitionMode, frame rate → Trigger* → Line*, Encoder*, Counter* →
    Chunk* → Ptp* → anything else
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from appliance.config import FeatureValue
from appliance.errors import FeatureRefused

_ORDER = tuple(
    re.compile(pattern)
    for pattern in (
        r"UserSetSelector$",
        r"UserSetLoad$",
        r"DeviceLink|DeviceStreamChannel|GevSCPSPacketSize$|GevSCPD$|GevStreamChannel",
        r"(Binning|Decimation|Sensor|Reverse)",
        r"PixelFormat$",
        r"Width$|Height$",
        r"Offset[XY]$",
        r"(Exposure|Gain|BlackLevel|BalanceWhite)Auto$",
        r"ExposureMode$",
        r"Exposure|Gain|BlackLevel|Gamma|Balance",
        r"AcquisitionMode$",
        r"AcquisitionFrameRateEnable$",
        r"Acquisition",
        r"TriggerSelector$",
        r"Trigger(?!Mode)",
        r"TriggerMode$",
        r"(Line|Encoder|Counter|Timer)Selector$",
        r"Line|Encoder|Counter|Timer",
        r"ChunkModeActive$",
        r"ChunkSelector$",
        r"Chunk",
        r"Ptp|GevIEEE1588",
    )
)
_SELECTORS = {
    "Trigger": "TriggerSelector",
    "Line": "LineSelector",
    "Encoder": "EncoderSelector",
    "Counter": "CounterSelector",
    "Timer": "TimerSelector",
    "Chunk": "ChunkSelector",
    "Gain": "GainSelector",
    "BlackLevel": "BlackLevelSelector",
    "Balance": "BalanceRatioSelector",
}
_AUTOS: Mapping[str, tuple[str, FeatureValue]] = {
    "ExposureTime": ("ExposureAuto", "Off"),
    "Gain": ("GainAuto", "Off"),
    "BlackLevel": ("BlackLevelAuto", "Off"),
    "AcquisitionFrameRate": ("AcquisitionFrameRateEnable", True),
}
"""What must be set first unless the configuration sets it itself."""
_LEGACY = {"ExposureTime": "ExposureTimeAbs", "AcquisitionFrameRate": "AcquisitionFrameRateAbs"}
"""Names of the same feature, same unit, in cameras older than SFNC 2.0."""
_FLOAT_TOLERANCE = 0.02
"""Cameras round to their own steps (line times); more than this is another value."""


class Nodes(Protocol):
    """A camera's node map, as `genicam.NodeMap` offers it. Only the owner's thread may call it."""

    def access(self, name: str) -> str:
        """Give "RW", "RO", "WO", "NA", or "NI" for a feature that doesn't exist."""
        ...

    def read(self, name: str) -> FeatureValue:
        """Read a feature from the camera, not from a cache."""
        ...

    def write(self, name: str, value: FeatureValue) -> None:
        """Write a feature; executes it if it is a command."""
        ...

    def entries(self, name: str) -> tuple[str, ...]:
        """Give the entries of an enumeration; none for anything else."""
        ...


@dataclass(frozen=True)
class AppliedFeature:
    """A feature as it was applied: the name the camera knows, and what it read back then."""

    key: str
    name: str
    selector: str | None
    asked: FeatureValue
    got: FeatureValue | None


def apply_features(nodes: Nodes, wanted: Mapping[str, FeatureValue], where: str) -> list[AppliedFeature]:
    """Apply features in the module's order; each is read back and compared.

    Args:
        where: Camera, for messages.
    Raises:
        FeatureRefused: No such feature, not writable, or it reads back another value.
        SourceLost: The camera went away.
    """
    if not {"UserSetSelector", "UserSetLoad"} & wanted.keys():
        _load_default_set(nodes)
    if {"Width", "Height"} & wanted.keys():
        _zero_offsets(nodes)
    return [_apply_one(nodes, key, value, where) for key, value in in_order(_with_autos(nodes, wanted))]


def in_order(wanted: Mapping[str, FeatureValue]) -> list[tuple[str, FeatureValue]]:
    """Sort features as the module says; features of one group keep the order they are written in."""
    return sorted(wanted.items(), key=lambda item: _rank(item[0]))


def find_drift(nodes: Nodes, applied: AppliedFeature) -> str | None:
    """Say how a feature differs from what it read back when it was applied; None when it doesn't."""
    if applied.got is None or not nodes.access(applied.name).startswith("R"):
        return None
    if applied.selector is not None:
        return None  # selecting would change the camera while it runs
    now = nodes.read(applied.name)
    return None if is_same(applied.got, now) else f"{applied.key}: was {applied.got!r}, is {now!r}"


def is_same(expected: FeatureValue, got: FeatureValue) -> bool:
    """Compare a written value with the one read back: numbers within 2 %, all else exactly."""
    if isinstance(expected, float) or isinstance(got, float):
        if isinstance(expected, str) or isinstance(got, str):
            return False
        return abs(expected - got) <= _FLOAT_TOLERANCE * max(abs(expected), abs(got), 1e-9)
    return expected == got


def split_key(key: str) -> tuple[str, str | None]:
    """Split "LineMode[Line1]" into name and selector entry."""
    name, bracket, rest = key.partition("[")
    return name, rest.rstrip("]") if bracket else None


def _rank(key: str) -> int:
    name, _ = split_key(key)
    return next((rank for rank, pattern in enumerate(_ORDER) if pattern.match(name)), len(_ORDER))


def _with_autos(nodes: Nodes, wanted: Mapping[str, FeatureValue]) -> dict[str, FeatureValue]:
    extended = dict(wanted)
    for name, (auto, value) in _AUTOS.items():
        if name in wanted and auto not in wanted and nodes.access(auto) == "RW":
            extended[auto] = value
    return extended


def _load_default_set(nodes: Nodes) -> None:
    if nodes.access("UserSetLoad") in {"RW", "WO"} and "Default" in nodes.entries("UserSetSelector"):
        if nodes.access("UserSetSelector") == "RW":
            nodes.write("UserSetSelector", "Default")
        nodes.write("UserSetLoad", True)


def _zero_offsets(nodes: Nodes) -> None:
    for name in ("OffsetX", "OffsetY"):
        if nodes.access(name) == "RW":
            nodes.write(name, 0)


def _apply_one(nodes: Nodes, key: str, value: FeatureValue, where: str) -> AppliedFeature:
    name, entry = split_key(key)
    selector = _select(nodes, key, name, entry, where) if entry is not None else None
    name = _known_name(nodes, name)
    access = nodes.access(name)
    if access in {"NI", "NA"}:
        missing = "no such feature" if access == "NI" else "not available in this state"
        raise FeatureRefused(f"{where}: {key}: {missing}; see `appliance camera features` for what it has")
    if access == "RO":
        got = nodes.read(name)
        if not is_same(value, got):
            raise FeatureRefused(f"{where}: {key}: expected {value!r}, but it is read-only and is {got!r}; remove it")
        return AppliedFeature(key, name, selector, value, got)
    if isinstance(value, str) and (entries := nodes.entries(name)) and value not in entries:
        raise FeatureRefused(f"{where}: {key}: expected one of {', '.join(entries)}, got {value!r}")
    nodes.write(name, value)
    return AppliedFeature(key, name, selector, value, _read_back(nodes, key, name, value, where))


def _select(nodes: Nodes, key: str, name: str, entry: str, where: str) -> str:
    selector = next((full for prefix, full in _SELECTORS.items() if name.startswith(prefix)), None)
    if selector is None:
        raise FeatureRefused(f"{where}: {key}: no selector is known for {name}; set it as a feature of its own")
    if entry not in nodes.entries(selector):
        offered = ", ".join(nodes.entries(selector)) or "nothing"
        raise FeatureRefused(f"{where}: {key}: {selector} has no entry '{entry}', it offers {offered}")
    nodes.write(selector, entry)
    return selector


def _known_name(nodes: Nodes, name: str) -> str:
    legacy = _LEGACY.get(name)
    return legacy if legacy is not None and nodes.access(name) == "NI" and nodes.access(legacy) != "NI" else name


def _read_back(nodes: Nodes, key: str, name: str, value: FeatureValue, where: str) -> FeatureValue | None:
    if not nodes.access(name).startswith("R"):
        return None  # a command, or write-only
    got = nodes.read(name)
    if not is_same(value, got):
        raise FeatureRefused(
            f"{where}: {key}: expected {value!r}, got {got!r} after writing it; give a value the camera can hold"
        )
    return got
