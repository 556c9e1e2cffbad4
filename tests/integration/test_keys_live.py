"""Keys at real sockets: who comes in, who doesn't, and what a change does to those who are in."""

import json
import logging
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import zmq
from typer.testing import CliRunner

from appliance.cli.keys import app
from appliance.errors import KeysError, PeerSilent, PublishError
from appliance.testing.patience import PATIENCE_S, wait_for
from appliance.wire.client_keys import ClientKeys, Role
from appliance.wire.control_lane import ControlClient, ControlServer
from appliance.wire.doorkeeper import KEYS_POLL_S
from appliance.wire.keys import KeyStore
from appliance.wire.replay import Ack, Acked, JournalHead, ReplayServer
from appliance.wire.replay_client import ReplayClient
from appliance.wire.result_lane import Result, ResultPublisher, ResultSubscriber
from appliance.wire.verdict_lane import VerdictPublisher, VerdictSubscriber

OPEN_ENDPOINT = "tcp://0.0.0.0:0"
APPLIES_WITHIN_S = 1.0


@pytest.fixture
def store(tmp_path: Path) -> KeyStore:
    store = KeyStore(tmp_path / "keys")
    store.init()
    return store


@pytest.fixture
def lane(store: KeyStore) -> Iterator[VerdictPublisher]:
    lane = VerdictPublisher(OPEN_ENDPOINT, store)
    yield lane
    lane.close()


class ControlService:
    """Answers control and replay requests with the asking client's name until it is stopped."""

    def __init__(self, store: KeyStore) -> None:
        self.control = ControlServer(OPEN_ENDPOINT, store)
        self.replay = ReplayServer(OPEN_ENDPOINT, store)
        self._is_stopping = False
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        while not self._is_stopping:
            for peer, client, _ in self.control.requests():
                self.control.reply(peer, {"client": client})
            for request in self.replay.requests():
                is_ack = isinstance(request, Ack)
                self.replay.reply(request, Acked(request.consumer, request.seq) if is_ack else JournalHead("e", 1, 2))
            time.sleep(0.002)
        self.control.close()
        self.replay.close()

    def stop(self) -> None:
        self._is_stopping = True
        self._thread.join()


@pytest.fixture
def service(store: KeyStore) -> Iterator[ControlService]:
    service = ControlService(store)
    yield service
    service.stop()


def wait_for_subscriptions(lane: VerdictPublisher, wanted: int) -> None:
    def are_there() -> bool:
        lane.take_subscriptions()
        return lane.subscriptions == wanted

    wait_for(are_there)


def test_allowed_clients_get_verdicts_and_strangers_get_nothing(store: KeyStore) -> None:
    plc = store.add("plc1", [Role.VERDICT])
    mes = store.add("mes", [Role.RESULT])
    stranger = ClientKeys("x", *(key.decode() for key in zmq.curve_keypair()), plc.server_key)
    elsewhere = ClientKeys(plc.name, plc.public_key, plc.secret_key, stranger.public_key)
    lane = VerdictPublisher(OPEN_ENDPOINT, store)
    good = VerdictSubscriber(lane.bound_endpoint, keys=plc)
    bad = [VerdictSubscriber(lane.bound_endpoint, keys=keys) for keys in (mes, stranger, elsewhere, None)]
    wait_for_subscriptions(lane, 2)
    lane.send("verdict.line1.tabs", b"{}")
    assert good.receive(PATIENCE_S) == ("verdict.line1.tabs", b"{}")
    assert [subscriber.receive(0.1) for subscriber in bad] == [None] * 4
    assert not any(subscriber.is_connected for subscriber in bad)
    for subscriber in (good, *bad):
        subscriber.close()
    lane.close()


def test_a_revoked_subscriber_gets_nothing_more_and_others_lose_nothing(store: KeyStore) -> None:
    names = ("plc1", "other1", "other2", "other3")
    keys = [store.add(name, [Role.VERDICT]) for name in names]
    lane = VerdictPublisher(OPEN_ENDPOINT, store)
    revoked, *others = (VerdictSubscriber(lane.bound_endpoint, ("verdict.",), key) for key in keys)
    wait_for_subscriptions(lane, 4)
    store.revoke("plc1")
    sent = 0

    def send_one() -> None:
        nonlocal sent
        lane.take_subscriptions()
        lane.send("verdict.line1.tabs", b"%d" % sent)
        sent += 1
        time.sleep(0.002)

    wait_for(lambda: (send_one(), not revoked.is_connected)[1])
    while revoked.receive(0) is not None:  # sent before
        pass
    for _ in range(100):
        send_one()
    assert revoked.receive(0.1) is None
    assert not revoked.is_connected
    for other in others:
        got = [other.receive(PATIENCE_S) for _ in range(sent)]
        assert got == [("verdict.line1.tabs", b"%d" % number) for number in range(sent)]
        other.close()
    revoked.close()
    lane.close()


def test_the_list_is_looked_at_often_enough() -> None:
    assert KEYS_POLL_S * 1.5 <= APPLIES_WITHIN_S  # it wakes twice in that time


def test_a_client_that_is_added_comes_in_without_a_restart_on_either_side(
    store: KeyStore, lane: VerdictPublisher, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    keys = store.add("plc1", [Role.VERDICT])
    store.revoke("plc1")
    with VerdictSubscriber(lane.bound_endpoint, keys=keys) as subscriber:
        wait_for(lambda: "not on the list" in caplog.text)
        store.add("plc1", [Role.VERDICT], keys.public_key)
        wait_for(lambda: subscriber.is_connected)
    told = caplog.text
    assert f"key {keys.public_key} from 127.0.0.1 refused: not on the list" in told
    assert "plc1 is allowed: verdict" in told
    assert "plc1 from 127.0.0.1 accepted" in told


def test_a_key_that_loses_a_role_or_is_replaced_loses_its_connections(store: KeyStore) -> None:
    loses_role = store.add("a", [Role.VERDICT, Role.RESULT])
    is_replaced = store.add("b", [Role.VERDICT])
    lane = VerdictPublisher(OPEN_ENDPOINT, store)
    with (
        VerdictSubscriber(lane.bound_endpoint, keys=loses_role) as first,
        VerdictSubscriber(lane.bound_endpoint, keys=is_replaced) as second,
    ):
        wait_for_subscriptions(lane, 4)
        store.revoke("a")
        store.add("a", [Role.RESULT], loses_role.public_key)
        store.revoke("b")
        store.add("b", [Role.VERDICT])
        wait_for_subscriptions(lane, 0)
        wait_for(lambda: not first.is_connected and not second.is_connected)  # they learn it a moment later
    lane.close()


def test_result_lane_and_replay_take_the_result_role(store: KeyStore, service: ControlService) -> None:
    mes, plc = store.add("mes", [Role.RESULT]), store.add("plc1", [Role.VERDICT, Role.CONTROL])
    lane = ResultPublisher(OPEN_ENDPOINT, store)
    with (
        ResultSubscriber(lane.bound_endpoint, keys=mes) as good,
        ResultSubscriber(lane.bound_endpoint, keys=plc) as bad,
    ):
        wait_for(lambda: (lane.take_subscriptions(), lane.subscriptions)[1] == 5)
        lane.publish("result.line1.tabs", "e", 1, b"{}")
        assert good.receive(PATIENCE_S) == Result("result.line1.tabs", "e", 1, b"{}")
        assert bad.receive(0.1) is None
    lane.close()
    with ReplayClient(service.replay.bound_endpoint, mes) as client:
        assert client.head(PATIENCE_S) == JournalHead("e", 1, 2)
    with ReplayClient(service.replay.bound_endpoint, plc) as client, pytest.raises(PeerSilent):
        client.head(0.3)


def test_a_consumer_is_its_keys_name(store: KeyStore, service: ControlService) -> None:
    with ReplayClient(service.replay.bound_endpoint, store.add("mes", [Role.RESULT])) as client:
        assert client.acknowledge("mes", "e", 2, PATIENCE_S) == Acked("mes", 2)
        with pytest.raises(PublishError, match="this key is mes's, it can't acknowledge for mes2"):
            client.acknowledge("mes2", "e", 2)


def test_control_requests_carry_the_clients_name_until_it_is_revoked(store: KeyStore, service: ControlService) -> None:
    with (
        ControlClient(service.control.bound_endpoint, store.add("plc1", [Role.CONTROL])) as client,
        ControlClient(service.control.bound_endpoint, store.box_keys()) as box,
    ):
        assert client.ask({}, PATIENCE_S) == {"client": "plc1"}
        assert box.ask({}, PATIENCE_S) == {"client": "box"}
        store.revoke("plc1")
        wait_for(lambda: not client._client.is_connected)
        with pytest.raises(PeerSilent):
            client.ask({}, 0.3)
        assert box.ask({}, PATIENCE_S) == {"client": "box"}


def test_a_client_whose_key_is_refused_learns_what_to_look_for(store: KeyStore, service: ControlService) -> None:
    with (
        ControlClient(service.control.bound_endpoint, store.add("mes", [Role.RESULT])) as lacks_role,
        ControlClient(service.control.bound_endpoint) as has_none,
    ):
        for client in (lacks_role, has_none):  # a refused handshake has to run out
            wait_for(lambda client=client: "key is missing, revoked, lacks the role, or is for" in silence(client))


def silence(client: ControlClient) -> str:
    with pytest.raises(PeerSilent) as silent:
        client.ask({}, 0.05)
    return str(silent.value)


def test_no_endpoint_is_opened_to_others_without_keys(tmp_path: Path, store: KeyStore) -> None:
    for make in (VerdictPublisher, ResultPublisher, ReplayServer, ControlServer):
        with pytest.raises(PublishError, match=r"no keys in .*none: `appliance keys init`.*keys add NAME --role"):
            make(OPEN_ENDPOINT, KeyStore(tmp_path / "none"))
    (store.directory / "server.key_secret").chmod(0o644)
    with pytest.raises(KeysError, match="chmod 600"):
        VerdictPublisher(OPEN_ENDPOINT, store)


def test_loopback_stays_open_where_keys_exist(store: KeyStore) -> None:
    lane = VerdictPublisher("tcp://127.0.0.1:0", store)
    with VerdictSubscriber(lane.bound_endpoint) as subscriber:
        wait_for_subscriptions(lane, 2)
        lane.send("verdict.line1.tabs", b"{}")
        assert subscriber.receive(PATIENCE_S) is not None
    lane.close()


def test_an_unreadable_allow_list_throws_nobody_out(store: KeyStore, caplog: pytest.LogCaptureFixture) -> None:
    keys = store.add("plc1", [Role.VERDICT])
    lane = VerdictPublisher(OPEN_ENDPOINT, store)
    with VerdictSubscriber(lane.bound_endpoint, keys=keys) as subscriber:
        wait_for_subscriptions(lane, 2)
        clients = store.directory / "clients"
        clients.rename(store.directory / "aside")
        clients.write_text("not a directory")
        wait_for(lambda: "the allow-list stays as it was" in caplog.text)
        lane.send("verdict.line1.tabs", b"{}")
        assert subscriber.receive(PATIENCE_S) is not None
    lane.close()


def test_the_commands_decide_for_a_running_lane(tmp_path: Path) -> None:
    config = tmp_path / "config.toml"
    repository = Path(__file__).parents[2]
    config.write_text(
        f'line = "l"\nstation = "s"\nrecipe = "{repository}/examples/recipes/deeppcb.toml"\n'
        f'models_dir = "{repository}/models"\nruntime_dir = "{tmp_path}/run"\nstate_dir = "{tmp_path}/state"\n'
        f'[[cameras]]\nname = "cam0"\nsource = {{ kind = "folder", images = "{repository}/examples/deeppcb" }}\n'
    )

    def keys(*words: str) -> str:
        return CliRunner().invoke(app, [*words, "--config", str(config)], catch_exceptions=False).output

    with pytest.raises(KeysError, match="no keys yet; `appliance keys init`"):
        keys("show-server")
    keys("init")
    path = tmp_path / "plc1.key_secret"
    add = [sys.executable, "-m", "appliance", "keys", "add", "--config", str(config), "--role", "verdict"]
    subprocess.run([*add, "plc1", "--role", "control"], check=True, cwd=tmp_path)
    client = ClientKeys.load(path)
    assert keys("show-server").strip() == client.server_key
    refusal = subprocess.run([*add, "plc2", "--out", str(path)], check=False, capture_output=True, text=True)
    assert (refusal.returncode, "exists already and is kept" in refusal.stderr) == (14, True)
    listed = json.loads(keys("list", "--json"))
    assert [(entry["name"], entry["roles"]) for entry in listed] == [
        ("box", ["control", "result", "verdict"]),
        ("plc1", ["control", "verdict"]),
    ]
    assert client.public_key in keys("list")
    lane = VerdictPublisher(OPEN_ENDPOINT, KeyStore(tmp_path / "state" / "keys"))
    with VerdictSubscriber(lane.bound_endpoint, keys=client) as subscriber:
        wait_for_subscriptions(lane, 2)
        keys("revoke", "plc1")
        wait_for(lambda: not subscriber.is_connected)
    lane.close()
    with pytest.raises(KeysError, match="plc1: not on the list; on it: box"):
        keys("revoke", "plc1")
