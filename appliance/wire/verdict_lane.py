"""The verdict lane: ZeroMQ XPUB on the box, SUB for whoever follows it. Frames: [topic][verdict JSON].

At most once: a subscriber that is away, slow or late to join misses verdicts, and absence means reject.
"""

import ipaddress
from types import TracebackType
from typing import Self

import zmq
from zmq.utils.monitor import recv_monitor_message

from appliance.errors import PublishError

HEARTBEAT_INTERVAL_MS = 500
HEARTBEAT_TIMEOUT_MS = 1500
"""A stopped peer is noticed within this time on either side."""
_SNDHWM = 10_000
_MAX_SUBSCRIPTION_BYTES = 256
_LINGER_MS = 500
VERDICT_TOPICS = ("verdict.", "sim.verdict.")


class VerdictPublisher:
    """Binds the lane. One thread.

    Raises:
        PublishError: Endpoint busy, malformed, or open to others without keys.
    """

    def __init__(self, endpoint: str) -> None:
        refuse_open_endpoint(endpoint)
        self._context = zmq.Context()
        self._socket = self._context.socket(zmq.XPUB)
        _enable_heartbeats(self._socket)
        self._socket.setsockopt(zmq.SNDHWM, _SNDHWM)
        self._socket.setsockopt(zmq.MAXMSGSIZE, _MAX_SUBSCRIPTION_BYTES)
        self._socket.setsockopt(zmq.LINGER, _LINGER_MS)
        try:
            self._socket.bind(endpoint)
        except zmq.ZMQError as error:
            self.close()
            raise PublishError(
                f"{endpoint}: can't be bound: {error.strerror}; stop what uses it, or change delivery.verdict_endpoint"
            ) from error
        self.subscriptions = 0
        """Topic subscriptions seen so far and not taken back."""
        self.bound_endpoint = self._socket.getsockopt_string(zmq.LAST_ENDPOINT).rstrip("\0")
        """The endpoint with its real port, where 0 was asked for."""

    def send(self, topic: str, message: bytes) -> None:
        """Hand one verdict to ZeroMQ, once; never blocks. A subscriber beyond its high-water mark loses it."""
        self._socket.send_multipart((topic.encode(), message), zmq.DONTWAIT)

    def take_subscriptions(self) -> None:
        """Read waiting subscription messages: unread ones pile up."""
        while self._socket.poll(0):
            message = self._socket.recv(zmq.DONTWAIT)
            self.subscriptions += 1 if message[:1] == b"\x01" else -1

    def close(self) -> None:
        """Close; what was handed over still goes out for half a second."""
        self._socket.close()
        self._context.term()


class VerdictSubscriber:
    """Follows the lane, and knows whether the publisher is there. One thread.

    Args:
        topics: Prefixes to subscribe to; default all verdicts, real and simulated.
    """

    def __init__(self, endpoint: str, topics: tuple[str, ...] = VERDICT_TOPICS) -> None:
        self._context = zmq.Context()
        self._socket = self._context.socket(zmq.SUB)
        _enable_heartbeats(self._socket)
        self._socket.setsockopt(zmq.RECONNECT_IVL, 50)
        self._socket.setsockopt(zmq.RECONNECT_IVL_MAX, 500)
        self._socket.setsockopt(zmq.RCVHWM, 100_000)
        self._socket.setsockopt(zmq.LINGER, 0)
        self._monitor = self._socket.get_monitor_socket(zmq.EVENT_HANDSHAKE_SUCCEEDED | zmq.EVENT_DISCONNECTED)
        self._is_connected = False
        for topic in topics:
            self._socket.setsockopt(zmq.SUBSCRIBE, topic.encode())
        try:
            self._socket.connect(endpoint)
        except zmq.ZMQError as error:
            self.close()
            raise PublishError(f"{endpoint}: not a ZeroMQ endpoint: {error.strerror}") from error

    @property
    def is_connected(self) -> bool:
        """Whether the publisher answers: False from 1.5 s after its last heartbeat on."""
        while self._monitor.poll(0):
            self._is_connected = recv_monitor_message(self._monitor)["event"] == zmq.EVENT_HANDSHAKE_SUCCEEDED
        return self._is_connected

    def receive(self, timeout_s: float) -> tuple[str, bytes] | None:
        """Wait for one verdict; gives (topic, JSON), or None after the time-out."""
        if not self._socket.poll(int(timeout_s * 1000)):
            return None
        topic, message = self._socket.recv_multipart()
        return topic.decode(), message

    def close(self) -> None:
        """Hang up."""
        self._socket.disable_monitor()
        self._monitor.close(0)
        self._socket.close(0)
        self._context.term()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def refuse_open_endpoint(endpoint: str) -> None:
    """Let only ipc, inproc and loopback endpoints pass: everything else needs keys.

    Raises:
        PublishError: Other machines could connect.
    """
    transport, _, address = endpoint.partition("://")
    if transport in {"ipc", "inproc"} and address:
        return
    host = address.rpartition(":")[0].strip("[]")
    try:
        is_loopback = transport == "tcp" and ipaddress.ip_address(host).is_loopback
    except ValueError:
        is_loopback = host == "localhost"
    if not is_loopback:
        raise PublishError(
            f"{endpoint}: only loopback and ipc endpoints are allowed without keys; use tcp://127.0.0.1:PORT"
        )


def _enable_heartbeats(socket: "zmq.Socket[bytes]") -> None:
    socket.setsockopt(zmq.HEARTBEAT_IVL, HEARTBEAT_INTERVAL_MS)
    socket.setsockopt(zmq.HEARTBEAT_TIMEOUT, HEARTBEAT_TIMEOUT_MS)
