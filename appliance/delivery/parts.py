"""Announced parts: who passes at which trigger. Pure; one owner, the publisher's loop.

    announced ──claim (its trigger was exposed)──▶ claimed ──settle (its verdict was given)──▶ remembered for a while

An announcement names its trigger; it is never taken for "the next one". One that nobody claims expires.
"""

import bisect
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass, field

from appliance.clock import NS_PER_S
from appliance.messages import Part, Trigger, TriggerFlag
from appliance.messages.binding import Binding, BindingKey, count_key, trigger_key

MAX_PENDING = 1024
"""Announcements without their trigger; further ones are refused."""
EXPIRES_NS = 8 * 3600 * NS_PER_S
"""A shift: an announcement whose trigger has not come by then is forgotten."""
_MAX_REMEMBERED = 1024


@dataclass(frozen=True)
class Announcement:
    """A part bound to a trigger. `recipe` is the one its announcer expects to be in use; None: any."""

    bind: Binding
    part: Part
    recipe: str | None = None
    at_ns: int = field(default=0, compare=False)


@dataclass(frozen=True)
class Claimed:
    """An announcement whose trigger came."""

    announcement: Announcement
    inspection_id: int


class PartBook:
    """Announcements by what they are bound to.

    Attributes:
        expired: Announcements whose trigger never came.
        contradictions: Triggers to which two different announcements were bound in different ways.
    """

    def __init__(self) -> None:
        self._pending: OrderedDict[BindingKey, Announcement] = OrderedDict()
        self._claimed: OrderedDict[BindingKey, Claimed] = OrderedDict()
        self._by_part: dict[str, Binding] = {}
        self._by_encoder: dict[str, list[tuple[int, Announcement]]] = {}
        self.expired = 0
        self.contradictions = 0

    def __len__(self) -> int:
        return len(self._pending)

    def pending(self) -> Iterator[Announcement]:
        """Announcements whose trigger hasn't come, oldest first."""
        return iter(self._pending.values())

    def unsettled(self) -> list[Announcement]:
        """Announcements that a successor would need: pending, or claimed by an inspection that is open."""
        open_ones = [one.announcement for one in self._claimed.values() if self._is_bound(one.announcement)]
        return [*open_ones, *self._pending.values()]

    def find(self, bind: Binding) -> Announcement | Claimed | None:
        """What was said of a trigger before, in the same way of naming it."""
        return self._pending.get(bind.key) or self._claimed.get(bind.key)

    def bound_elsewhere(self, announcement: Announcement) -> Binding | None:
        """Where else this part is expected, or being inspected; None when nowhere."""
        assert announcement.part.part_id is not None
        bind = self._by_part.get(announcement.part.part_id)
        return bind if bind is not None and bind.key != announcement.bind.key else None

    def has_room(self, now_ns: int) -> bool:
        """Whether one more may be announced; forgets expired ones first."""
        while self._pending:
            oldest = next(iter(self._pending.values()))
            if oldest.at_ns > now_ns - EXPIRES_NS:
                break
            self.forget(oldest)
        return len(self._pending) < MAX_PENDING

    def add(self, announcement: Announcement) -> None:
        """Expect a part; the caller has looked for contradictions."""
        bind = announcement.bind
        self._pending[bind.key] = announcement
        assert announcement.part.part_id is not None
        self._by_part[announcement.part.part_id] = bind
        if bind.encoder is not None:
            positions = self._by_encoder.setdefault(bind.encoder.camera, [])
            bisect.insort(positions, (bind.encoder.count, announcement), key=lambda one: one[0])

    def forget(self, announcement: Announcement) -> None:
        """Drop a pending announcement: its trigger never came."""
        self._take(announcement)
        self._unbind(announcement)
        self.expired += 1

    def claim(
        self, camera: str, trigger: Trigger, controller_count: int | None, inspection_id: int
    ) -> Announcement | None:
        """Take the announcement of a trigger that was exposed.

        Args:
            controller_count: The controller's number of this trigger; None where counts mean nothing.
        """
        if not self._pending:
            return None
        found = list(self._bound_to(camera, trigger, controller_count))
        for announcement in found:
            self._take(announcement)
            self._remember(announcement, inspection_id)
        for other in found[1:]:
            self.contradictions += other.part != found[0].part
            self._unbind(other)
        return found[0] if found else None

    def claim_open(self, announcement: Announcement, inspection_id: int) -> None:
        """Remember an announcement that came after its trigger, before the verdict."""
        assert announcement.part.part_id is not None
        self._by_part[announcement.part.part_id] = announcement.bind
        self._remember(announcement, inspection_id)

    def settle(self, announcement: Announcement) -> None:
        """The part has its verdict: it may come again, as a rework does."""
        self._unbind(announcement)

    def _bound_to(self, camera: str, trigger: Trigger, controller_count: int | None) -> Iterator[Announcement]:
        keys = [trigger_key(camera, trigger.trigger_id)]
        if controller_count is not None:
            keys.append(count_key(controller_count))
        yield from (self._pending[key] for key in keys if key in self._pending)
        if TriggerFlag.COUNTED in trigger.flags:
            yield from self._near(camera, trigger.encoder_count)

    def _near(self, camera: str, count: int) -> Iterator[Announcement]:
        """The encoder position nearest to a count, if it is within its own tolerance."""
        positions = self._by_encoder.get(camera, [])
        place = bisect.bisect_left(positions, count, key=lambda one: one[0])
        near = [
            (abs(position - count), announcement)
            for position, announcement in positions[max(place - 1, 0) : place + 1]
            if announcement.bind.encoder is not None and abs(position - count) <= announcement.bind.encoder.tolerance
        ]
        if near:
            yield min(near, key=lambda one: one[0])[1]

    def _take(self, announcement: Announcement) -> None:
        bind = announcement.bind
        del self._pending[bind.key]
        if bind.encoder is not None:
            self._by_encoder[bind.encoder.camera].remove((bind.encoder.count, announcement))

    def _remember(self, announcement: Announcement, inspection_id: int) -> None:
        self._claimed[announcement.bind.key] = Claimed(announcement, inspection_id)
        while len(self._claimed) > _MAX_REMEMBERED:
            self._claimed.popitem(last=False)

    def _is_bound(self, announcement: Announcement) -> bool:
        bind = self._by_part.get(announcement.part.part_id or "")
        return bind is not None and bind.key == announcement.bind.key

    def _unbind(self, announcement: Announcement) -> None:
        if self._is_bound(announcement):
            del self._by_part[announcement.part.part_id or ""]
