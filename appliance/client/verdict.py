"""What comes on the verdict lane, decoded."""

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from typing import Any

from appliance.errors import PublishError

LINE_TOPICS = ("line.", "sim.line.")


@dataclass(frozen=True)
class Verdict:
    """One verdict, not older than its deadline when it was received.

    Attributes:
        message: As `appliance/contracts/verdict.json` says.
    """

    topic: str
    message: dict[str, Any]

    @property
    def is_ok(self) -> bool:
        """Whether the part may pass: NG and UNKNOWN are both rejects."""
        return bool(self.message["verdict"] == "OK")

    @cached_property
    def deadline_at(self) -> datetime:
        """After it the verdict counts for nothing."""
        return datetime.fromisoformat(self.message["deadline_at"])

    @property
    def is_stale(self) -> bool:
        """Whether the deadline has passed, by this machine's clock."""
        return datetime.now(UTC) > self.deadline_at


@dataclass(frozen=True)
class LineState:
    """The state of the line, sent at each change and twice a second.

    Attributes:
        message: As `appliance/contracts/line_state.json` says.
    """

    topic: str
    message: dict[str, Any]

    @property
    def is_ready(self) -> bool:
        """Whether a part that comes now can be inspected."""
        return bool(self.message["ready"])


LaneMessage = Verdict | LineState


def decode_lane_message(topic: str, body: bytes) -> LaneMessage:
    """Read a message of the verdict lane.

    Raises:
        PublishError: It is no verdict and no line state.
    """
    try:
        message = json.loads(body)
        if topic.startswith(LINE_TOPICS):
            _ = message["ready"]
            return LineState(topic, message)
        verdict = Verdict(topic, message)
        _ = verdict.is_ok, verdict.deadline_at.utcoffset()
    except (ValueError, KeyError, TypeError) as error:
        raise PublishError(f"message on topic {topic} is no verdict: {error!r}; another version?") from error
    return verdict
