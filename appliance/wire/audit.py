"""The running servers' log of who came in and who did not: one line each, never a flood."""

import logging
import time
from collections.abc import Callable

log = logging.getLogger(__name__)

REPEAT_S = 60.0
"""The same happening is told once in this time, with how often it was not."""
LINES_PER_MINUTE = 30
"""Over all: strangers choose how many names there are."""
_MAX_SUBJECTS = 1000


class AuditLog:
    """Writes rate-limited lines for one endpoint. One thread.

    Args:
        place: Endpoint and role, at the head of each line.
        clock: Seconds, monotonic.
    """

    def __init__(self, place: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._place = place
        self._clock = clock
        self._last_told: dict[str, float] = {}
        self._recent: list[float] = []
        self.suppressed = 0
        """Happenings since the last line that got none of their own."""

    def note(self, level: int, what: str, *, is_limited: bool = True) -> None:
        """Log one happening, or count it.

        Args:
            what: The line; equal texts are the same happening.
            is_limited: False for what an administrator did: always told.
        """
        now_s = self._clock()
        if is_limited and not self._may_tell(what, now_s):
            self.suppressed += 1
            return
        behind = f" ({self.suppressed} more were not told)" if self.suppressed else ""
        self.suppressed = 0
        log.log(level, "%s: %s%s", self._place, what, behind)

    def _may_tell(self, what: str, now_s: float) -> bool:
        self._recent = [told_s for told_s in self._recent if told_s > now_s - 60.0]
        last_s = self._last_told.get(what)
        if (last_s is not None and now_s - last_s < REPEAT_S) or len(self._recent) >= LINES_PER_MINUTE:
            return False
        if len(self._last_told) >= _MAX_SUBJECTS:
            self._last_told.clear()
        self._last_told[what] = now_s
        self._recent.append(now_s)
        return True
