"""The drift report: distributions now, last week and in training, the course of the days, and the pictures."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from html import escape
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from appliance.config import ApplianceConfig, Recipe, load_recipe
from appliance.learning.drift.acceptance import read_acceptances
from appliance.learning.drift.bucket import Bucket, together
from appliance.learning.drift.history import History
from appliance.learning.drift.references import References
from appliance.learning.drift.scale import Histogram, from_plain, plain, quantile
from appliance.learning.drift.signals import NG_RATE, SCALES, UNKNOWN_RATE, StreamKey
from appliance.learning.drift.status import drift_dir, read_present
from appliance.learning.evaluation.report.chart import Chart
from appliance.learning.evaluation.report.page import card, colour, legend, page, table
from appliance.learning.evaluation.report.picture import jpeg

_COLOURS = {"now": colour(1), "last_week": colour(0), "training": colour(2)}
_WORDS = {"now": "newest parts", "last_week": "last week", "training": "training pictures"}
_BAND = (0.05, 0.5, 0.95)
_SECONDS_PER_HOUR = 3600
Figures = dict[str, Any]


def drift_report(config: ApplianceConfig, drift: Mapping[str, Any]) -> Figures:
    """Put together what the files say.

    Args:
        drift: As `drift_status` gives it.
    Returns:
        Under `drift` the status, under `streams` one entry a stream: `distributions` by signal and source, as counts by
        bin; `course` by hour with quantiles of the signals and counts of the rates.
    """
    recipes = {recipe.name: recipe for recipe in map(load_recipe, (config.recipe, *config.recipes))}
    settings = config.drift
    folder = drift_dir(config.state_dir)
    history = History(folder, settings.reference_days * 24 + settings.reference_gap_hours)
    history.load()
    references = References(config, recipes, history)
    references.accept(read_acceptances(folder))
    present = {(one["recipe"]["name"], one["camera"], one["view"]): one for one in read_present(config.runtime_dir)}
    streams = sorted({*history.streams(), *present})
    told = [_stream(key, present.get(key), history, references, recipes) for key in streams]
    return {"line": config.line, "station": config.station, "drift": dict(drift), "streams": told}


def _stream(
    key: StreamKey,
    present: Mapping[str, Any] | None,
    history: History,
    references: References,
    recipes: Mapping[str, Recipe],
) -> Figures:
    hours: dict[int, list[Bucket]] = {}
    newest_judge = ""
    for hour, judged_by, bucket in history.hours_of(key):
        hours.setdefault(hour, []).append(bucket)
        newest_judge = judged_by
    week = references.last_week(key, present["judged_by"] if present else newest_judge)
    model = present["model"] if present else None
    training, no_training = references.training(key[0], model) if key[0] in recipes else (None, "unknown recipe")
    distributions: dict[str, dict[str, dict[str, int]]] = {}
    for signal in SCALES:
        before = week.bucket_of(signal).histograms.get(signal, Histogram())
        pictures = training.histograms.get(signal, Histogram()) if training is not None else Histogram()
        now = present["histograms"].get(signal, {}) if present else {}
        distributions[signal] = {"now": now, "last_week": plain(before), "training": plain(pictures)}
    return {
        "recipe": key[0],
        "camera": key[1],
        "view": key[2],
        "model": model,
        "no_training": no_training or None,
        "distributions": distributions,
        "course": [_hour(hour, together(buckets)) for hour, buckets in sorted(hours.items())],
    }


def _hour(hour: int, bucket: Bucket) -> Figures:
    quantiles: dict[str, list[float] | None] = {}
    for signal, scale in SCALES.items():
        places = [quantile(bucket.histograms.get(signal, Histogram()), share) for share in _BAND]
        known = [round(scale.middle_of(place), 4) for place in places if place is not None]
        quantiles[signal] = known or None
    rates = {name: list(bucket.rate(name)) for name in (NG_RATE, UNKNOWN_RATE)}
    at = datetime.fromtimestamp(hour * _SECONDS_PER_HOUR, UTC).isoformat()
    return {"hour": at, "views": bucket.views, "quantiles": quantiles, "rates": rates}


# -- the page


def drift_page(told: Figures) -> str:
    """Return the report as one self-contained HTML page.

    Args:
        told: As `drift_report` gives it.
    """
    drift = told["drift"]
    title = f"Drift, line {told['line']}, station {told['station']}"
    alarms = [_alarm(alarm) for alarm in drift["alarms"]]
    watching = "" if drift["is_watching"] else "<p>The watcher is down: what is shown is what it knew.</p>"
    standing = "1 alarm stands" if len(alarms) == 1 else f"{len(alarms)} alarms stand"
    head = standing if alarms else "nothing drifts"
    body = [f"<h1>{escape(title)}</h1>", f'<div class="verdict"><p>{head}</p>{watching}</div>', *alarms]
    for stream in told["streams"]:
        body += _section(stream, drift["comparisons"])
    return page(title, body)


def _alarm(alarm: Mapping[str, Any]) -> str:
    images = Path(alarm["image_dir"])
    groups = (
        f"<h2>{escape(words)}</h2>"
        f'<div class="pictures">{"".join(_figure(one, images) for one in alarm[kind]) or "none is stored"}</div>'
        for kind, words in (("deviating", "Newest that deviate most"), ("typical", "As it should be"))
    )
    since = f"since {alarm['raised_at'][:19]}Z"
    return card(f"{alarm['signal']} against {_WORDS[alarm['reference']]}, {since}", _p(alarm["detail"]), *groups)


def _figure(picture: Mapping[str, Any], images: Path) -> str:
    told = f"result {picture['seq']}, {picture['captured_at'][:19]}Z, {picture['verdict']}, {picture['value']:.4g}"
    pixels = cv2.imread(str(images / picture["path"]), cv2.IMREAD_COLOR) if picture["is_there"] else None
    if pixels is None:
        why = "not stored" if picture["path"] is None else f"{picture['path']} is gone"
        return f"<figure><figcaption>missing: {escape(why)}; {escape(told)}</figcaption></figure>"
    height, width = pixels.shape[:2]
    data = jpeg(np.asarray(pixels, np.uint8))
    return (
        f'<figure><svg viewBox="0 0 {width} {height}" role="img" aria-label="{escape(told)}">'
        f'<image href="data:image/jpeg;base64,{data}" width="{width}" height="{height}"/></svg>'
        f"<figcaption>{escape(picture['path'])}: {escape(told)}</figcaption></figure>"
    )


def _section(stream: Figures, comparisons: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    place = (stream["recipe"], stream["camera"], stream["view"])
    own = [one for one in comparisons if (one["recipe"], one["camera"], one["view"]) == place]
    yield f"<h2>{escape(f'{place[1]}/{place[2]}, recipe {place[0]}')}</h2>"
    if own:
        yield table(
            ("signal", "against", "now", "there", "measure", "value", "limit", ""), [_row(one, stream) for one in own]
        )
    if stream["no_training"]:
        yield _p(stream["no_training"])
    yield '<div class="pair">'
    for signal in SCALES:
        yield card(signal, _distributions(signal, stream["distributions"][signal]))
        yield card(f"{signal} by hour", _course(signal, stream["course"]))
    for rate in (NG_RATE, UNKNOWN_RATE):
        yield card(f"{rate.replace('_', ' ')} by hour", _rate_course(rate, stream["course"]))
    yield "</div>"


def _row(one: Mapping[str, Any], stream: Figures) -> list[str]:
    is_out = one["value"] is not None and one["value"] >= one["limit"]
    numbers = ["" if one[key] is None else f"{one[key]:.4g}" for key in ("current", "expected", "value", "limit")]
    trouble = "" if one["trouble"] == stream["no_training"] else one["trouble"] or ""  # that is said once, below
    told = "DRIFT" if is_out else trouble
    return [one["signal"], _WORDS[one["reference"]], *numbers[:2], one["measure"], *numbers[2:], told]


def _distributions(signal: str, sources: Mapping[str, Mapping[str, int]]) -> str:
    """Draw the shares by bin of those that are known, over the bins that any of them has."""
    histograms = {name: from_plain(dict(content)) for name, content in sources.items() if content}
    if not histograms:
        return _p("nothing measured as yet")
    scale = SCALES[signal]
    first, last = min(map(min, histograms.values())), max(map(max, histograms.values())) + 1
    places = range(first, last + 1)
    shares = {name: [one[place] / one.total() for place in places] for name, one in histograms.items()}
    ends = (scale.start_of(first), scale.start_of(last + 1))
    top = max(max(one) for one in shares.values()) * 1.08
    chart = Chart(scale.unit, "share of parts", ends, (0.0, top), is_share=True)
    edges = [scale.start_of(place) for place in (*places, last + 1)]
    for name, one in shares.items():
        if name == "now":
            chart.bars(edges, one, _COLOURS[name])
        else:
            chart.line([scale.middle_of(place) for place in places], one, _COLOURS[name])
    described = f"{signal}: shares of parts, {', '.join(_WORDS[name] for name in shares)}"
    return chart.svg(described) + legend([_WORDS[name] for name in shares], [_COLOURS[name] for name in shares])


def _course(signal: str, course: Sequence[Mapping[str, Any]]) -> str:
    known = [(at, hour["quantiles"][signal]) for at, hour in _ages(course) if hour["quantiles"][signal]]
    if not known:
        return _p("nothing measured as yet")
    low, high = min(bands[0] for _, bands in known), max(bands[-1] for _, bands in known)
    margin = 0.08 * (high - low) or 1.0
    chart = Chart("hours from the newest", SCALES[signal].unit, _span(known), (low - margin, high + margin))
    ages = [at for at, _ in known]
    chart.band(ages, [bands[0] for _, bands in known], [bands[-1] for _, bands in known], colour(0))
    chart.line(ages, [bands[1] for _, bands in known], colour(0))
    return chart.svg(f"{signal} by hour: median, and what 90 % of the parts lie in")


def _rate_course(rate: str, course: Sequence[Mapping[str, Any]]) -> str:
    known = [(at, count / total) for at, hour in _ages(course) for count, total in [hour["rates"][rate]] if total]
    if not known:
        return _p("nothing judged as yet")
    top = max(value for _, value in known) * 1.08 or 0.01
    chart = Chart("hours from the newest", "share of parts", _span(known), (0.0, top), is_share=True)
    chart.line([at for at, _ in known], [value for _, value in known], colour(0))
    return chart.svg(f"{rate} by hour")


def _ages(course: Sequence[Mapping[str, Any]]) -> list[tuple[float, Mapping[str, Any]]]:
    """Give each hour with its age before the newest one, negative."""
    moments = [datetime.fromisoformat(hour["hour"]).timestamp() / _SECONDS_PER_HOUR for hour in course]
    return [(at - moments[-1], hour) for at, hour in zip(moments, course, strict=True)]


def _span(known: Sequence[tuple[float, Any]]) -> tuple[float, float]:
    return min(known[0][0], -1.0), 0.0


def _p(text: str) -> str:
    return f"<p>{escape(text)}</p>"
