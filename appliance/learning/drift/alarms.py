"""Alarms: raised when a signal drifts, cleared when it has come back far enough; the same after a restart.

state_dir/drift/alarms.json    what stands, and the number of the last event
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from appliance.learning.drift.comparison import Comparison
from appliance.learning.drift.signals import LIGHT, UNKNOWN_RATE, StreamKey
from appliance.learning.drift.versioned import SCHEMA_VERSION, read_versioned
from appliance.rollout.files import write_bytes

log = logging.getLogger(__name__)

ALARMS_FILE = "alarms.json"
Pictures = Callable[[Comparison], tuple[list[dict[str, Any]], list[dict[str, Any]]]]
"""Chooses deviating and typical pictures for a comparison."""


@dataclass(frozen=True)
class Event:
    """An alarm that begins or ends; `alarm` is as `contracts.record.DriftEventRecord` has it, from `camera` on."""

    event: Literal["raised", "cleared"]
    event_id: int
    alarm: dict[str, Any]


class AlarmBook:
    """What stands.

    Attributes:
        standing: By stream, signal and reference.
    """

    def __init__(self, folder: Path, clear_at: float) -> None:
        self._path = folder / ALARMS_FILE
        self._clear_at = clear_at
        self._last_id = 0
        self.standing: dict[tuple[StreamKey, str, str], dict[str, Any]] = {}
        self.is_dirty = False

    def load(self) -> None:
        """Read what stood when the last watcher ended."""
        for alarm in read_alarms(self._path.parent):
            key = (alarm["recipe"]["name"], alarm["camera"], alarm["view"])
            self.standing[key, alarm["signal"], alarm["reference"]] = alarm
        self._last_id = _last_id(self._path)

    def judge(
        self,
        stream: StreamKey,
        told: list[Comparison],
        *,
        recipe: Mapping[str, Any],
        model: Mapping[str, Any] | None,
        now: str,
        pictures: Pictures,
    ) -> list[Event]:
        """Raise and clear what a look at a stream gives reason for; a standing alarm keeps its latest figures."""
        events: list[Event] = []
        for one in told:
            key = (stream, one.signal, one.reference)
            standing = self.standing.get(key)
            if standing is None and one.is_out:
                deviating, typical = pictures(one)
                alarm = _alarm(stream, one, recipe, model) | {"deviating": deviating, "typical": typical}
                self.standing[key] = alarm | {"raised_at": now, "seen_at": now}
                events.append(self._event("raised", alarm))
            elif standing is not None and one.value is not None:
                standing |= _alarm(stream, one, recipe, model) | {"seen_at": now}
                self.is_dirty = True
                if one.is_out:  # it goes on: the newest pictures say most
                    deviating, typical = pictures(one)
                    standing["deviating"] = deviating or standing["deviating"]
                    standing["typical"] = standing["typical"] or typical
                if one.is_back(self._clear_at):
                    events.append(self._cleared(key, _sentence(stream, one, "is back")))
        return events

    def clear_judged(self, stream: StreamKey, why: str) -> list[Event]:
        """End the alarms of a stream that another model or other rules make meaningless."""
        kept = {*LIGHT, UNKNOWN_RATE}
        return self.clear_where(lambda key, alarm: key == stream and alarm["signal"] not in kept, why)

    def clear_where(self, is_gone: Callable[[StreamKey, dict[str, Any]], bool], why: str) -> list[Event]:
        """End alarms by stream and what they say."""
        gone = [key for key, alarm in self.standing.items() if is_gone(key[0], alarm)]
        return [self._cleared(key, why) for key in gone]

    def save(self) -> None:
        """Write it down, durably.

        Raises:
            OSError: It can't be written.
        """
        content = {
            "schema_version": SCHEMA_VERSION,
            "last_event_id": self._last_id,
            "alarms": list(self.standing.values()),
        }
        write_bytes(self._path, json.dumps(content, indent=1).encode())
        self.is_dirty = False

    def _cleared(self, key: tuple[StreamKey, str, str], why: str) -> Event:
        alarm = self.standing.pop(key)
        alarm = {name: value for name, value in alarm.items() if name not in ("raised_at", "seen_at")}
        return self._event("cleared", alarm | {"detail": why})

    def _event(self, word: Literal["raised", "cleared"], alarm: dict[str, Any]) -> Event:
        self._last_id += 1
        self.is_dirty = True
        log.warning("drift %s: %s", word, alarm["detail"])
        return Event(word, self._last_id, alarm)


def read_alarms(folder: Path) -> list[dict[str, Any]]:
    """Read which alarms stand; none where nobody ever watched."""
    path = folder / ALARMS_FILE
    try:
        alarms: list[dict[str, Any]] = read_versioned(path)["alarms"]
    except FileNotFoundError:
        return []
    except (OSError, ValueError, KeyError, TypeError) as error:
        log.warning("%s: left out: %r", path, error)
        return []
    return alarms


def _last_id(path: Path) -> int:
    try:
        return int(read_versioned(path)["last_event_id"])
    except (OSError, ValueError, KeyError, TypeError):
        return 0


def _alarm(
    stream: StreamKey, one: Comparison, recipe: Mapping[str, Any], model: Mapping[str, Any] | None
) -> dict[str, Any]:
    _, camera, view = stream
    figures = {name: value for name, value in asdict(one).items() if name not in ("trouble", "reference_samples")}
    rounded = {name: round(value, 4) if isinstance(value, float) else value for name, value in figures.items()}
    return {
        "camera": camera,
        "view": view,
        "recipe": dict(recipe),
        "model": dict(model) if model is not None else None,
        **rounded,
        "detail": _sentence(stream, one, "drifts"),
    }


def _sentence(stream: StreamKey, one: Comparison, verb: str) -> str:
    recipe, camera, view = stream
    name = one.signal.replace("_", " ").replace("class rate:", "rate of ")
    against = {"training": "the training pictures", "last_week": "last week"}[one.reference]
    measures = {
        "distance": f"distance {one.value:.2f}",
        "outside_share": f"{one.value:.0%} of {one.samples} parts outside their range",
        "difference": f"difference {one.value:.2%}",
    }
    limit = f"{one.limit:.2%}" if one.measure == "difference" else f"{one.limit:.2g}"
    return (
        f"{camera}/{view}, recipe {recipe}: {name} {verb} against {against}: {_number(one.current)}, "
        f"there {_number(one.expected)} ({measures[one.measure]}, limit {limit})"
    )


def _number(value: float | None) -> str:
    return "unknown" if value is None else f"{value:.4g}"
