"""Who stands at a bound socket: connection limit, keys, and the way out for those whose key was revoked.

libzmq accepts without limit and never asks again about a key it once let in, so a thread beside each bound socket
follows its connections:

- More than `MAX_CONNECTIONS`: hang up on the oldest one that has neither sent a message nor outlived the handshake
  time (libzmq itself ends those that never finish it); where all have, on the newest. So idle or hanging connections
  never keep a good client out. Clients that behave well do once they fill every place: with keys these are allowed
  ones, without any program of this machine.
- CURVE handshakes: answered from the allow-list. Nobody is let in when this thread is dead (ZAP_ENFORCE_DOMAIN).
- A changed allow-list: connections whose key lost this role are hung up on. libzmq tells a connection's descriptor with
  its events and each message, its key with each message only; a connection that said nothing yet can't be told from a
  revoked one and is hung up on too: it had no subscription, and a good client is back in 50 ms.

To hang up is to shut down the connection's own TCP or Unix socket, through a duplicate of the descriptor that was
checked to be a connection of this endpoint; libzmq then cleans up as for a peer that went. What the kernel already
held for the peer still leaves.
"""

import contextlib
import logging
import os
import select
import socket
import stat
import threading
import time
from dataclasses import dataclass, field

import zmq

from appliance.errors import KeysError
from appliance.wire import zap
from appliance.wire.audit import AuditLog
from appliance.wire.client_keys import AllowedClient, Role
from appliance.wire.keys import KeyStore
from appliance.wire.monitor import Monitor

log = logging.getLogger(__name__)

MAX_CONNECTIONS = 64
KEYS_POLL_S = 0.5
_OUTLIVED_FACTOR = 1.5


@dataclass
class Connection:
    """One accepted connection, by its descriptor."""

    since_s: float
    has_spoken: bool = False
    is_ending: bool = False
    key: str = ""
    client: str = ""
    topics: int = 0
    """Subscriptions it holds; counted by who reads them."""


@dataclass
class _Admission:
    """The allow-list as last read."""

    store: KeyStore
    socket: "zmq.Socket[bytes]"
    stamp: tuple[tuple[str, int, int], ...] = ()
    allowed: dict[str, AllowedClient] = field(default_factory=dict)
    looked_s: float = 0.0


class Doorkeeper:
    """Runs beside one bound socket until `stop`; `identify` and `hang_up` may be called from the socket's thread.

    libzmq queues a connection's events before its first message can be read, and its end before its descriptor can
    be another's. So whoever looks a descriptor up takes in the waiting events first, under the lock; how late this
    thread runs then doesn't matter.

    Args:
        handshake_s: libzmq drops a connection that has not finished its handshake by then.
        keys: None where only this machine can connect.

    Attributes:
        hung_up: Connections ended by us.
    """

    def __init__(
        self,
        context: "zmq.Context[zmq.Socket[bytes]]",
        watched: "zmq.Socket[bytes]",
        endpoint: str,
        *,
        role: Role,
        keys: KeyStore | None,
        handshake_s: float,
    ) -> None:
        self._role = role
        self._outlived_s = handshake_s * _OUTLIVED_FACTOR
        self._audit = AuditLog(f"{endpoint} ({role})")
        self._lock = threading.Lock()
        self._connections: dict[int, Connection] = {}
        self._place: object = None
        self.hung_up = 0
        self._admission = _open_admission(context, keys) if keys is not None else None
        self._monitor = Monitor(context, watched)
        self._failed_handshakes = 0
        self._is_stopping = False
        self._wake_fd = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        self._thread = threading.Thread(target=self._run, name=f"doorkeeper {role}", daemon=True)
        self._thread.start()

    def watch(self, bound_endpoint: str) -> None:
        """Say which endpoint was bound: only its connections are ever hung up on."""
        transport, _, address = bound_endpoint.partition("://")
        self._place = int(address.rpartition(":")[2]) if transport == "tcp" else address

    def identify(self, frame: zmq.Frame) -> Connection | None:
        """Find the connection a message came by, and note whose it is.

        Returns:
            None when its key may not come in any more: the message must be ignored. Also ended then.
        """
        try:
            fd = frame.get(zmq.SRCFD)
        except zmq.ZMQError:  # made by libzmq itself when a connection ended
            return Connection(0.0)
        assert isinstance(fd, int)
        with self._lock:
            if self._take_events():
                os.eventfd_write(self._wake_fd, 1)  # there may be more to do than to take them
            connection = self._connections.get(fd) or Connection(0.0)  # ended already: nobody's entry
            connection.has_spoken = True
            if self._admission is not None:
                connection.key, connection.client = str(frame.get(zap.KEY_PROPERTY)), str(frame.get("User-Id"))
                if not self._is_allowed(connection.key):
                    if fd in self._connections:
                        self._end(fd, connection)
                    return None
        return connection

    def hang_up(self, frame: zmq.Frame) -> None:
        """End the connection a message came by."""
        try:
            fd = frame.get(zmq.SRCFD)
        except zmq.ZMQError:
            return
        assert isinstance(fd, int)
        with self._lock:
            if fd in self._connections:
                self._end(fd, self._connections[fd])

    @property
    def connections(self) -> int:
        """How many stand at the door or are in."""
        return len(self._connections)

    @property
    def topics(self) -> int:
        """Subscriptions of all connections."""
        with self._lock:
            return sum(connection.topics for connection in self._connections.values())

    def stop(self) -> None:
        """End the thread and free its sockets; the watched socket must still be open."""
        self._is_stopping = True
        os.eventfd_write(self._wake_fd, 1)
        self._thread.join()
        os.close(self._wake_fd)
        self._monitor.close()
        if self._admission is not None:
            self._admission.socket.close(0)

    # -- the thread

    def _run(self) -> None:
        # Descriptors, not zmq_poll: that would touch the monitor's socket without the lock. They become readable once
        # for all that has happened, so each turn takes everything.
        poller = select.poll()
        poller.register(self._wake_fd, select.POLLIN)
        poller.register(self._monitor.socket.fileno(), select.POLLIN)
        if self._admission is not None:
            poller.register(self._admission.socket.fileno(), select.POLLIN)
        while not self._is_stopping:
            try:
                self.follow()
                if self._admission is not None:
                    self._look_at_keys(self._admission)
                    self._admit(self._admission)
            except Exception:
                log.exception("doorkeeper of %s goes on after", self._role)
            poller.poll(KEYS_POLL_S * 500 if self._admission is not None else None)
            with contextlib.suppress(BlockingIOError):
                os.eventfd_read(self._wake_fd)

    def follow(self) -> None:
        """Take in what happened to the connections, and act on it: one turn of the thread."""
        with self._lock:
            self._take_events()
            staying = {fd: connection for fd, connection in self._connections.items() if not connection.is_ending}
            while len(staying) > MAX_CONNECTIONS:
                del staying[self._make_room(staying)]
            failed, self._failed_handshakes = self._failed_handshakes, 0
        if self._admission is not None:
            for _ in range(failed):
                self._audit.note(logging.WARNING, "a connection ended before or during its handshake")

    def _make_room(self, staying: dict[int, Connection]) -> int:
        """Hang up on one; gives its descriptor."""
        now_s = time.monotonic()
        silent = [
            fd
            for fd, connection in staying.items()
            if not connection.has_spoken and now_s - connection.since_s < self._outlived_s
        ]
        fd = silent[0] if len(silent) > 1 else next(reversed(staying))
        self._audit.note(logging.WARNING, f"more than {MAX_CONNECTIONS} connections: hanging up on one")
        self._end(fd, staying[fd])
        return fd

    def _admit(self, admission: _Admission) -> None:
        while True:
            try:
                frames = admission.socket.recv_multipart(zmq.DONTWAIT)
            except zmq.Again:
                return
            decision = zap.decide(frames, self._role, admission.allowed)
            admission.socket.send_multipart(decision.answer)
            self._audit.note(logging.INFO if decision.is_accepted else logging.WARNING, decision.story)

    def _look_at_keys(self, admission: _Admission) -> None:
        now_s = time.monotonic()
        if now_s - admission.looked_s < KEYS_POLL_S:
            return
        admission.looked_s = now_s
        try:
            stamp = admission.store.stamp()
            if stamp == admission.stamp:
                return
            allowed, complaints = admission.store.allowed()
        except KeysError as error:  # nobody is thrown out because a disk hiccups; nobody new comes in either
            self._audit.note(logging.ERROR, f"the allow-list stays as it was: {error}")
            return
        admission.stamp = stamp
        for complaint in complaints:
            self._audit.note(logging.ERROR, complaint)
        before, admission.allowed = admission.allowed, allowed
        self._tell_changes(before, allowed)
        if any(self._role in client.roles and not self._is_allowed(key) for key, client in before.items()):
            with self._lock:
                for fd, connection in self._connections.items():
                    if not self._is_allowed(connection.key):
                        self._end(fd, connection)

    def _tell_changes(self, before: dict[str, AllowedClient], now: dict[str, AllowedClient]) -> None:
        for key in before.keys() - now.keys():
            self._audit.note(logging.WARNING, f"{before[key].name} was revoked", is_limited=False)
        for key in now.keys() - before.keys():
            roles = " ".join(sorted(now[key].roles))
            self._audit.note(logging.INFO, f"{now[key].name} is allowed: {roles}", is_limited=False)

    # -- under the lock

    def _take_events(self) -> int:
        """Bring the connections up to date; gives the number of events."""
        now_s, taken = time.monotonic(), 0
        for event in self._monitor.events():
            taken += 1
            if event.kind == zmq.EVENT_ACCEPTED:
                self._connections.pop(event.value, None)  # insertion order is age
                self._connections[event.value] = Connection(now_s)
            elif event.kind == zmq.EVENT_DISCONNECTED:
                self._connections.pop(event.value, None)
            elif event.kind != zmq.EVENT_HANDSHAKE_SUCCEEDED:
                self._failed_handshakes += 1
        return taken

    def _is_allowed(self, key: str) -> bool:
        client = self._admission.allowed.get(key) if self._admission is not None else None
        return client is not None and self._role in client.roles

    def _end(self, fd: int, connection: Connection) -> None:
        duplicate = self._duplicate(fd) if not connection.is_ending else None
        if duplicate is None:
            return
        connection.is_ending = True
        self.hung_up += 1
        with duplicate, contextlib.suppress(OSError):  # gone already
            duplicate.shutdown(socket.SHUT_RDWR)

    def _duplicate(self, fd: int) -> socket.socket | None:
        """Take hold of a connection's socket; None when the descriptor has become something else meanwhile."""
        try:
            if not stat.S_ISSOCK(os.fstat(fd).st_mode):
                return None
            duplicate = socket.socket(fileno=os.dup(fd))
        except OSError:
            return None
        name = duplicate.getsockname()
        if isinstance(name, bytes):  # an abstract Unix socket: \0 is libzmq's @
            name = "@" + name[1:].decode()
        if self._place == (name[1] if isinstance(name, tuple) else name):
            return duplicate
        duplicate.close()
        return None


def _open_admission(context: "zmq.Context[zmq.Socket[bytes]]", store: KeyStore) -> _Admission:
    asked: zmq.Socket[bytes] = context.socket(zmq.REP)
    asked.setsockopt(zmq.LINGER, 0)
    asked.bind(zap.ADDRESS)
    admission = _Admission(store, asked, store.stamp())
    admission.allowed, complaints = store.allowed()
    for complaint in complaints:
        log.error("%s", complaint)
    return admission
