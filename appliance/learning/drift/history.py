"""What happened, hour by hour, for some days: in memory, and in one small file a day.

    state_dir/drift/2026-11-29.json    the day's hours, and up to which journal row they are counted

Only the newest hour grows: a record that comes late is counted in it. So a file is written seldom, and one that a power
cut kept from being written costs nothing: its hours are counted again from the journal.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from appliance.learning.drift.bucket import Bucket, Specimen
from appliance.learning.drift.signals import Sample, StreamKey
from appliance.learning.drift.versioned import SCHEMA_VERSION, read_versioned
from appliance.rollout.files import write_bytes

log = logging.getLogger(__name__)

US_PER_HOUR = 3_600_000_000
_HOURS_PER_DAY = 24


@dataclass(frozen=True)
class Cursor:
    """Up to where the journal is counted; seq 0: nothing yet."""

    epoch: str = ""
    seq: int = 0


class History:
    """The hours of all streams; one writer.

    Args:
        keep_hours: Older hours are forgotten, and their files removed.
    Attributes:
        cursor: Up to where the journal is counted.
    """

    def __init__(self, folder: Path, keep_hours: int) -> None:
        self._folder = folder
        self._keep_hours = keep_hours
        self._hours: dict[int, dict[tuple[StreamKey, str], Bucket]] = {}
        self._is_dirty = False
        self.cursor = Cursor()

    # -- counting

    def add(self, sample: Sample) -> None:
        """Count one view, in its hour or, when that has passed, in the newest one."""
        hour = max(sample.at_us // US_PER_HOUR, self.newest_hour or 0)
        if hour not in self._hours:
            self._begin(hour)
        self._hours[hour].setdefault((sample.stream, sample.judged_by), Bucket()).add(sample)
        self._is_dirty = True

    def keep_specimen(self, stream: StreamKey, judged_by: str, specimen: Specimen) -> None:
        """Keep a window as an example of its hour, the newest one, unless that has one."""
        newest = self.newest_hour
        bucket = self._hours[newest].get((stream, judged_by)) if newest is not None else None
        if bucket is not None and not bucket.specimens:
            bucket.specimens.append(specimen)
            self._is_dirty = True

    def _begin(self, hour: int) -> None:
        """Finish the day that is over before a file for the next one can hold a later cursor."""
        newest = self.newest_hour
        if newest is not None and newest // _HOURS_PER_DAY != hour // _HOURS_PER_DAY:
            self.save()
        self._hours[hour] = {}
        for old in [one for one in self._hours if one <= hour - self._keep_hours]:
            del self._hours[old]
        days = {_day_file(one) for one in self._hours}
        for path in self._files():
            if path.name < min(days):
                path.unlink(missing_ok=True)

    def forget_from(self, hour: int) -> None:
        """Drop an hour and all later ones: the clock was wrong when they were counted."""
        for later in [one for one in self._hours if one >= hour]:
            del self._hours[later]
        newest = self.newest_hour
        for path in self._files():  # an older file has an older cursor: what it lacks is counted again
            if newest is None or path.name > _day_file(newest):
                path.unlink(missing_ok=True)
        self._is_dirty = True

    # -- looking

    @property
    def newest_hour(self) -> int | None:
        """The hour that still grows, in hours since the Unix epoch; None before the first."""
        return max(self._hours, default=None)

    def streams(self) -> list[StreamKey]:
        """List all streams, sorted."""
        return sorted({stream for hour in self._hours.values() for stream, _ in hour})

    def hours_of(self, stream: StreamKey) -> Iterator[tuple[int, str, Bucket]]:
        """Yield a stream's hours with who judged, oldest first."""
        for hour in sorted(self._hours):
            for (key, judged_by), bucket in self._hours[hour].items():
                if key == stream:
                    yield hour, judged_by, bucket

    # -- files

    def load(self) -> None:
        """Read what is there; a file that can't be understood is left out, with a word in the log."""
        for path in self._files():
            try:
                content = read_versioned(path)
                hours = {row["hour"]: _hour_from(row) for row in content["hours"]}
                cursor = Cursor(str(content["journal_epoch"]), int(content["seq"]))
            except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
                log.warning("%s: left out: %r; its hours are missing in comparisons", path, error)
                continue
            self._hours |= hours
            self.cursor = cursor
        newest = self.newest_hour
        if newest is not None:
            for old in [one for one in self._hours if one <= newest - self._keep_hours]:
                del self._hours[old]
        self._is_dirty = False

    def save(self) -> None:
        """Write the newest day's file, durably, when anything in it is new.

        Raises:
            OSError: It can't be written; nothing is lost, the journal has it all.
        """
        newest = self.newest_hour
        if newest is None or not self._is_dirty:
            return
        first = newest - newest % _HOURS_PER_DAY
        content = {
            "schema_version": SCHEMA_VERSION,
            "journal_epoch": self.cursor.epoch,
            "seq": self.cursor.seq,
            "hours": [_hour_to(hour, self._hours[hour]) for hour in sorted(self._hours) if hour >= first],
        }
        text = json.dumps(content, separators=(",", ":"))
        write_bytes(self._folder / _day_file(newest), text.encode())
        self._is_dirty = False

    def _files(self) -> list[Path]:
        return sorted(self._folder.glob("[0-9]*-[0-9]*-[0-9]*.json"))


def _day_file(hour: int) -> str:
    return f"{datetime.fromtimestamp(hour * 3600, UTC):%Y-%m-%d}.json"


def _hour_to(hour: int, buckets: dict[tuple[StreamKey, str], Bucket]) -> dict[str, Any]:
    rows = [{"stream": list(stream), "judged_by": by, **one.to_json()} for (stream, by), one in buckets.items()]
    return {"hour": hour, "streams": rows}


def _hour_from(row: dict[str, Any]) -> dict[tuple[StreamKey, str], Bucket]:
    found: dict[tuple[StreamKey, str], Bucket] = {}
    for one in row["streams"]:
        recipe, camera, view = map(str, one["stream"])
        found[(recipe, camera, view), str(one["judged_by"])] = Bucket.from_json(one)
    return found
