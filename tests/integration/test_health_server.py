"""The health server against clients that are slow, many, mistaken or gone."""

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from http import HTTPStatus
from pathlib import Path

import pytest

from appliance.box.health import pages_of
from appliance.box.health_server import MAX_CONNECTIONS, HealthServer, HttpAnswer
from appliance.config import ApplianceConfig
from appliance.errors import PublishError
from appliance.testing.patience import PATIENCE_S

GET = b"GET /here HTTP/1.1\r\nHost: box\r\n\r\n"


@contextmanager
def served(pages: dict[str, Callable[[], HttpAnswer]], longest_s: float = PATIENCE_S) -> Iterator[HealthServer]:
    """Run a server's loop as the process does."""
    stop = threading.Event()
    with HealthServer("127.0.0.1", 0, pages) as server:
        server.timeout = 0.02

        def run() -> None:
            while not stop.is_set():
                server.handle_request()
                server.hang_up(longest_s)

        thread = threading.Thread(target=run)
        thread.start()
        try:
            yield server
        finally:
            stop.set()
            thread.join()
            server.hang_up(-1.0)


@pytest.fixture
def server() -> Iterator[HealthServer]:
    with served({"/here": lambda: HttpAnswer(HTTPStatus.OK, "text/plain", b"well\n")}) as running:
        yield running


def connect(server: HealthServer) -> socket.socket:
    return socket.create_connection(server.server_address[:2], timeout=PATIENCE_S)


def read(connection: socket.socket) -> bytes:
    """All that comes until the other side hangs up."""
    answer = b""
    try:
        while part := connection.recv(4096):
            answer += part
    except ConnectionResetError:
        pass
    return answer


def ask(server: HealthServer, request: bytes) -> bytes:
    with connect(server) as connection:
        connection.sendall(request)
        return read(connection)


def wait_until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.005)


def test_a_page_is_sent_and_the_connection_ends(server: HealthServer) -> None:
    for request in (GET, GET.replace(b"/here", b"/here?x=1")):
        head, _, body = ask(server, request).partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.0 200 OK\r\n")
        assert b"Python" not in head
        assert body == b"well\n"


@pytest.mark.parametrize(
    ("request_head", "status"),
    [
        (b"GET /elsewhere HTTP/1.1\r\n\r\n", b"404"),
        (b"POST /here HTTP/1.1\r\nContent-Length: 0\r\n\r\n", b"501"),
        (b"HEAD /here HTTP/1.1\r\n\r\n", b"501"),
        (b"GET /here HTTP/1.1\r\nContent-Length: 4\r\n\r\n", b"400"),
        (b"GET /here HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n", b"400"),
        (b"GET /here HTTP/9.9\r\n\r\n", b"505"),
        (b"GET /".ljust(65_537, b"a"), b"414"),  # all that is read of a line: what it leaves would reset the connection
        (b"GET /here HTTP/1.1\r\n" + 200 * b"A: b\r\n" + b"\r\n", b"431"),
        (b"\x16\x03\x01\x00\xa5 nonsense\r\n\r\n", b"400"),
    ],
    ids=lambda value: value[:24].decode("latin-1") if isinstance(value, bytes) else None,
)
def test_what_is_no_get_of_a_page_is_refused(server: HealthServer, request_head: bytes, status: bytes) -> None:
    answer = ask(server, request_head)
    assert status in answer[:12]
    assert b"well" not in answer
    assert b" 200 " in ask(server, GET)


def test_slow_clients_block_nobody_and_are_hung_up_on() -> None:
    with (
        served({"/here": lambda: HttpAnswer(HTTPStatus.OK, "text/plain", b"well\n")}, longest_s=3.0) as server,
        ExitStack() as slow,
    ):
        crowd = [slow.enter_context(connect(server)) for _ in range(MAX_CONNECTIONS - 1)]
        for connection in crowd:
            connection.sendall(b"GET /he")
        wait_until(lambda: server.connections == MAX_CONNECTIONS - 1)
        assert b" 200 " in ask(server, GET)
        assert [read(connection) for connection in crowd] == [b""] * len(crowd)
        wait_until(lambda: server.connections == 0)


def test_a_client_too_many_is_turned_away(server: HealthServer) -> None:
    with ExitStack() as idle:
        for _ in range(MAX_CONNECTIONS):
            idle.enter_context(connect(server))
        wait_until(lambda: server.connections == MAX_CONNECTIONS)
        assert ask(server, GET) == b""
        assert server.turned_away == 1
    wait_until(lambda: server.connections == 0)
    assert b" 200 " in ask(server, GET)


def test_a_page_that_fails_ends_its_connection_alone() -> None:
    def broken() -> HttpAnswer:
        raise RuntimeError("bug")

    pages = {"/broken": broken, "/here": lambda: HttpAnswer(HTTPStatus.OK, "text/plain", b"well\n")}
    with served(pages) as server:
        assert ask(server, b"GET /broken HTTP/1.1\r\n\r\n") == b""
        assert b" 200 " in ask(server, GET)


def test_a_busy_port_is_a_named_error(server: HealthServer) -> None:
    port = server.server_address[1]
    with pytest.raises(PublishError, match=rf"health: 127\.0\.0\.1:{port} can't be bound: .*change \[health\] port"):
        HealthServer("127.0.0.1", port, {})


def test_where_nothing_runs_every_page_says_so(tmp_path: Path) -> None:
    config = ApplianceConfig.model_validate(
        {
            "line": "l",
            "station": "s",
            "recipe": tmp_path / "recipe.toml",
            "models_dir": tmp_path,
            "runtime_dir": tmp_path,
            "cameras": [{"name": "cam0", "source": {"kind": "folder", "images": tmp_path}}],
        }
    )
    with served(pages_of(config)) as server:
        for page in (b"/healthz", b"/readyz", b"/metrics"):
            answer = ask(server, b"GET " + page + b" HTTP/1.1\r\n\r\n")
            assert b" 503 " in answer
            assert b"no appliance runs in" in answer
