"""Both ends of a ZeroMQ connection with the limits that every socket here has, and how they sit in a select loop.

A ZeroMQ socket's descriptor is edge-triggered: it becomes readable when something *happened*, and any call on the
socket (a send too) may swallow that edge. So an owner that sleeps in select() or selectors does three things:

- registers `fileno()` for reading only, and lets it merely end the sleep;
- drains at every turn of its loop, whether the descriptor was readable or not (one cheap call when nothing waits);
- asks `is_waiting` right before it sleeps, and doesn't sleep when that says True: the drains take a bounded batch.

What can't be limited: the number of frames of one unfinished multipart message. ZeroMQ collects them in memory before
anybody can look (each frame is bounded). With keys only an allowed client can do that; without, only this machine.
"""

import ipaddress
import time
from pathlib import Path
from typing import Any

import zmq

from appliance.errors import PublishError
from appliance.wire.certificate import Certificate
from appliance.wire.client_keys import ClientKeys, Role
from appliance.wire.doorkeeper import Doorkeeper
from appliance.wire.keys import KeyStore
from appliance.wire.monitor import Monitor

HEARTBEAT_INTERVAL_MS = 400
HEARTBEAT_TIMEOUT_MS = 1000
"""Runs from the first ping that isn't answered: a stopped peer is noticed within the sum of both, on either side."""
HANDSHAKE_MS = 2000
"""A connection that has not finished its handshake by then is dropped, on either side."""
BACKLOG = 512
"""Connections the kernel holds until libzmq takes them: with fewer, a crowd makes a good client's first try fail."""
RECONNECT_MS = (50, 200)
"""First and longest pause between a client's attempts."""
_LINGER_MS = 500
_RETRY_S = 0.5
_FINAL_FAILURES = frozenset({zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL, zmq.EVENT_HANDSHAKE_FAILED_AUTH})
"""libzmq never tries again after these, as if a server could not be restarted with other keys."""


class ServerSocket:
    """A bound socket with its own context. One thread; `close` gives what was sent half a second to leave.

    Args:
        kind: zmq.XPUB or zmq.ROUTER.
        role: What a key must be good for here.
        keys: The box's keys; used only where an endpoint needs them.
        setting: Configuration key that names the endpoint; for messages.
        max_frame_bytes: A peer that sends a longer frame is disconnected.
        sndhwm: Messages that may wait for one peer; what comes then is lost to it, not to others.
        options: Further socket options.

    Raises:
        PublishError: Endpoint busy, malformed, or open to others without keys.
        KeysError: The server's keys are damaged or open to others.
    """

    def __init__(
        self,
        kind: int,
        endpoint: str,
        *,
        role: Role,
        keys: KeyStore | None,
        setting: str,
        max_frame_bytes: int,
        sndhwm: int,
        options: dict[int, int] | None = None,
    ) -> None:
        store = needed_keys(endpoint, keys, role)
        pair = store.server_keys() if store is not None else None
        self._context = zmq.Context()
        self.socket: zmq.Socket[bytes] = self._context.socket(kind)
        limits = {zmq.SNDHWM: sndhwm, zmq.RCVHWM: 1000, zmq.BACKLOG: BACKLOG, zmq.LINGER: _LINGER_MS}
        _set_options(self.socket, endpoint, {**limits, zmq.MAXMSGSIZE: max_frame_bytes, **(options or {})})
        if pair is not None:
            _demand_keys(self.socket, pair, role)
        self.doorkeeper = Doorkeeper(
            self._context, self.socket, endpoint, role=role, keys=store, handshake_s=HANDSHAKE_MS / 1000
        )
        try:
            self.socket.bind(endpoint)
        except zmq.ZMQError as error:
            self.close()
            raise PublishError(
                f"{endpoint}: can't be bound: {error.strerror}; stop what uses it, or change {setting}"
            ) from error
        self.bound_endpoint = self.socket.getsockopt_string(zmq.LAST_ENDPOINT).rstrip("\0")
        """The endpoint with its real port, where 0 was asked for."""
        self.doorkeeper.watch(self.bound_endpoint)

    def fileno(self) -> int:
        """Descriptor that ends a sleep (see the module's head)."""
        return self.socket.fileno()

    @property
    def is_waiting(self) -> bool:
        """Whether something waits to be read: ask right before sleeping."""
        events = self.socket.getsockopt(zmq.EVENTS)
        assert isinstance(events, int)
        return bool(events & zmq.POLLIN)

    def close(self) -> None:
        """Close; queued messages still go out for half a second."""
        self.doorkeeper.stop()
        self.socket.close()
        self._context.term()


class ClientSocket:
    """A connected socket with its own context; connects again by itself for ever. One thread.

    What its owner doesn't read waits in this process, however much it is: a running owner misses nothing.

    Args:
        keys: Needed where the server's endpoint isn't loopback or ipc; None otherwise.

    Raises:
        PublishError: Not a ZeroMQ endpoint.
    """

    def __init__(
        self,
        kind: int,
        endpoint: str,
        *,
        keys: ClientKeys | None,
        max_frame_bytes: int,
        options: dict[int, int] | None = None,
    ) -> None:
        self.endpoint = reachable(endpoint)
        self._context = zmq.Context()
        self.socket: zmq.Socket[bytes] = self._context.socket(kind)
        first_ms, longest_ms = RECONNECT_MS
        limits = {zmq.RECONNECT_IVL: first_ms, zmq.RECONNECT_IVL_MAX: longest_ms, zmq.LINGER: 0}
        # A full queue stops a connection's input, heartbeats with it: it breaks, and libzmq aborts the process once its
        # owner reads on after the reconnection (libzmq #3937). A queue without limit is never full.
        limits[zmq.RCVHWM] = 0
        _set_options(self.socket, endpoint, {**limits, zmq.MAXMSGSIZE: max_frame_bytes, **(options or {})})
        if keys is not None:
            _present_keys(self.socket, keys)
        self._monitor = Monitor(self._context, self.socket)
        self._has_failed_handshake = False
        self._is_connected = False
        self._gave_up_s: float | None = None
        try:
            self.socket.connect(self.endpoint)
        except zmq.ZMQError as error:
            self.close()
            raise PublishError(f"{endpoint}: not a ZeroMQ endpoint: {error.strerror}") from error

    @property
    def is_connected(self) -> bool:
        """Whether the server answers: False from 1.5 s after its last heartbeat on."""
        for event in self._monitor.events():
            if event.kind == zmq.EVENT_HANDSHAKE_SUCCEEDED:
                self._is_connected, self._has_failed_handshake = True, False
            elif event.kind == zmq.EVENT_DISCONNECTED:
                self._is_connected = False
            else:
                self._has_failed_handshake = True
                if event.kind in _FINAL_FAILURES:
                    self._gave_up_s = time.monotonic()
        if self._gave_up_s is not None and time.monotonic() - self._gave_up_s > _RETRY_S:
            self._gave_up_s = None
            self.socket.connect(self.endpoint)
        self.socket.getsockopt(zmq.EVENTS)  # lets a SUB that was reconnected subscribe again
        return self._is_connected

    def fileno(self) -> int:
        """Descriptor that ends a sleep (see the module's head)."""
        return self.socket.fileno()

    def send(self, *frames: bytes) -> bool:
        """Queue one message; False when there is no place for it: the server refused our handshake for good."""
        try:
            self.socket.send_multipart(frames, zmq.DONTWAIT)
        except zmq.Again:
            return False
        return True

    def receive(self, timeout_s: float) -> list[bytes] | None:
        """Wait for one message; None after the time-out."""
        end_s = time.monotonic() + timeout_s
        while True:
            try:
                return self.socket.recv_multipart(zmq.DONTWAIT)
            except zmq.Again:
                _ = self.is_connected  # unread events pile up
            left_s = end_s - time.monotonic()
            if left_s <= 0:
                return None
            self.socket.poll(max(int(min(left_s, _RETRY_S) * 1000), 1))

    def silence(self, waited_s: float) -> str:
        """Say in one line why no answer may have come."""
        if self.is_connected:
            state = "connected, but it doesn't answer; `appliance status` on the box shows what runs"
        elif self._has_failed_handshake:
            state = "it hangs up on us: our key is missing, revoked, lacks the role, or is for another box"
        else:
            state = "nothing there that speaks to us; `appliance status` on the box shows what runs"
        return f"{self.endpoint}: no answer within {waited_s:g} s: {state}"

    def close(self) -> None:
        """Hang up; what is queued is thrown away."""
        self._monitor.close()
        self.socket.close(0)
        self._context.term()


def needed_keys(endpoint: str, keys: KeyStore | None, role: Role) -> KeyStore | None:
    """Give the keys an endpoint needs: none where only this machine can reach it.

    Raises:
        PublishError: Other machines could connect, and there are no keys.
    """
    if is_local(endpoint):
        return None
    if keys is not None and keys.exists:
        return keys
    where = f" in {keys.directory}" if keys is not None else ""
    raise PublishError(
        f"{endpoint}: others could connect, and there are no keys{where}: `appliance keys init`, then"
        f" `appliance keys add NAME --role {role}` for each client; without keys only ipc and loopback endpoints"
        " are allowed: use tcp://127.0.0.1:PORT"
    )


def box_keys_for(endpoint: str, keys_dir: Path) -> ClientKeys | None:
    """Give what the box's own programs connect with: the box's client keys, or None where an endpoint takes none.

    Raises:
        KeysError: The endpoint needs keys, and the box's are missing, damaged or not ours to read.
    """
    return None if is_local(endpoint) else KeyStore(keys_dir).box_keys()


def is_local(endpoint: str) -> bool:
    """Tell whether only this machine can reach an endpoint: ipc, inproc, loopback TCP."""
    transport, _, address = endpoint.partition("://")
    if transport in {"ipc", "inproc"} and address:
        return True
    host = address.rpartition(":")[0].strip("[]")
    try:
        return transport == "tcp" and ipaddress.ip_address(host).is_loopback
    except ValueError:
        return transport == "tcp" and host == "localhost"


def reachable(endpoint: str) -> str:
    """Give the address a client on the same machine uses for an endpoint that is bound to every interface."""
    for wildcard, loopback in (("tcp://*:", "tcp://127.0.0.1:"), ("tcp://0.0.0.0:", "tcp://127.0.0.1:")):
        if endpoint.startswith(wildcard):
            return loopback + endpoint.removeprefix(wildcard)
    return endpoint.replace("tcp://[::]:", "tcp://[::1]:")


def _set_options(socket: "zmq.Socket[bytes]", endpoint: str, options: dict[Any, int]) -> None:
    common: dict[Any, int] = {
        zmq.HEARTBEAT_IVL: HEARTBEAT_INTERVAL_MS,
        zmq.HEARTBEAT_TIMEOUT: HEARTBEAT_TIMEOUT_MS,
        zmq.HANDSHAKE_IVL: HANDSHAKE_MS,
        zmq.IPV6: int("[" in endpoint),
    }
    for option, value in {**common, **options}.items():
        socket.setsockopt(option, value)


def _demand_keys(socket: "zmq.Socket[bytes]", pair: Certificate, role: Role) -> None:
    assert pair.secret_key is not None
    socket.setsockopt(zmq.CURVE_SERVER, 1)
    socket.setsockopt(zmq.CURVE_SECRETKEY, pair.secret_key.encode())
    socket.setsockopt(zmq.ZAP_DOMAIN, role.encode())
    socket.setsockopt(zmq.ZAP_ENFORCE_DOMAIN, 1)  # else everybody comes in when nobody answers for the keys


def _present_keys(socket: "zmq.Socket[bytes]", keys: ClientKeys) -> None:
    socket.setsockopt(zmq.CURVE_SERVERKEY, keys.server_key.encode())
    socket.setsockopt(zmq.CURVE_PUBLICKEY, keys.public_key.encode())
    socket.setsockopt(zmq.CURVE_SECRETKEY, keys.secret_key.encode())
