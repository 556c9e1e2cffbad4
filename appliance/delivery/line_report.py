"""Tells the line's state on the verdict lane: at once when it changes, and twice a second anyway."""

import time
from typing import Any

from appliance.clock import NS_PER_MS
from appliance.config import ApplianceConfig
from appliance.delivery.ledger import Ledger
from appliance.delivery.line_rules import LineRules
from appliance.delivery.line_state import LineState
from appliance.delivery.speaker import Speaker
from appliance.messages import encode
from appliance.messages.line import LineStatus, line_message, line_topic
from appliance.wire.verdict_lane import VerdictPublisher

PERIOD_NS = 500 * NS_PER_MS
_SHORTEST_NS = 5 * NS_PER_MS  # a handshake bit may flicker with every part; a PLC's cycle is no shorter


class LineReport:
    """Builds and sends the state message. Single-threaded, in the publisher's loop."""

    def __init__(
        self,
        config: ApplianceConfig,
        lane: VerdictPublisher,
        *,
        ledger: Ledger,
        rules: LineRules,
        line: LineState,
        speaker: Speaker,
    ) -> None:
        self._line_name, self._station = config.line, config.station
        self._is_simulated = all(camera.replayed_folder is not None for camera in config.cameras)
        self._topic = line_topic(config.line, config.station, is_simulated=self._is_simulated)
        self._lane, self._ledger, self._rules, self._line, self._speaker = lane, ledger, rules, line, speaker
        self._told: LineStatus | None = None
        self._told_ns = 0

    def tell_when_due(self, now_ns: int) -> None:
        """Send the state if it has changed, or if half a second has passed."""
        age_ns = now_ns - self._told_ns
        if age_ns < _SHORTEST_NS:
            return
        status = self._line.status()
        if status == self._told and age_ns < PERIOD_NS:
            return
        if age_ns >= PERIOD_NS:
            self._welcome()
        self._told, self._told_ns = status, now_ns
        self._lane.send_state(self._topic, encode(self._message(status, now_ns)))

    def message(self) -> dict[str, Any]:
        """The state as it is now."""
        return self._message(self._line.status(), time.monotonic_ns())

    def _message(self, status: LineStatus, now_ns: int) -> dict[str, Any]:
        count = self._rules.count
        return line_message(
            status,
            line=self._line_name,
            station=self._station,
            at_ns=now_ns,
            counters=self._counters(),
            ledger_epoch=self._ledger.epoch,
            verdict_seq=self._ledger.verdict_seq,
            controller_count=count.controller_count,
            our_count=count.our_count,
            recipe=self._rules.recipes.current.reference,
            is_simulated=self._is_simulated,
        )

    def _counters(self) -> dict[str, int]:
        parts = self._rules.parts
        return {
            **{word.name.lower(): number for word, number in self._speaker.verdicts.items()},
            "rejects_in_a_row": self._line.rejects_in_a_row,
            "overruns": self._line.overruns,
            "count_mismatches": self._rules.count.mismatches,
            "late_findings": self._ledger.late_findings,
            "late_views": self._ledger.late_views,
            "parts_announced": len(parts),
            "parts_expired": parts.expired,
            "parts_contradicted": parts.contradictions,
        }

    def _welcome(self) -> None:
        self._lane.welcome(encode({"ledger_epoch": self._ledger.epoch, "verdict_seq": self._ledger.verdict_seq}))
