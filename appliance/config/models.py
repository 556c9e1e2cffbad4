"""Which models the appliance accepts."""

from pathlib import Path
from typing import Annotated, Self

from pydantic import Field, model_validator

from appliance.config.confined import ConfinedModel

PublicKey = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
"""An ed25519 public key, 32 bytes in hexadecimal digits."""


class ModelsConfig(ConfinedModel):
    """Policy for model bundles; holds wherever a model is about to judge parts."""

    require_signature: bool = Field(default=False, description="only models signed with a trusted key may run")
    trusted_keys: tuple[PublicKey | Path, ...] = Field(
        default=(), description="public keys: 64 hexadecimal digits, or files as `model keygen` writes them"
    )

    @model_validator(mode="after")
    def _can_be_met(self) -> Self:
        if self.require_signature and not self.trusted_keys:
            raise ValueError("require_signature without trusted_keys refuses every model; name a key in trusted_keys")
        return self
