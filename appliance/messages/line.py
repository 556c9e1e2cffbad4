"""The line's state as the verdict lane publishes it: what a controller may rely on before it sends the next part."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum
from typing import Any

from appliance.clock import wall_from_monotonic
from appliance.messages.verdict import SCHEMA_VERSION


class LineError(IntEnum):
    """What a PLC may show as a number; of several, the lowest that ends readiness. Numbers keep their meaning."""

    NONE = 0
    COUNT_MISMATCH = 1  # our trigger count and the controller's differ: every verdict is UNKNOWN until line.resync
    STOP_REQUESTED = 2  # too many rejects in a row: stop the line, look, line.release
    INSPECTOR_MISSING = 3
    CAMERA_MISSING = 4  # a camera's grabber isn't there
    RECIPE_NOT_LOADED = 5  # the inspector hasn't got the recipe in use yet
    STOPPING = 6  # the appliance is being stopped
    OVERRUN = 7  # a verdict was given before the last one was acknowledged; doesn't end readiness
    MODEL_FAILED = 8  # the model in use fails on every frame: every verdict is UNKNOWN


@dataclass(frozen=True)
class LineStatus:
    """The line's state at one moment.

    Attributes:
        ready: Whether a part that comes now can be inspected.
        not_ready_because: Sentences for people; empty when ready.
        stop_requested: The line should stop, until `line.release`.
        trigger_acknowledged: A trigger has been seen whose verdict isn't given yet.
        result_valid: The last verdict may be read; ends with its acknowledgement, or with the next trigger.
        result_acknowledged: The last verdict has been acknowledged.
        overrun: A verdict was given before the last one was acknowledged; only where acknowledgements are in use.
    """

    ready: bool
    not_ready_because: tuple[str, ...]
    stop_requested: bool
    trigger_acknowledged: bool
    result_valid: bool
    result_acknowledged: bool
    overrun: bool
    error_id: LineError


def line_topic(line: str, station: str, *, is_simulated: bool) -> str:
    """Name the topic; simulated lines never share a production topic."""
    topic = f"line.{line}.{station}"
    return f"sim.{topic}" if is_simulated else topic


def line_message(
    status: LineStatus,
    *,
    line: str,
    station: str,
    at_ns: int,
    counters: Mapping[str, int],
    ledger_epoch: str,
    verdict_seq: int,
    controller_count: int | None,
    our_count: int | None,
    recipe: Mapping[str, Any],
    is_simulated: bool,
) -> dict[str, Any]:
    """Write the line's state.

    Args:
        at_ns: CLOCK_MONOTONIC.
        controller_count: As announced last; None when it never was.
        our_count: Triggers as we count them, in the controller's numbers once synchronised; None before the first.
        recipe: In use for the next trigger: name, version, sha256.
    """
    return {
        "schema_version": SCHEMA_VERSION,
        "line": line,
        "station": station,
        "at": wall_from_monotonic(at_ns),
        "ready": status.ready,
        "not_ready_because": list(status.not_ready_because),
        "stop_requested": status.stop_requested,
        "trigger_acknowledged": status.trigger_acknowledged,
        "result_valid": status.result_valid,
        "result_acknowledged": status.result_acknowledged,
        "overrun": status.overrun,
        "error_id": int(status.error_id),
        "counters": dict(counters),
        "ledger_epoch": ledger_epoch,
        "verdict_seq": verdict_seq,
        "controller_count": controller_count,
        "our_count": our_count,
        "recipe": dict(recipe),
        "is_simulated": is_simulated,
    }
