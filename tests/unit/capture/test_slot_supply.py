"""Slots on loan to the camera: none twice, none lost."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from appliance.capture.slot_supply import SlotSupply
from appliance.errors import SourceLost
from appliance.messages import FrameGeometry
from appliance.ring import FrameRing, RingLayout


class Tray:
    """Takes slots until it is full, as a camera takes them until it is gone."""

    def __init__(self, room: int = 99) -> None:
        self.slots: list[int] = []
        self._room = room

    def queue(self, slot: int) -> None:
        if len(self.slots) == self._room:
            raise SourceLost("gone")
        self.slots.append(slot)


@pytest.fixture
def ring(tmp_path: Path) -> Iterator[FrameRing]:
    ring = FrameRing(tmp_path / "ring.sock")
    ring.renew(RingLayout.plan(FrameGeometry(8, 8, "Mono8"), 6))
    yield ring
    ring.close()


def test_a_source_gets_every_free_slot_in_order(ring: FrameRing) -> None:
    tray = Tray()

    SlotSupply(ring).open(tray)

    assert tray.slots == [0, 1, 2, 3, 4, 5]


def test_a_slot_is_not_lent_twice(ring: FrameRing) -> None:
    supply, tray = SlotSupply(ring), Tray()
    supply.open(tray)

    supply.refill()
    supply.refill()

    assert len(tray.slots) == 6


def test_a_delivered_and_abandoned_slot_goes_round(ring: FrameRing) -> None:
    supply, tray = SlotSupply(ring), Tray()
    supply.open(tray)

    supply.delivered(2)
    ring.abandon(2)
    supply.refill()

    assert tray.slots[-1] == 2


def test_a_source_that_goes_away_keeps_no_slot(ring: FrameRing) -> None:
    supply = SlotSupply(ring)
    supply.open(Tray(room=3))

    supply.close()
    supply.recall()

    successor = Tray()
    supply.open(successor)
    assert sorted(successor.slots) == [0, 1, 2, 3, 4, 5]


def test_a_closed_supply_lends_nothing(ring: FrameRing) -> None:
    supply, tray = SlotSupply(ring), Tray()
    supply.open(tray)
    supply.close()
    supply.delivered(0)
    ring.abandon(0)

    supply.refill()

    assert len(tray.slots) == 6
