import shutil
import subprocess
from pathlib import Path

import pytest
from pydantic import ValidationError

from appliance.config import ApplianceConfig, ModelsConfig, load
from appliance.errors import KeysError, ModelError
from appliance.modelling import load_bundle
from appliance.modelling.bundle_files import write_seal
from appliance.modelling.signature import SignaturePolicy, load_trusted, make_key, read_public_key, sign_bundle
from appliance.testing.tiny_detector import write_tiny_bundle

CONFIG = """
line = "l"
station = "s"
recipe = "recipe.toml"
models_dir = "."
[[cameras]]
name = "top"
source.kind = "folder"
source.images = "images"
source.frame_rate_hz = 1
[models]
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_tiny_bundle(tmp_path / "tabs")
    return tmp_path / "tabs"


@pytest.fixture
def key_file(tmp_path: Path) -> Path:
    make_key(tmp_path / "release.key")
    return tmp_path / "release.key"


def config(tmp_path: Path, models: str) -> ApplianceConfig:
    (tmp_path / "box.toml").write_text(CONFIG + models)
    return load(tmp_path / "box.toml")


def test_signed_model_passes_where_its_key_is_trusted(folder, key_file, tmp_path):
    key = sign_bundle(folder, key_file)
    for trusted in (key, "release.key.pub"):
        box = config(tmp_path, f'require_signature = true\ntrusted_keys = ["{trusted}"]')
        assert load_trusted(box, "tabs").signature_bytes is not None
        assert SignaturePolicy.of(box.models).check(load_bundle(folder)) == f"by trusted key {key[:16]}…"


def test_unsigned_model_and_strange_key_are_refused_only_where_policy_asks(folder, key_file, tmp_path):
    _, other = make_key(tmp_path / "other.key")
    strict = config(tmp_path, f'require_signature = true\ntrusted_keys = ["{other}"]')
    lax = config(tmp_path, f'trusted_keys = ["{other}"]')
    with pytest.raises(ModelError, match=r"tabs: not signed, and .* appliance model sign tabs --key FILE"):
        load_trusted(strict, "tabs")
    load_trusted(lax, "tabs")
    key = sign_bundle(folder, key_file)
    with pytest.raises(ModelError, match=f"signed with key {key}, which is not in"):
        load_trusted(strict, "tabs")
    assert SignaturePolicy.of(lax.models).check(load_trusted(lax, "tabs")).endswith("which nobody here trusts")


def test_signature_of_an_older_contract_is_refused_until_the_model_is_signed_again(folder, key_file):
    sign_bundle(folder, key_file)
    text = (folder / "model.toml").read_text()
    (folder / "model.toml").write_text(text.replace("score = 0.5", "score = 0.9"))
    write_seal(folder)
    with pytest.raises(ModelError, match=r"doesn't fit model\.toml"):
        load_bundle(folder)
    sign_bundle(folder, key_file)
    assert load_bundle(folder).thresholds.score == 0.9


def test_signature_of_another_model_is_refused(folder, key_file, tmp_path):
    write_tiny_bundle(tmp_path / "others")
    sign_bundle(tmp_path / "others", key_file)
    (folder / "model.sig").write_bytes((tmp_path / "others" / "model.sig").read_bytes())
    with pytest.raises(ModelError, match=r"doesn't fit model\.toml"):
        load_bundle(folder)


@pytest.mark.parametrize(
    "change", [lambda sig: sig.upper(), lambda sig: sig + b"\n", lambda sig: sig[:-1], lambda _: b""]
)
def test_signature_written_otherwise_is_refused(folder, key_file, change):
    sign_bundle(folder, key_file)
    (folder / "model.sig").write_bytes(change((folder / "model.sig").read_bytes()))
    with pytest.raises(ModelError, match="no signature that this version knows"):
        load_bundle(folder)


def test_model_in_a_folder_of_another_name_is_refused(folder, tmp_path):
    folder.rename(tmp_path / "renamed")
    with pytest.raises(ModelError, match="says name 'tabs'; rename the folder"):
        load_trusted(config(tmp_path, ""), "renamed")


def test_requiring_signatures_without_trusting_a_key_is_a_mistake():
    with pytest.raises(ValidationError, match="refuses every model"):
        ModelsConfig(require_signature=True)


@pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl is not installed")
def test_keys_are_those_of_openssl(folder, tmp_path):
    secret, public = tmp_path / "made.key", tmp_path / "made.pub"
    subprocess.run(["openssl", "genpkey", "-algorithm", "ed25519", "-out", secret], check=True)
    subprocess.run(["openssl", "pkey", "-in", secret, "-pubout", "-out", public], check=True)
    secret.chmod(0o600)
    assert sign_bundle(folder, secret) == read_public_key(public)


def test_key_files_are_kept_safe(tmp_path, key_file, folder):
    with pytest.raises(KeysError, match="exists already and is kept"):
        make_key(key_file)
    key_file.chmod(0o644)
    with pytest.raises(KeysError, match="mode 0644, expected 0600"):
        sign_bundle(folder, key_file)
    key_file.chmod(0o600)
    with pytest.raises(KeysError, match="no public key in PEM"):
        read_public_key(key_file)
    with pytest.raises(KeysError, match="can't be read: No such file"):
        sign_bundle(folder, tmp_path / "none.key")
