"""What monitoring's two questions are answered with: does everything live, and may the line send parts?"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class HealthReport:
    """One answer.

    Attributes:
        is_good: 200, or 503.
        content: JSON.
    """

    is_good: bool
    content: dict[str, Any]


def liveness(status: dict[str, Any]) -> HealthReport:
    """Whether every process that a verdict or record needs is up, by its own word of the last 3 s.

    Args:
        status: As `appliance_status` gives it.
    """
    down = [
        name for name, process in status["processes"].items() if not process["up"] and not process.get("is_optional")
    ]
    return HealthReport(not down, {"healthy": not down, "down": down})


def readiness(status: dict[str, Any]) -> HealthReport:
    """Whether a part that comes now can be inspected: by the publisher's word, and by what it can't know.

    Args:
        status: As `appliance_status` gives it.
    """
    because = list(_hindrances(status))
    line = status["line_state"] or {}
    content = {"ready": not because, "not_ready_because": because, "error_id": line.get("error_id")}
    return HealthReport(not because, content)


def _hindrances(status: dict[str, Any]) -> Iterator[str]:
    line = status["line_state"]
    if line is None:
        yield "the publisher is down"
    else:
        yield from line["not_ready_because"]
    if not status["processes"]["inspect"]["up"]:  # one that hangs is still connected
        yield "the inspector is down"
    for name, camera in status["cameras"].items():
        if camera["state"] != "capturing":  # the publisher knows grabbers, not whether their cameras answer
            yield f"camera {name} is {camera['state']}"
    if status["drift"]["not_ready_on_alarm"]:
        yield from (f"drift: {alarm['detail']}" for alarm in status["drift"]["alarms"])
