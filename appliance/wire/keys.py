"""Who may talk to the box: its own key pair and one file per allowed client.

    keys_dir/              0700
        server.key_secret  0600, the server's pair
        box.key_secret     0600, for the box's own programs where its endpoints need keys
        clients/NAME.key   0600, public key, roles, when; the file's being there is the permission
        audit.log          one line for each init, add and revoke

Running servers look at `clients` twice a second: no restart. An endpoint that only this machine can reach (ipc,
loopback) takes no keys; every other one needs them.
"""

import contextlib
import os
import pwd
import re
import stat
import time
from collections.abc import Iterable
from pathlib import Path

import zmq

from appliance.clock import rfc3339
from appliance.errors import KeysError
from appliance.wire.certificate import Certificate, check_key, read_certificate, write_certificate
from appliance.wire.client_keys import AllowedClient, ClientKeys, Role, read_client

BOX_CLIENT = "box"
"""The client that the box's own programs are."""
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,31}")


class KeyStore:
    """The keys directory. Reading is safe from any thread; one command at a time writes."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._server_secret = directory / "server.key_secret"
        self._box_secret = directory / "box.key_secret"
        self._clients = directory / "clients"

    @property
    def exists(self) -> bool:
        """Whether `init` was done here.

        Raises:
            KeysError: Not ours to look into.
        """
        try:
            return self._server_secret.exists()
        except OSError as error:
            raise KeysError(
                f"{self.directory}: can't be read: {error.strerror}; run this as the appliance's user or as root"
            ) from error

    def init(self) -> str:
        """Make the directory, the server's key pair and the box's own client; gives the server's public key.

        Raises:
            KeysError: There are keys already, or the directory can't be made.
        """
        if self.exists:
            raise KeysError(
                f"{self.directory}: keys exist already; to start over (each client then needs a new file), move it away"
            )
        try:
            owner = _owner(self.directory)
            for folder in (self.directory, self._clients):
                folder.mkdir(mode=0o700, parents=True, exist_ok=True)
                if owner is not None:
                    os.chown(folder, *owner)
        except OSError as error:
            raise KeysError(f"{self.directory}: can't be made: {error.strerror}") from error
        self._refuse_open_directory()
        public_key, secret_key = _new_pair()
        write_certificate(self._server_secret, Certificate(public_key, secret_key), owner)
        self._note("init", f"server key {public_key}")
        box = self.add(BOX_CLIENT, frozenset(Role))
        write_certificate(self._box_secret, box.certificate(), owner)
        return public_key

    def server_keys(self) -> Certificate:
        """Read the server's pair.

        Raises:
            KeysError: No keys yet, damaged, or open to others; with the command that mends it.
        """
        if not self.exists:
            raise KeysError(f"{self.directory}: no keys yet; `appliance keys init` makes them")
        self._refuse_open_directory()
        return read_certificate(self._server_secret, needs_secret=True)

    def box_keys(self) -> ClientKeys:
        """Read the keys the box's own programs connect with.

        Raises:
            KeysError: No keys yet, damaged, or not ours to read.
        """
        self.server_keys()
        return ClientKeys.load(self._box_secret)

    def add(self, name: str, roles: Iterable[Role], public_key: str | None = None) -> ClientKeys:
        """Allow a client.

        Args:
            public_key: The client's, where it made its pair itself; None: a new pair is made.
        Returns:
            What the client needs; `secret_key` is empty where the client has it.
        Raises:
            KeysError: Bad name or key, no role, name or key already on the list.
        """
        server_key = self.server_keys().public_key
        if not _NAME.fullmatch(name):
            raise KeysError(f"{name!r}: not a client name: up to 32 letters, digits, '_' or '-' expected")
        wanted = frozenset(roles)
        if not wanted:
            raise KeysError(f"{name}: no role; give at least one of {', '.join(Role)}")
        new_public, secret_key = (public_key, "") if public_key is not None else _new_pair()
        check_key(new_public, name)
        for other in self.clients():
            if other.public_key == new_public or other.name == name:
                raise KeysError(f"{other.name}: on the list already; `appliance keys revoke {other.name}` first")
        words = " ".join(sorted(wanted))
        metadata = {"name": name, "roles": words, "added-at": rfc3339(time.time_ns())}
        write_certificate(self._client_path(name), Certificate(new_public, None, metadata), _owner(self.directory))
        self._note("add", f"{name} roles {words} key {new_public}")
        return ClientKeys(name, new_public, secret_key, server_key)

    def revoke(self, name: str) -> None:
        """Take a client off the list; running servers hang up on it within a second.

        Raises:
            KeysError: Not on the list.
        """
        self.server_keys()
        names = [path.stem for path in self._client_files()]
        if name not in names:
            raise KeysError(f"{name}: not on the list; on it: {', '.join(names) or 'nobody'}")
        try:
            self._client_path(name).unlink()
        except OSError as error:
            raise KeysError(f"{self._client_path(name)}: can't be removed: {error.strerror}") from error
        self._note("revoke", name)

    def clients(self) -> list[AllowedClient]:
        """Read the allow-list in order of names.

        Raises:
            KeysError: An entry is damaged: remove it by `revoke`, and add the client again.
        """
        return [read_client(path) for path in self._client_files()]

    def allowed(self) -> tuple[dict[str, AllowedClient], list[str]]:
        """Read the allow-list by public key, leaving damaged entries out; gives what is wrong with those too."""
        clients, complaints = {}, []
        for path in self._client_files():
            try:
                client = read_client(path)
            except KeysError as error:
                complaints.append(str(error))
            else:
                clients[client.public_key] = client
        return clients, complaints

    def stamp(self) -> tuple[tuple[str, int, int], ...]:
        """Give a value that differs when the allow-list does; cheap."""
        stamps = []
        for path in self._client_files():
            try:
                status = path.stat()
            except FileNotFoundError:
                continue
            except OSError as error:
                raise KeysError(f"{path}: can't be read: {error.strerror}") from error
            stamps.append((path.name, status.st_ino, status.st_mtime_ns))
        return tuple(stamps)

    def _refuse_open_directory(self) -> None:
        mode = stat.S_IMODE(self.directory.stat().st_mode)
        if mode & 0o077:
            raise KeysError(
                f"{self.directory}: open to others (mode {mode:04o}, expected 0700); `chmod 700 {self.directory}`"
            )

    def _client_path(self, name: str) -> Path:
        return self._clients / f"{name}.key"

    def _client_files(self) -> list[Path]:
        try:
            return sorted(path for path in self._clients.iterdir() if path.suffix == ".key" and path.name[0] != ".")
        except FileNotFoundError:
            return []
        except OSError as error:
            raise KeysError(f"{self._clients}: can't be read: {error.strerror}") from error

    def _note(self, action: str, what: str) -> None:
        """Append to the audit file."""
        path = self.directory / "audit.log"
        line = f"{rfc3339(time.time_ns())} {action} {what}; by {_user()}\n"
        try:
            with os.fdopen(os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600), "w", encoding="ascii") as file:
                if (owner := _owner(self.directory)) is not None:
                    os.fchown(file.fileno(), *owner)
                file.write(line)
        except OSError as error:
            raise KeysError(f"{path}: {action} was done but can't be noted here: {error.strerror}") from error


def _new_pair() -> tuple[str, str]:
    public_key, secret_key = zmq.curve_keypair()
    return public_key.decode(), secret_key.decode()


def _owner(directory: Path) -> tuple[int, int] | None:
    """Whom new files shall belong to when root runs our commands for a service: as the directory, or one above it."""
    if os.geteuid() != 0:
        return None
    while not directory.exists():
        directory = directory.parent
    status = directory.stat()
    return status.st_uid, status.st_gid


def _user() -> str:
    """Name who runs the command, and who logged in: behind sudo these differ."""
    names = [f"uid {os.getuid()}"]
    with contextlib.suppress(KeyError):
        names.append(pwd.getpwuid(os.getuid()).pw_name)
    with contextlib.suppress(OSError):
        names.append(f"logged in as {os.getlogin()}")
    return " ".join(names).encode("ascii", "replace").decode()
