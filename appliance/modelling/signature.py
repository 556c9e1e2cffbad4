"""Who vouches for a model: an ed25519 signature over model.toml, which holds the hashes of everything else.

model.sig, three lines; no other way to write them is accepted, so that no bit of it may change unnoticed:

    appliance-model-signature 1
    key <public key, 64 hexadecimal digits>
    signature <128 hexadecimal digits>

What is signed is the first line with its line feed, then the bytes of model.toml: a signature made for anything else
is none for a model. Key files are PEM as `openssl genpkey -algorithm ed25519` writes them, so a key may live in other
tools too. That a signature fits its own key says only that nobody changed it by accident; whether the key is
trusted is the configuration's to say (`[models] trusted_keys`).
"""

from __future__ import annotations

import os
import re
import stat
from dataclasses import dataclass, field
from pathlib import Path

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from appliance.config import ApplianceConfig, ModelsConfig
from appliance.errors import KeysError, ModelError
from appliance.modelling.bundle import SIGNATURE_FILE, ModelBundle
from appliance.modelling.bundle_files import load_bundle

_FIRST_LINE = b"appliance-model-signature 1\n"
_FORM = re.compile(_FIRST_LINE + rb"key ([0-9a-f]{64})\nsignature ([0-9a-f]{128})\n")
_NO_KEY = (ValueError, TypeError, UnsupportedAlgorithm)
"""What `cryptography` raises for a file that is no key, or one with a passphrase."""


def load_trusted(config: ApplianceConfig, name: str) -> ModelBundle:
    """Load a model that is about to judge parts: whole, under its own name, and signed where policy asks for it.

    Raises:
        ModelError: As `load_bundle`; or the folder's name isn't the model's; or policy refuses it.
        KeysError: A trusted key's file can't be read.
    """
    policy = SignaturePolicy.of(config.models)
    bundle = load_bundle(config.models_dir / name)
    if bundle.name != name:
        raise ModelError(
            f"model bundle {config.models_dir / name}: model.toml says name '{bundle.name}'; "
            f"rename the folder to it, or correct the recipe's `model`"
        )
    policy.check(bundle)
    return bundle


@dataclass(frozen=True)
class SignaturePolicy:
    """Which signatures are asked for.

    Attributes:
        is_required: Whether a model without a trusted signature is refused.
        trusted_keys: Public keys in hexadecimal digits.
    """

    is_required: bool = False
    trusted_keys: frozenset[str] = field(default=frozenset())

    @classmethod
    def of(cls, config: ModelsConfig) -> SignaturePolicy:
        """Read the key files that a configuration names.

        Raises:
            KeysError: One is missing or no public key.
        """
        keys = (key if isinstance(key, str) else read_public_key(key) for key in config.trusted_keys)
        return cls(config.require_signature, frozenset(keys))

    def check(self, bundle: ModelBundle) -> str:
        """Say in a few words who signed a loaded bundle.

        Raises:
            ModelError: Policy asks for a trusted signature, and there is none.
        """
        if bundle.signature_bytes is None:
            if self.is_required:
                raise ModelError(
                    f"model {bundle.name}: not signed, and [models] require_signature is set; "
                    f"sign it: appliance model sign {bundle.name} --key FILE"
                )
            return "not signed, nor asked for"
        key = check_signature(bundle.signature_bytes, bundle.contract_bytes, f"model {bundle.name}")
        if key in self.trusted_keys:
            return f"by trusted key {key[:16]}…"
        if self.is_required:
            raise ModelError(
                f"model {bundle.name}: signed with key {key}, which is not in [models] trusted_keys; "
                f"add it there if you know whose it is, or sign the model with a trusted one"
            )
        return f"by key {key[:16]}…, which nobody here trusts"


def check_signature(signature: bytes, contract: bytes, where: str) -> str:
    """Check that a signature fits its own key and these bytes of a model.toml; gives the key.

    Raises:
        ModelError: It has another form, or doesn't fit.
    """
    form = _FORM.fullmatch(signature)
    if form is None:
        raise ModelError(f"{where}: {SIGNATURE_FILE} is no signature that this version knows; sign the model again")
    key, value = (bytes.fromhex(digits.decode()) for digits in form.groups())
    try:
        Ed25519PublicKey.from_public_bytes(key).verify(value, _FIRST_LINE + contract)
    except InvalidSignature:
        raise ModelError(
            f"{where}: {SIGNATURE_FILE} doesn't fit model.toml: one of them was changed; copy the bundle again, "
            f"or sign it again after a change on purpose"
        ) from None
    return key.hex()


def sign_bundle(folder: Path, key_file: Path) -> str:
    """Write model.sig into a bundle that is whole; an older one is replaced. Gives the public key.

    Raises:
        KeysError: The key file is missing, open to others, or no unprotected ed25519 key.
        ModelError: The bundle is broken (its old signature aside), or can't be written.
    """
    key = _read_private_key(key_file)
    public = key.public_key().public_bytes_raw().hex()
    (folder / SIGNATURE_FILE).unlink(missing_ok=True)
    bundle = load_bundle(folder)
    value = key.sign(_FIRST_LINE + bundle.contract_bytes).hex()
    unfinished = folder.with_name(f".{folder.name}.{SIGNATURE_FILE}")  # beside the bundle: in it, it would be foreign
    try:
        unfinished.write_bytes(_FIRST_LINE + f"key {public}\nsignature {value}\n".encode())
        unfinished.replace(folder / SIGNATURE_FILE)
    except OSError as error:
        raise ModelError(f"model {bundle.name}: {SIGNATURE_FILE} can't be written: {error.strerror}") from error
    return public


def make_key(path: Path) -> tuple[Path, str]:
    """Make a key pair: the secret one in `path` (0600), the public one beside it; gives its path and digits.

    Raises:
        KeysError: A file is there already, or can't be written.
    """
    public_path = path.with_name(f"{path.name}.pub")
    if public_path.exists():  # before there is a secret key without it
        raise KeysError(f"{public_path}: exists already and is kept; choose another name")
    key = Ed25519PrivateKey.generate()
    secret = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    public = key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    _write_new(path, secret, 0o600)
    _write_new(public_path, public, 0o644)
    return public_path, key.public_key().public_bytes_raw().hex()


def read_public_key(path: Path) -> str:
    """Read a public key file; gives its hexadecimal digits.

    Raises:
        KeysError: Missing, or no ed25519 public key.
    """
    try:
        key = serialization.load_pem_public_key(_read(path))
    except _NO_KEY as error:
        raise KeysError(f"{path}: no public key in PEM; expected the .pub file of `appliance model keygen`") from error
    if not isinstance(key, Ed25519PublicKey):
        raise KeysError(f"{path}: expected an ed25519 key, got {type(key).__name__}")
    return key.public_bytes_raw().hex()


def _read_private_key(path: Path) -> Ed25519PrivateKey:
    content = _read(path)
    mode = stat.S_IMODE(path.stat().st_mode)
    if mode & 0o077:
        raise KeysError(f"{path}: open to others (mode {mode:04o}, expected 0600); `chmod 600 {path}`")
    try:
        key = serialization.load_pem_private_key(content, password=None)
    except _NO_KEY as error:
        raise KeysError(
            f"{path}: no secret key in PEM without a passphrase; `appliance model keygen {path}.new` makes one"
        ) from error
    if not isinstance(key, Ed25519PrivateKey):
        raise KeysError(f"{path}: expected an ed25519 key, got {type(key).__name__}")
    return key


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise KeysError(f"{path}: can't be read: {error.strerror}") from error


def _write_new(path: Path, content: bytes, mode: int) -> None:
    try:
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode), "wb") as file:
            file.write(content)
    except FileExistsError:
        raise KeysError(f"{path}: exists already and is kept; choose another name") from None
    except OSError as error:
        raise KeysError(f"{path}: can't be written: {error.strerror}") from error
