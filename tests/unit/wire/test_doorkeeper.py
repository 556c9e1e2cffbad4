import contextlib
import os
import select
from collections.abc import Iterator
from pathlib import Path

import pytest
import zmq

from appliance.testing.patience import PATIENCE_S, wait_for
from appliance.testing.zmtp import RawPeer, frame
from appliance.wire.client_keys import Role
from appliance.wire.doorkeeper import Connection, Doorkeeper


class LateDoorkeeper(Doorkeeper):
    """One whose thread gets no turn, as on a machine that is busy elsewhere."""

    def _run(self) -> None:
        select.select([self._wake_fd], [], [])


class Door:
    """A bound socket with nobody but its owner to look after it."""

    def __init__(self) -> None:
        self._context = zmq.Context()
        self._socket: zmq.Socket[bytes] = self._context.socket(zmq.XPUB)
        self._socket.linger = 0
        self._socket.setsockopt(zmq.XPUB_VERBOSER, 1)
        self.doorkeeper = LateDoorkeeper(
            self._context, self._socket, "here", role=Role.VERDICT, keys=None, handshake_s=2.0
        )
        self._socket.bind("tcp://127.0.0.1:0")
        self.endpoint = self._socket.getsockopt_string(zmq.LAST_ENDPOINT).rstrip("\0")
        self.doorkeeper.watch(self.endpoint)

    def subscribed(self, topic: bytes) -> tuple[int, Connection]:
        """Wait for a subscription; gives its connection's descriptor, and the entry it is noted in."""
        while True:
            assert self._socket.poll(PATIENCE_S * 1000), "no subscription came"
            message = self._socket.recv(copy=False)
            connection = self.doorkeeper.identify(message)
            assert connection is not None
            if message.bytes == b"\x01" + topic:
                connection.topics += 1
                fd = message.get(zmq.SRCFD)
                assert isinstance(fd, int)
                return fd, connection

    def close(self) -> None:
        self.doorkeeper.stop()
        self._socket.close()
        self._context.term()


@pytest.fixture
def door() -> Iterator[Door]:
    door = Door()
    yield door
    door.close()


def subscribe(endpoint: str, topic: bytes) -> RawPeer:
    peer = RawPeer(endpoint, b"SUB")
    peer.send(frame(b"\x01" + topic))
    return peer


def wait_until_closed(fd: int) -> None:
    wait_for(lambda: not Path(f"/proc/self/fd/{fd}").exists())


def test_a_connection_is_never_taken_for_the_one_that_had_its_descriptor_before(door: Door) -> None:
    with contextlib.ExitStack() as stack:
        first_peer = subscribe(door.endpoint, b"a")
        fd, first = door.subscribed(b"a")
        while (filler := os.open("/dev/null", os.O_RDONLY)) < fd:  # leave no free number below it
            stack.callback(os.close, filler)
        stack.callback(os.close, filler)
        first_peer.close()
        wait_until_closed(fd)
        second_peer = subscribe(door.endpoint, b"b")  # takes the first peer's number, and leaves the server this one
        stack.callback(second_peer.close)
        fd_again, second = door.subscribed(b"b")
        assert fd_again == fd, "the descriptor was to be used again"
        assert second is not first
        door.doorkeeper.follow()
        assert (door.doorkeeper.connections, door.doorkeeper.topics) == (1, 1)


def test_a_message_of_a_connection_that_has_ended_leaves_no_trace(door: Door) -> None:
    peer = subscribe(door.endpoint, b"a")
    wait_for(lambda: (door.doorkeeper.follow(), door.doorkeeper.connections)[1] == 1)
    (fd,) = door.doorkeeper._connections
    peer.close()
    wait_until_closed(fd)
    door.subscribed(b"a")
    assert (door.doorkeeper.connections, door.doorkeeper.topics) == (0, 0)
