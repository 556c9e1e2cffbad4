"""Which model: as somebody asks for it, and as it was loaded."""

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class ModelRef:
    """A model that is asked for.

    Attributes:
        name: Of its bundle.
        contract_sha256: Of the bundle's model.toml, where one very bundle was chosen; None: whatever has this name.
    """

    name: str
    contract_sha256: str | None = None

    def __str__(self) -> str:
        return f"{self.name} ({self.contract_sha256[:12]})" if self.contract_sha256 else self.name


@dataclass(frozen=True)
class ModelIdentity:
    """A model that is loaded.

    Attributes:
        name: Of its bundle.
        sha256: Of the network, model.onnx, as records have it.
        contract_sha256: Of model.toml, which names the hash of every file: of the whole bundle.
    """

    name: str
    sha256: str
    contract_sha256: str | None = None

    @classmethod
    def decode(cls, content: Any) -> "ModelIdentity | None":
        """Read what `vars` gave, from JSON."""
        return cls(**content) if content is not None else None

    def is_asked_by(self, ref: ModelRef) -> bool:
        """Whether this is the model that somebody asked for."""
        return self.name == ref.name and ref.contract_sha256 in {None, self.contract_sha256}

    @property
    def reference(self) -> dict[str, str]:
        """Name and hash, as verdicts and records have them."""
        return {"name": self.name, "sha256": self.sha256}
