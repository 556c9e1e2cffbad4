"""Key files: what is written can be read, what is damaged or open is refused with a way out."""

import os
import stat
from pathlib import Path

import pytest
import zmq
import zmq.auth

from appliance.errors import KeysError
from appliance.wire.certificate import Certificate, read_certificate, write_certificate
from appliance.wire.client_keys import ClientKeys, Role
from appliance.wire.keys import BOX_CLIENT, KeyStore


@pytest.fixture
def store(tmp_path: Path) -> KeyStore:
    store = KeyStore(tmp_path / "keys")
    store.init()
    return store


def client_file(store: KeyStore, name: str) -> Path:
    return store.directory / "clients" / f"{name}.key"


def test_the_server_pair_and_the_boxs_own_client_are_made_once(store: KeyStore) -> None:
    before = (store.directory / "server.key_secret").read_bytes()
    with pytest.raises(KeysError, match="exist already"):
        store.init()
    assert (store.directory / "server.key_secret").read_bytes() == before
    assert [client.name for client in store.clients()] == [BOX_CLIENT]
    assert store.box_keys().server_key == store.server_keys().public_key


def test_secrets_are_for_their_owner_alone(store: KeyStore) -> None:
    store.add("plc1", [Role.VERDICT])
    for path in [store.directory, *store.directory.rglob("*")]:
        assert stat.S_IMODE(path.stat().st_mode) & 0o077 == 0, path


def test_files_are_read_by_zeromqs_own_tools(store: KeyStore, tmp_path: Path) -> None:
    client = store.add("plc1", [Role.VERDICT])
    path = tmp_path / "plc1.key_secret"
    write_certificate(path, client.certificate())
    assert zmq.auth.load_certificate(path) == (client.public_key.encode(), client.secret_key.encode())
    assert zmq.auth.load_certificate(client_file(store, "plc1")) == (client.public_key.encode(), None)
    assert ClientKeys.load(path) == client


def test_files_of_zeromqs_own_tools_are_read(tmp_path: Path) -> None:
    _, secret = zmq.auth.create_certificates(tmp_path, "x", {"name": "x"})
    Path(secret).chmod(0o600)
    certificate = read_certificate(Path(secret), needs_secret=True)
    assert (certificate.public_key.encode(), (certificate.secret_key or "").encode()) == zmq.auth.load_certificate(
        secret
    )
    assert certificate.metadata == {"name": "x"}


def test_the_allow_list_keeps_name_roles_and_key(store: KeyStore) -> None:
    client = store.add("mes", [Role.RESULT, Role.CONTROL])
    entry = {entry.name: entry for entry in store.clients()}["mes"]
    assert (entry.public_key, entry.roles) == (client.public_key, {Role.RESULT, Role.CONTROL})
    store.revoke("mes")
    assert [entry.name for entry in store.clients()] == [BOX_CLIENT]
    actions = [line.replace(";", "").split()[1:3] for line in (store.directory / "audit.log").read_text().splitlines()]
    assert actions == [["init", "server"], ["add", "box"], ["add", "mes"], ["revoke", "mes"]]


def test_a_client_may_bring_its_own_public_key(store: KeyStore) -> None:
    public_key = zmq.curve_keypair()[0].decode()
    client = store.add("plc1", [Role.VERDICT], public_key)
    assert (client.public_key, client.secret_key) == (public_key, "")
    with pytest.raises(KeysError, match="plc1: on the list already"):
        store.add("plc2", [Role.VERDICT], public_key)


@pytest.mark.parametrize("name", ["", "a/b", "../x", ".x", "x" * 33, "a b", "ü", "a\n"])
def test_names_that_are_no_file_names_are_refused(store: KeyStore, name: str) -> None:
    with pytest.raises(KeysError, match="not a client name"):
        store.add(name, [Role.VERDICT])
    with pytest.raises(KeysError, match="not on the list; on it: box"):
        store.revoke(name)


@pytest.mark.parametrize("key", ["", "x" * 39, "x" * 41, "~" * 40, "0" * 40, "#" * 40, "ü" * 40])
def test_what_is_no_key_is_refused(store: KeyStore, key: str) -> None:
    with pytest.raises(KeysError, match="not a CURVE key"):
        store.add("plc1", [Role.VERDICT], key)


def test_a_client_needs_a_role(store: KeyStore) -> None:
    with pytest.raises(KeysError, match="no role; give at least one of verdict, result, control"):
        store.add("plc1", [])


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "no public-key"),
        (b"metadata\n  name = x\n", "no public-key"),
        (b"-----BEGIN OPENSSH PRIVATE KEY-----\n", "line 1: damaged"),
        (b"\x00\xff\xfe" * 100, "byte 1 is no ASCII"),
        (b'curve\n  public-key = "short"\n', "not a CURVE key"),
    ],
)
def test_a_damaged_file_is_named_with_what_is_wrong(tmp_path: Path, content: bytes, says: str) -> None:
    path = tmp_path / "plc1.key_secret"
    path.write_bytes(content)
    path.chmod(0o600)
    with pytest.raises(KeysError, match=says) as refusal:
        read_certificate(path)
    assert str(path) in str(refusal.value)


def test_a_missing_file_a_public_file_and_an_open_one_are_told_apart(store: KeyStore, tmp_path: Path) -> None:
    path = tmp_path / "plc1.key_secret"
    with pytest.raises(KeysError, match="can't be read: No such file"):
        ClientKeys.load(path)
    with pytest.raises(KeysError, match="no secret-key"):
        ClientKeys.load(client_file(store, "box"))
    write_certificate(path, store.add("plc1", [Role.VERDICT]).certificate())
    path.chmod(0o640)
    with pytest.raises(KeysError, match=r"mode 0640, expected 0600.*chmod 600"):
        ClientKeys.load(path)
    write_certificate(tmp_path / "server's", store.server_keys())
    with pytest.raises(KeysError, match="server-key: not a CURVE key"):
        ClientKeys.load(tmp_path / "server's")
    write_certificate(tmp_path / "mixed", Certificate(store.server_keys().public_key, store.box_keys().secret_key))
    with pytest.raises(KeysError, match="its two keys are no pair"):
        ClientKeys.load(tmp_path / "mixed")


def test_an_open_directory_or_secret_is_refused_with_the_command_that_mends_it(store: KeyStore) -> None:
    store.directory.chmod(0o750)
    with pytest.raises(KeysError, match=r"mode 0750, expected 0700.*chmod 700"):
        store.server_keys()
    store.directory.chmod(0o700)
    (store.directory / "server.key_secret").chmod(0o604)
    with pytest.raises(KeysError, match="chmod 600"):
        store.server_keys()


def test_a_file_is_never_replaced(tmp_path: Path) -> None:
    path = tmp_path / "mine"
    path.write_text("precious")
    with pytest.raises(KeysError, match="exists already and is kept"):
        write_certificate(path, Certificate("x" * 40))
    assert path.read_text() == "precious"
    assert list(tmp_path.iterdir()) == [path]


def test_a_damaged_entry_shuts_out_its_client_and_nobody_else(store: KeyStore) -> None:
    store.add("plc1", [Role.VERDICT])
    client_file(store, "box").write_text("rubbish")
    allowed, complaints = store.allowed()
    assert [client.name for client in allowed.values()] == ["plc1"]
    assert len(complaints) == 1
    assert "box.key, line 1" in complaints[0]
    with pytest.raises(KeysError, match=r"box\.key"):
        store.clients()
    store.revoke("box")
    assert [client.name for client in store.clients()] == ["plc1"]


def test_an_entry_under_another_name_or_with_an_unknown_role_is_damaged(store: KeyStore) -> None:
    entry = client_file(store, "box")
    entry.rename(client_file(store, "mallory"))
    with pytest.raises(KeysError, match="it is box's"):
        store.clients()
    client_file(store, "mallory").rename(entry)
    entry.write_text(entry.read_text().replace("control", "root"))
    with pytest.raises(KeysError, match="'root' is not a valid Role"):
        store.clients()


def test_no_keys_yet_names_the_command(tmp_path: Path) -> None:
    store = KeyStore(tmp_path / "none")
    for attempt in (
        store.server_keys,
        store.box_keys,
        lambda: store.add("a", [Role.VERDICT]),
        lambda: store.revoke("a"),
    ):
        with pytest.raises(KeysError, match="no keys yet; `appliance keys init`"):
            attempt()
    assert not store.directory.exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_files_that_root_makes_belong_to_the_directorys_owner(tmp_path: Path) -> None:
    os.chown(tmp_path, 12345, 12345)
    store = KeyStore(tmp_path / "state" / "keys")
    store.init()
    store.add("plc1", [Role.VERDICT])
    assert {path.stat().st_uid for path in store.directory.rglob("*")} == {12345}
