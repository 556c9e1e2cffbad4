"""What one run has shown so far: verdicts as they came, beside the truth where it is known."""

import json
from collections import Counter, deque
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from appliance.box.truth import CameraTruth, Scoreboard
from appliance.counters import LatencyWindow

_RECENT = 12


@dataclass(frozen=True)
class ShownVerdict:
    """One verdict from the lane.

    Attributes:
        raw: The message as received.
        message: The same, parsed.
        truth: What the replayed image shows, OK or NG; None when unknown.
        mark: OK, ESCAPE, FALSE REJECT or UNKNOWN; None without a truth.
    """

    raw: bytes
    message: dict[str, Any]
    truth: str | None = None
    mark: str | None = None

    @property
    def camera(self) -> str:
        """Camera of the first view."""
        name: str = self.message["views"][0]["camera"]
        return name

    @property
    def latency_ms(self) -> float:
        """From exposure to publication."""
        total: float = self.message["stage_ms"]["total"]
        return total


class RunState:
    """Counts verdicts and compares them with the truth.

    Args:
        truths: By camera name; cameras without a known truth are left out.
    """

    def __init__(self, truths: Mapping[str, CameraTruth]) -> None:
        self.received = 0
        self.words: dict[str, Counter[str]] = {}
        self.latency_ms = LatencyWindow(size=100_000)
        self.scoreboard = Scoreboard()
        self.has_truth = bool(truths)
        self.recent: deque[ShownVerdict] = deque(maxlen=_RECENT)
        self.status: dict[str, Any] | None = None
        """What `appliance status` said last, at most a second ago; None before every process has spoken."""
        self._truths = truths

    def take(self, raw: bytes) -> ShownVerdict:
        """Count one verdict message."""
        message: dict[str, Any] = json.loads(raw)
        view = message["views"][0]
        known = self._truths.get(view["camera"])
        truth = known.verdict_of(view) if known else None
        mark = self.scoreboard.add(message["verdict"], truth) if truth else None
        shown = ShownVerdict(raw, message, truth, mark)
        self.received += 1
        self.words.setdefault(shown.camera, Counter())[message["verdict"]] += 1
        self.latency_ms.add(shown.latency_ms)
        self.recent.append(shown)
        return shown
