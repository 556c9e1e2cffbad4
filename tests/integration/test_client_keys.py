"""Clients with keys, as on another machine: the result client, the MES and the Node.js example."""

import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from appliance.client import ClientKeys, Cursor, Result, ResultClient
from appliance.testing.patience import PATIENCE_S
from appliance.testing.result_stand import ServedStand
from appliance.wire.certificate import write_certificate
from appliance.wire.client_keys import Role
from appliance.wire.keys import KeyStore

EXAMPLES = Path(__file__).parents[2] / "examples"


@pytest.fixture
def store(tmp_path: Path) -> KeyStore:
    store = KeyStore(tmp_path / "keys")
    store.init()
    return store


@pytest.fixture
def stand(store: KeyStore) -> Iterator[ServedStand]:
    with ServedStand(None, "tcp://0.0.0.0:0", "tcp://0.0.0.0:0", store) as stand:
        stand.publish(3)
        yield stand


@pytest.fixture
def key_file(store: KeyStore, tmp_path: Path) -> Path:
    path = tmp_path / "mes.key_secret"
    write_certificate(path, store.add("mes", [Role.RESULT]).certificate())
    return path


def reachable(endpoint: str) -> str:
    return endpoint.replace("0.0.0.0", "127.0.0.1")


def wait_for_acknowledgement(stand: ServedStand, consumer: str) -> None:
    end = time.monotonic() + PATIENCE_S
    while True:
        with stand.held() as inside:
            if inside.journal.acknowledged.get(consumer) == 3:
                return
        assert time.monotonic() < end
        time.sleep(0.01)


def test_a_client_with_its_key_gets_results_and_one_without_gets_nothing(stand: ServedStand, key_file: Path) -> None:
    keys = ClientKeys.load(key_file)
    with (
        ResultClient(stand.endpoint, stand.replay_endpoint, "mes", keys=keys) as known,
        ResultClient(stand.endpoint, stand.replay_endpoint, "mes") as stranger,
    ):
        found = [known.receive(PATIENCE_S) for _ in range(3)]
        assert [item.seq for item in found if isinstance(item, Result)] == [1, 2, 3]
        known.ack(Cursor("e1", 3))
        wait_for_acknowledgement(stand, "mes")
        assert stranger.receive(0.2) is None
        assert not stranger.is_connected


def test_nobody_acknowledges_in_another_name(stand: ServedStand, key_file: Path) -> None:
    keys = ClientKeys.load(key_file)
    with ResultClient(stand.endpoint, stand.replay_endpoint, "erp", keys=keys) as client:
        assert client.receive(PATIENCE_S) is not None
        client.ack(Cursor("e1", 3))
        end = time.monotonic() + PATIENCE_S
        while client.refusal is None:
            client.receive(0.05)
            assert time.monotonic() < end
        assert "this key is mes's" in client.refusal
    with stand.held() as inside:
        assert inside.journal.acknowledged == {}


@pytest.mark.parametrize(
    "command",
    [
        pytest.param([sys.executable, "mes/mes.py", "--database", "{folder}/mes.db"], id="mes"),
        pytest.param(["node", "node/main.mjs", "--file", "{folder}/results.jsonl"], id="node"),
    ],
)
def test_the_examples_connect_with_a_key_file(
    stand: ServedStand, key_file: Path, tmp_path: Path, command: list[str]
) -> None:
    if command[0] == "node" and not (EXAMPLES / "node" / "node_modules" / "zeromq").is_dir():
        pytest.skip("zeromq for Node.js is not here; run `npm ci --ignore-scripts` in examples/node once")
    arguments = [word.format(folder=tmp_path) for word in command]
    arguments += ["--endpoint", reachable(stand.endpoint), "--replay", reachable(stand.replay_endpoint)]
    arguments += ["--keys", str(key_file), "--consumer", "mes"]
    process = subprocess.Popen(arguments, cwd=EXAMPLES)
    try:
        wait_for_acknowledgement(stand, "mes")
        assert process.poll() is None
    finally:
        process.kill()
        process.wait()
