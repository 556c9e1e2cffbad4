import array
import fcntl
import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from appliance import seqpacket


@pytest.fixture
def server(tmp_path: Path) -> Iterator[socket.socket]:
    with seqpacket.listen(tmp_path / "s") as server:
        yield server


@pytest.fixture
def pair(server: socket.socket, tmp_path: Path) -> Iterator[tuple[socket.socket, socket.socket]]:
    near = seqpacket.connect(tmp_path / "s")
    far = seqpacket.accept(server)
    assert near is not None
    assert far is not None
    with near, far:
        yield near, far


def messages(peer: socket.socket) -> tuple[list[bytes], bool]:
    """Drain; give what came and whether EOF followed."""
    got = []
    try:
        for message, _ in seqpacket.drain(peer):
            got.append(message)
    except EOFError:
        return got, True
    return got, False


def test_datagrams_keep_order_and_borders(pair: tuple[socket.socket, socket.socket]) -> None:
    near, far = pair
    assert all(seqpacket.send(near, b"x" * size) for size in (1, 100, 3))
    assert messages(far) == ([b"x", b"x" * 100, b"xxx"], False)


def test_a_closed_sender_s_datagrams_come_before_the_end(pair: tuple[socket.socket, socket.socket]) -> None:
    near, far = pair
    seqpacket.send(near, b"one")
    seqpacket.send(near, b"two")
    near.close()
    assert messages(far) == ([b"one", b"two"], True)


def test_datagrams_survive_the_reset_of_a_sender_that_left_input_unread(
    pair: tuple[socket.socket, socket.socket],
) -> None:
    near, far = pair
    seqpacket.send(far, b"never read")
    seqpacket.send(near, b"one")
    seqpacket.send(near, b"two")
    near.close()
    assert messages(far) == ([b"one", b"two"], True)
    assert messages(far) == ([], True), "the end stays the end"


def test_a_send_that_meets_the_reset_first_does_not_hide_the_datagrams(
    pair: tuple[socket.socket, socket.socket],
) -> None:
    near, far = pair
    seqpacket.send(far, b"never read")
    seqpacket.send(near, b"one")
    near.close()
    with pytest.raises(ConnectionError):
        seqpacket.send(far, b"into the void")
    assert messages(far) == ([b"one"], True)


def test_a_full_buffer_is_told_and_never_blocks(pair: tuple[socket.socket, socket.socket]) -> None:
    near, far = pair
    sent = 0
    while seqpacket.send(near, b"x" * 71):
        sent += 1
    assert sent > 126, "room for every lease a reader of the largest ring can have"
    assert len(messages(far)[0]) == sent
    assert seqpacket.send(near, b"again")


def test_descriptors_arrive_close_on_exec(pair: tuple[socket.socket, socket.socket]) -> None:
    near, far = pair
    with Path("/dev/null").open() as file:
        seqpacket.send(near, b"take this", file.fileno())
    ((message, fd),) = list(seqpacket.drain(far))
    assert fd is not None
    assert message == b"take this"
    assert fcntl.fcntl(fd, fcntl.F_GETFD) & fcntl.FD_CLOEXEC
    os.close(fd)


def test_surplus_descriptors_are_not_leaked(pair: tuple[socket.socket, socket.socket]) -> None:
    near, far = pair
    before = len(list(Path("/proc/self/fd").iterdir()))
    with Path("/dev/null").open() as file:
        fds = array.array("i", [file.fileno()] * 10)
        near.sendmsg([b"many"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, fds)])
    ((_, fd),) = list(seqpacket.drain(far))
    assert fd is not None
    os.close(fd)
    assert len(list(Path("/proc/self/fd").iterdir())) == before


def test_nobody_listening_is_no_error(tmp_path: Path) -> None:
    assert seqpacket.connect(tmp_path / "missing") is None
    seqpacket.listen(tmp_path / "left behind").close()
    assert seqpacket.connect(tmp_path / "left behind") is None


def test_connecting_to_a_stopped_writer_does_not_block(server: socket.socket, tmp_path: Path) -> None:
    waiting = []
    while (peer := seqpacket.connect(tmp_path / "s")) is not None:
        waiting.append(peer)
    assert len(waiting) > 8
    for peer in waiting:
        peer.close()


def test_a_peer_that_died_before_accept_reads_as_gone(server: socket.socket, tmp_path: Path) -> None:
    near = seqpacket.connect(tmp_path / "s")
    assert near is not None
    near.close()
    far = seqpacket.accept(server)
    assert far is not None
    with far:
        assert messages(far) == ([], True)
    assert seqpacket.accept(server) is None


def test_a_dead_process_s_socket_file_is_replaced_and_private(tmp_path: Path) -> None:
    seqpacket.listen(tmp_path / "s").close()
    with seqpacket.listen(tmp_path / "s"):
        assert (tmp_path / "s").stat().st_mode & 0o777 == 0o600


def test_a_path_that_can_t_be_used_leaves_no_open_socket(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    with pytest.raises(OSError, match="directory"):
        seqpacket.listen(tmp_path / "folder")
    with pytest.raises(OSError, match="too long"):
        seqpacket.connect(tmp_path / ("x" * 200))
