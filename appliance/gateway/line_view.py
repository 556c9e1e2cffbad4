"""What the verdict lane has told us, turned into the picture that registers show. No socket, no clock of its own.

Silence is never ready: without a publisher, without its line state for `STALE_NS`, or with our own ears gone deaf, the
picture says not ready and shows no valid result; and the heartbeat stops when nobody listens any more.
"""

import json
from collections import deque
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from appliance.clock import NS_PER_S
from appliance.gateway.registers import RING_RECORDS, CommandState, Counters, Picture, Result
from appliance.messages import SCHEMA_VERSION, Reason, VerdictWord

STALE_NS = 1_500_000_000
"""The line state comes every half second: three missing ones are a silent publisher."""
_REASONS = {reason.word: reason for reason in Reason}


@dataclass(frozen=True)
class _LineState:
    """The part of a line state message that registers show, and when it came."""

    taken_ns: int
    verdict_seq: int = 0
    is_ready: bool = False
    is_trigger_acknowledged: bool = False
    is_result_valid: bool = False
    is_result_acknowledged: bool = False
    is_overrun: bool = False
    is_stop_requested: bool = False
    error_id: int = 0
    our_count: int = 0
    controller_count: int = 0
    counters: Counters = Counters()


class LineView:
    """The latest of everything. Single-threaded; `now_ns` is CLOCK_MONOTONIC.

    Attributes:
        unreadable: Messages that were no verdict or line state of our schema version.
    """

    def __init__(self, now_ns: int) -> None:
        self._started_ns = self._heard_ns = now_ns
        self._is_present = False
        self._line: _LineState | None = None
        self._results: deque[Result] = deque(maxlen=RING_RECORDS)
        self._is_void = True
        self.unreadable = 0

    def listen(self, *, is_connected: bool, now_ns: int) -> None:
        """Note that somebody listens, and whether the publisher is there; call it several times a second."""
        self._heard_ns = now_ns
        self._is_present = is_connected
        if not is_connected:
            self._line, self._is_void = None, True

    def take(self, topic: str, body: bytes, *, now_ns: int, unix_s: float) -> None:
        """Take one message of the lane; one that can't be read is counted and changes nothing."""
        try:
            message = json.loads(body)
            if message["schema_version"] != SCHEMA_VERSION:
                self.unreadable += 1
            elif topic.removeprefix("sim.").startswith("line."):
                self._line = _line_state(message, now_ns)
            else:
                self._results.append(_result(message, now_ns, unix_s))
                self._is_void = False
        except (ValueError, KeyError, TypeError):
            self.unreadable += 1

    def find(self, sequence: int) -> Result | None:
        """Find a result that is shown by the sequence number a PLC has read."""
        return next((result for result in self._results if result.sequence == sequence), None)

    def is_present(self, now_ns: int) -> bool:
        """Whether the publisher answers, as far as we know."""
        return self._is_present and now_ns - self._heard_ns < STALE_NS

    def picture(self, command: CommandState, now_ns: int) -> Picture:
        """Describe the line now."""
        line = self._fresh_line(now_ns) or _LineState(now_ns)
        result = self._results[-1] if self._results else None
        is_expired = result is not None and (result.came_late or now_ns >= result.expires_ns)
        return Picture(
            heartbeat=(self._heard_ns - self._started_ns) // NS_PER_S,
            is_publisher_present=self.is_present(now_ns),
            is_ready=line.is_ready,
            is_trigger_acknowledged=line.is_trigger_acknowledged,
            is_valid=self._is_offered(now_ns) and not is_expired,
            is_result_acknowledged=line.is_result_acknowledged and self._is_latest(line),
            is_expired=is_expired,
            is_overrun=line.is_overrun,
            is_stop_requested=line.is_stop_requested,
            is_simulated=result is not None and result.is_simulated,
            error_id=line.error_id,
            our_count=line.our_count,
            controller_count=line.controller_count,
            counters=line.counters,
            command=command,
            results=tuple(self._results),
        )

    def _fresh_line(self, now_ns: int) -> _LineState | None:
        if self._line is None or not self.is_present(now_ns) or now_ns - self._line.taken_ns >= STALE_NS:
            return None
        return self._line

    def _is_latest(self, line: _LineState) -> bool:
        return bool(self._results) and line.verdict_seq == self._results[-1].verdict_seq

    def _is_offered(self, now_ns: int) -> bool:
        """Whether the publisher stands by the newest result: its line state says so, or is older than the result."""
        line = self._fresh_line(now_ns)
        if line is None or self._is_void or not self._results:
            return False
        return line.is_result_valid if self._is_latest(line) else line.verdict_seq < self._results[-1].verdict_seq


def _line_state(message: dict[str, Any], now_ns: int) -> _LineState:
    counters = message["counters"]
    return _LineState(
        taken_ns=now_ns,
        verdict_seq=int(message["verdict_seq"]),
        is_ready=message["ready"] is True,
        is_trigger_acknowledged=bool(message["trigger_acknowledged"]),
        is_result_valid=bool(message["result_valid"]),
        is_result_acknowledged=bool(message["result_acknowledged"]),
        is_overrun=bool(message["overrun"]),
        is_stop_requested=bool(message["stop_requested"]),
        error_id=int(message["error_id"]),
        our_count=int(message["our_count"] or 0),
        controller_count=int(message["controller_count"] or 0),
        counters=Counters(int(counters["ok"]), int(counters["ng"]), int(counters["unknown"])),
    )


def _result(message: dict[str, Any], now_ns: int, unix_s: float) -> Result:
    deadline = datetime.fromisoformat(message["deadline_at"]).timestamp()
    published = datetime.fromisoformat(message["published_at"]).timestamp()
    # The wall clock may be set back on the way: no more time is left than was left at publication.
    left_ns = int(min(deadline - unix_s, deadline - published) * NS_PER_S)
    return Result(
        verdict_seq=int(message["verdict_seq"]),
        inspection_id=int(message["inspection_id"]),
        verdict=VerdictWord[message["verdict"]],
        reason=_REASONS[message["reason"]],
        defect_count=len(message["defects"]),
        expires_ns=now_ns + max(left_ns, 0),
        came_late=left_ns <= 0,
        is_simulated=bool(message["is_simulated"]),
    )
