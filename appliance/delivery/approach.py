"""How near a trigger is that a recipe switch waits for: from then on frames are judged by both recipes. Pure.

Two recipes with two models cost two runs of a model a frame, so that isn't done for as long as a switch may wait. What
is not known counts as near.
"""

from collections import deque
from dataclasses import dataclass, field

from appliance.clock import NS_PER_MS
from appliance.messages import Trigger, TriggerFlag

_NEAR_NS = 250 * NS_PER_MS
"""Time for the inspector to hear of it, with a line at its highest speed and a busy machine."""
_FEWEST = 2
_STEPS = 8


@dataclass
class _Pace:
    """A camera's last trigger, and its shortest and longest steps."""

    trigger_id: int
    exposed_ns: int
    encoder_count: int | None
    periods_ns: deque[int] = field(default_factory=lambda: deque(maxlen=_STEPS))
    encoder_steps: deque[int] = field(default_factory=lambda: deque(maxlen=_STEPS))

    @property
    def ahead(self) -> int:
        """Triggers that may come before the inspector has heard."""
        period_ns = max(1, min(self.periods_ns, default=1))
        return max(_FEWEST, -(-_NEAR_NS // period_ns))


class Approach:
    """The pace of all cameras."""

    def __init__(self) -> None:
        self._paces: dict[str, _Pace] = {}

    def see(self, camera: str, trigger: Trigger) -> None:
        """A trigger was read, in the order of its camera."""
        counted = trigger.encoder_count if TriggerFlag.COUNTED in trigger.flags else None
        pace = self._paces.get(camera)
        if pace is None:
            self._paces[camera] = _Pace(trigger.trigger_id, trigger.exposed_ns, counted)
            return
        pace.periods_ns.append(trigger.exposed_ns - pace.exposed_ns)
        if counted is not None and pace.encoder_count is not None:
            pace.encoder_steps.append(abs(counted - pace.encoder_count))
        pace.trigger_id, pace.exposed_ns, pace.encoder_count = trigger.trigger_id, trigger.exposed_ns, counted

    def is_near(self, camera: str, trigger_id: int) -> bool:
        """Whether a camera may reach a trigger before the inspector has heard that it is near."""
        pace = self._paces.get(camera)
        return pace is None or not pace.periods_ns or trigger_id - pace.trigger_id <= pace.ahead

    def is_encoder_near(self, camera: str, count: int) -> bool:
        """The same for an encoder position."""
        pace = self._paces.get(camera)
        if pace is None or pace.encoder_count is None or not pace.encoder_steps:
            return True
        return count - pace.encoder_count <= pace.ahead * max(pace.encoder_steps)
