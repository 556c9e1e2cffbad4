"""What a key allows, the entry that says so on the box, and the file a client connects with."""

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from appliance.errors import KeysError
from appliance.wire.certificate import Certificate, check_key, read_certificate


class Role(StrEnum):
    """What a key is good for."""

    VERDICT = "verdict"
    """Follow the verdict lane."""
    RESULT = "result"
    """Follow the result lane, replay, acknowledge under the key's own name."""
    CONTROL = "control"
    """Announce parts, select recipes, count, release."""


@dataclass(frozen=True)
class AllowedClient:
    """One entry of the allow-list; `public_key` in Z85."""

    name: str
    public_key: str
    roles: frozenset[Role]
    added_at: str


@dataclass(frozen=True)
class ClientKeys:
    """What a client needs to connect; keys in Z85."""

    name: str
    public_key: str
    secret_key: str
    server_key: str

    @classmethod
    def load(cls, path: Path) -> "ClientKeys":
        """Read the file that `appliance keys add` wrote for this client.

        Raises:
            KeysError: Missing, damaged, another kind of file, or open to others.
        """
        certificate = read_certificate(path, needs_secret=True)
        server_key = certificate.metadata.get("server-key", "")
        check_key(server_key, f"{path}: server-key")
        assert certificate.secret_key is not None
        return cls(certificate.metadata.get("name", ""), certificate.public_key, certificate.secret_key, server_key)

    def certificate(self) -> Certificate:
        """Give the content of the client's file."""
        return Certificate(self.public_key, self.secret_key, {"name": self.name, "server-key": self.server_key})


def read_client(path: Path) -> AllowedClient:
    """Read one entry of the allow-list.

    Raises:
        KeysError: Damaged, or its name isn't its file's.
    """
    certificate = read_certificate(path)
    try:
        name = certificate.metadata["name"]
        roles = frozenset(Role(word) for word in certificate.metadata["roles"].split())
        added_at = certificate.metadata["added-at"]
    except (KeyError, ValueError) as error:
        raise KeysError(f"{path}: damaged: {error}; `appliance keys revoke {path.stem}`, then add it again") from error
    if name != path.stem:
        raise KeysError(f"{path}: damaged: it is {name}'s; `appliance keys revoke {path.stem}`, then add it again")
    return AllowedClient(name, certificate.public_key, roles, added_at)
