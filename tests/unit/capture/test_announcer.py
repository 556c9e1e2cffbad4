"""File first, then the wake-up; no room is counted."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from appliance import seqpacket
from appliance.capture.announcer import Announcer
from appliance.messages import Reason, Trigger
from appliance.tally import AnnouncedReader
from appliance.wire.publisher_link import publisher_socket


@pytest.fixture
def announcer(tmp_path: Path) -> Iterator[Announcer]:
    announcer = Announcer(tmp_path, tmp_path / "state", "cam0")
    yield announcer
    announcer.close()


def _triggers(announcer: Announcer, count: int) -> tuple[Trigger, ...]:
    first = announcer.next_trigger_id
    return tuple(Trigger(trigger_id=first + number, exposed_ns=number) for number in range(count))


def _announced(folder: Path, trigger_id: int) -> Trigger | None:
    reader = AnnouncedReader(folder, "cam0")
    reader.reopen()
    try:
        return reader.read(trigger_id)
    finally:
        reader.close()


def test_an_announced_trigger_stands_in_the_file_without_a_publisher(announcer: Announcer, tmp_path: Path) -> None:
    triggers = _triggers(announcer, 3)

    assert announcer.announce(triggers)

    assert [_announced(tmp_path, trigger.trigger_id) for trigger in triggers] == list(triggers)
    assert announcer.last == triggers[-1]
    assert announcer.triggers == 3


def test_an_amended_trigger_has_its_reason_in_the_file(announcer: Announcer, tmp_path: Path) -> None:
    (trigger,) = _triggers(announcer, 1)
    announcer.announce((trigger,))

    announcer.amend(Trigger(trigger_id=trigger.trigger_id, exposed_ns=0, reason=Reason.RING_FULL))

    found = _announced(tmp_path, trigger.trigger_id)
    assert found is not None
    assert found.reason is Reason.RING_FULL


def test_the_publisher_is_woken_and_told_what_was_amended(announcer: Announcer, tmp_path: Path) -> None:
    server = seqpacket.listen(publisher_socket(tmp_path))
    announcer.keep_link()
    peer = seqpacket.accept(server)
    assert peer is not None
    (trigger,) = _triggers(announcer, 1)

    announcer.announce((trigger,))
    announcer.amend(Trigger(trigger_id=trigger.trigger_id, exposed_ns=0, reason=Reason.RING_FULL))

    hello, *wakes = [message for message, _ in seqpacket.drain(peer)]
    assert b'"cam0"' in hello
    assert wakes == [bytes(8), trigger.trigger_id.to_bytes(8, "little")]
    peer.close()
    server.close()


def test_triggers_that_find_no_room_are_counted_and_take_no_id(announcer: Announcer) -> None:
    announce_until_full(announcer)
    first_free = announcer.next_trigger_id

    assert not announcer.announce(_triggers(announcer, 3))

    assert announcer.unannounced == 4
    assert announcer.next_trigger_id == first_free


def announce_until_full(announcer: Announcer) -> None:
    while announcer.announce(_triggers(announcer, 1)):
        pass
