"""What goes out of a verdict: its one message on the wire, then its record to the spool."""

import time
from dataclasses import dataclass, field
from typing import Any

from appliance.clock import NS_PER_MS, rfc3339, wall_from_monotonic
from appliance.config import ApplianceConfig
from appliance.counters import LatencyWindow, RateMeter
from appliance.delivery.ledger import Verdict
from appliance.delivery.model_desk import ModelEvent
from appliance.messages import (
    Finding,
    Outcome,
    VerdictWord,
    encode,
    inspection_record,
    late_finding_record,
    model_event_record,
    verdict_message,
    verdict_topic,
)
from appliance.tally import SpoolWriter
from appliance.wire.verdict_lane import VerdictPublisher


@dataclass
class CameraMeters:
    """Verdicts by the camera of their first view."""

    latency_ms: LatencyWindow = field(default_factory=LatencyWindow)
    rate: RateMeter = field(default_factory=RateMeter)
    unsent: int = 0


class Speaker:
    """Sends verdicts at most once, and keeps a record of each.

    Attributes:
        verdicts: Given since the start, by word.
        has_spooled: Something new is in the spool; whoever tells the recorder resets it.
    """

    def __init__(self, config: ApplianceConfig, ledger_epoch: str, lane: VerdictPublisher, spool: SpoolWriter) -> None:
        self._line, self._station, self._epoch = config.line, config.station, ledger_epoch
        self._lane = lane
        self._spool = spool
        self.meters = {camera.name: CameraMeters() for camera in config.cameras}
        self.verdicts = dict.fromkeys(VerdictWord, 0)
        self.has_spooled = False

    def say(self, verdict: Verdict, model: dict[str, str] | None) -> bool:
        """Send a verdict, if it still may be sent, and record it; tells whether it went on the wire."""
        inspection = verdict.inspection
        outcome = Outcome(
            line=self._line,
            station=self._station,
            ledger_epoch=self._epoch,
            verdict_seq=verdict.verdict_seq,
            inspection_id=inspection.inspection_id,
            views=inspection.views,
            verdict=verdict.verdict,
            reason=verdict.reason,
            decided_ns=verdict.decided_ns,
            deadline_ns=inspection.deadline_ns,
            part=inspection.part,
            model=model,
            recipe=inspection.plan.reference,
        )
        message = verdict_message(outcome)
        was_sent = verdict.is_sent and self._send(outcome, message, inspection.latest_send_ns(verdict.verdict))
        if not was_sent:
            self.meters[inspection.views[0].camera].unsent += 1
        self.verdicts[verdict.verdict] += 1
        self._keep(inspection_record(outcome, message, was_sent=was_sent))
        return was_sent

    def keep_late(self, finding: Finding, *, is_simulated: bool) -> None:
        """Record a finding that came after its inspection's verdict."""
        record = late_finding_record(
            finding,
            line=self._line,
            station=self._station,
            ledger_epoch=self._epoch,
            is_simulated=is_simulated,
            recorded_at=rfc3339(time.time_ns()),
        )
        self._keep(record)

    def keep_event(
        self,
        event: ModelEvent,
        recipe: dict[str, Any],
        *,
        old: dict[str, str] | None,
        new: dict[str, str] | None,
        is_simulated: bool,
    ) -> None:
        """Record what happened to the model in use."""
        record = model_event_record(
            line=self._line,
            station=self._station,
            ledger_epoch=self._epoch,
            event=event.word,
            event_id=event.from_ns,
            recipe=recipe,
            old_model=old,
            model=new,
            by=event.by,
            detail=event.detail,
            effective_at=wall_from_monotonic(event.from_ns),
            recorded_at=rfc3339(time.time_ns()),
            is_simulated=is_simulated,
        )
        self._keep(record)

    def _send(self, outcome: Outcome, message: dict[str, Any], latest_ns: int) -> bool:
        """Hand a verdict to the wire, unless its time has passed meanwhile; tells whether it went."""
        encoded = encode(message)
        now_ns = time.monotonic_ns()
        if now_ns >= latest_ns:  # we were stopped since the decision: silence is safer than a stale OK
            return False
        self._lane.send(verdict_topic(self._line, self._station, is_simulated=outcome.is_simulated), encoded)
        first = outcome.views[0]
        meters = self.meters[first.camera]
        meters.latency_ms.add((now_ns - first.trigger.exposed_ns) / NS_PER_MS)
        meters.rate.add(now_ns)
        return True

    def _keep(self, record: dict[str, Any]) -> None:
        self._spool.append(encode(record))
        self.has_spooled = True
