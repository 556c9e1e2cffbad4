"""HTTP for monitoring: small answers to GET, one a connection, and clients that are slow or many take nothing from it.

http.server's own server is not used: it asks the DNS for the host's name when it binds, which may hang a box, and
makes as many threads as somebody likes.
"""

import contextlib
import ipaddress
import logging
import socket
import socketserver
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler
from typing import Any

from appliance.errors import PublishError

log = logging.getLogger(__name__)

MAX_CONNECTIONS = 8
"""At a time; further ones are hung up on."""
LONGEST_CONNECTION_S = 5.0
"""For the request and its answer, whatever trickles in."""


@dataclass(frozen=True)
class HttpAnswer:
    """What a page is at the moment."""

    status: HTTPStatus
    content_type: str
    body: bytes


class HealthServer(socketserver.ThreadingTCPServer):
    """Serves some pages. `handle_request` and `hang_up` belong to one thread; each page is made in a thread of its own.

    Args:
        pages: By path; called for each request, from several threads.
    Raises:
        PublishError: Address busy, or not ours.
    """

    allow_reuse_address = True
    daemon_threads = True
    request_queue_size = 16

    def __init__(self, host: str, port: int, pages: Mapping[str, Callable[[], HttpAnswer]]) -> None:
        self.pages = pages
        self.requests = 0
        self.turned_away = 0
        self._lock = threading.Lock()
        self._began: dict[socket.socket, float] = {}
        self.address_family = socket.AF_INET6 if ipaddress.ip_address(host).version == 6 else socket.AF_INET
        try:
            super().__init__((host, port), _Handler)
        except OSError as error:
            raise PublishError(
                f"health: {host}:{port} can't be bound: {error.strerror}; stop what uses it, or change [health] port"
            ) from error

    @property
    def connections(self) -> int:
        """Clients connected now."""
        return len(self._began)

    def process_request(self, request: Any, client_address: Any) -> None:
        """Answer in a thread, if there is one left (called by `handle_request`)."""
        self.requests += 1
        if self.connections >= MAX_CONNECTIONS:
            self.turned_away += 1
            self.shutdown_request(request)
            return
        with self._lock:
            self._began[request] = time.monotonic()
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        """End a connection (called by socketserver once it is answered)."""
        with self._lock:
            self._began.pop(request, None)
        super().shutdown_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:  # noqa: ARG002 (socketserver's own signature)
        """A client that is gone, or a bug of ours: neither may end the process."""
        log.debug("health: %s", client_address, exc_info=True)

    def hang_up(self, older_than_s: float = LONGEST_CONNECTION_S) -> None:
        """End connections that take too long; their threads see the end of the stream."""
        now = time.monotonic()
        with self._lock:
            for connection, began in self._began.items():
                if now - began > older_than_s:
                    with contextlib.suppress(OSError):
                        connection.shutdown(socket.SHUT_RDWR)


class _Handler(BaseHTTPRequestHandler):
    """One request. Everything but GET gets http.server's 501, which stands for: of no page here."""

    server: HealthServer
    server_version, sys_version = "appliance", ""
    error_content_type, error_message_format = "text/plain; charset=utf-8", "%(code)d %(message)s\n"
    timeout = LONGEST_CONNECTION_S

    def do_GET(self) -> None:
        """Send a page."""
        page = self.server.pages.get(self.path.partition("?")[0])
        if page is None:
            self.send_error(HTTPStatus.NOT_FOUND, f"no such page; there are {', '.join(self.server.pages)}")
        elif self.headers.get("Content-Length", "0") != "0" or "Transfer-Encoding" in self.headers:
            self.send_error(HTTPStatus.BAD_REQUEST, "a request here has no body")
        else:
            self._send(page())

    def _send(self, answer: HttpAnswer) -> None:
        self.send_response(answer.status)
        self.send_header("Content-Type", answer.content_type)
        self.send_header("Content-Length", str(len(answer.body)))
        self.send_header("Cache-Control", "no-store")
        self.end_headers()
        self.wfile.write(answer.body)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 (http.server's own name)
        log.debug("health: %s %s", self.client_address[0], format % args)
