"""Times as people give them: RFC 3339, a day, `today`, or how long ago."""

import re
from datetime import datetime, timedelta

import typer

_AGO = re.compile(r"(\d+)\s*(s|m|h|d|w)")
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


def moment_us(text: str, now: datetime) -> int:
    """Read a time as microseconds since the Unix epoch; without an offset it is local time.

    Args:
        text: "2026-01-31T09:30:00Z", "2026-01-31", "today", "yesterday", or an age: "30m", "1h", "2d".
        now: Aware.
    Raises:
        typer.BadParameter: Not understood.
    """
    return round(_moment(text.strip().lower(), now).timestamp() * 1_000_000)


def _moment(text: str, now: datetime) -> datetime:
    midnight = now.replace(hour=0, minute=0, second=0, microsecond=0)
    if text in ("now", "today", "yesterday"):
        return {"now": now, "today": midnight, "yesterday": midnight - timedelta(days=1)}[text]
    if ago := _AGO.fullmatch(text):
        return now - timedelta(**{_UNITS[ago[2]]: int(ago[1])})
    try:
        moment = datetime.fromisoformat(text.upper())
    except ValueError:
        raise typer.BadParameter(
            f"{text!r} is no time; give RFC 3339 (2026-01-31T09:30:00Z), a day, today, or an age such as 30m, 1h, 2d"
        ) from None
    return moment if moment.tzinfo is not None else moment.replace(tzinfo=now.tzinfo)
