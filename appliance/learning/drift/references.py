"""What the present is compared with: last week, from the hours that are kept, and the model's training pictures."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Any

from appliance.config import ApplianceConfig, Recipe
from appliance.errors import ModelError
from appliance.learning.drift.acceptance import Acceptance
from appliance.learning.drift.bucket import Bucket, together
from appliance.learning.drift.comparison import LastWeek, Training
from appliance.learning.drift.history import History
from appliance.learning.drift.profile import read_profile
from appliance.learning.drift.signals import SCALES, StreamKey

log = logging.getLogger(__name__)

_SECONDS_PER_HOUR = 3600
NO_PROFILE = "the model has no profile of its training pictures: appliance dataset profile SET --model NAME"


class References:
    """Both references, worked out anew when an hour or the model changes."""

    def __init__(self, config: ApplianceConfig, recipes: Mapping[str, Recipe], history: History) -> None:
        self._config = config
        self._recipes = recipes
        self._history = history
        self._accepted: Sequence[Acceptance] = ()
        self._weeks: dict[StreamKey, tuple[tuple[int | None, str], LastWeek]] = {}
        self._trainings: dict[tuple[str, str], tuple[Training | None, str]] = {}

    def accept(self, accepted: Sequence[Acceptance]) -> None:
        """What lies before an acceptance is no reference any more."""
        self._accepted = accepted
        self._weeks.clear()

    def last_week(self, stream: StreamKey, judged_by: str) -> LastWeek:
        """Add up a stream's reference hours."""
        newest = self._history.newest_hour
        known = self._weeks.get(stream)
        if known is None or known[0] != (newest, judged_by):
            known = (newest, judged_by), self._add_up(stream, judged_by)
            self._weeks[stream] = known
        return known[1]

    def _add_up(self, stream: StreamKey, judged_by: str) -> LastWeek:
        last, since = self._last_hour(), self._accepted_since(stream)
        hours: dict[int, list[Bucket]] = {}
        judged: list[Bucket] = []
        for hour, by, bucket in self._history.hours_of(stream):
            if since <= hour <= last:
                hours.setdefault(hour, []).append(bucket)
                judged += [bucket] * (by == judged_by)
        light = [together(buckets) for buckets in hours.values()]
        return LastWeek.of(light, judged, limit=self._config.drift.distance_limit)

    def _last_hour(self) -> int:
        """Give the last hour that belongs to the reference."""
        return (self._history.newest_hour or 0) - self._config.drift.reference_gap_hours

    def _accepted_since(self, stream: StreamKey) -> int:
        """Give the first hour that counts: the one after the last acceptance."""
        moments = [one.since.timestamp() for one in self._accepted if one.concerns(stream)]
        return int(max(moments, default=0) // _SECONDS_PER_HOUR) + bool(moments)

    def examples(self, stream: StreamKey, before: int) -> list[dict[str, Any]]:
        """List pictures of the past, of rows before a seq, that are still stored."""
        images = self._config.state_dir / "images"
        return [
            one
            for _, __, bucket in self._history.hours_of(stream)
            for one in bucket.examples
            if one["seq"] < before and (images / one["path"]).is_file()
        ]

    def training(self, recipe_name: str, model: Mapping[str, str] | None) -> tuple[Training | None, str]:
        """Read what the training pictures of a model were like; else why nothing is known of them."""
        if model is None:
            return None, "no model judged"
        key = (recipe_name, model["sha256"])
        if key not in self._trainings:
            self._trainings[key] = self._read(recipe_name, model)
        return self._trainings[key]

    def _read(self, recipe_name: str, model: Mapping[str, str]) -> tuple[Training | None, str]:
        try:
            profile = read_profile(self._config.models_dir / model["name"], model["sha256"])
        except ModelError as error:
            log.warning("drift: no comparison with the training pictures: %s", error)
            return None, str(error)
        if profile is None:
            return None, NO_PROFILE
        recipe = self._recipes.get(recipe_name)
        histograms = {signal: profile.histogram(signal) for signal in SCALES}
        if recipe is None:
            return Training(histograms), ""
        highest = max(rule.score for rule in recipe.classes.values())
        return Training(histograms, recipe.near_miss_score, highest), ""
