"""Rubbish at real server objects: nothing crashes, nothing is taken for a request, memory stays flat."""

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import zmq

from appliance.testing.patience import PATIENCE_S
from appliance.testing.wire_fuzz import Target, fuzz
from appliance.wire.control_lane import ControlClient, ControlServer
from appliance.wire.keys import KeyStore
from appliance.wire.replay import JournalHead, ReplayServer
from appliance.wire.replay_client import ReplayClient
from appliance.wire.result_lane import ResultPublisher
from appliance.wire.verdict_lane import VerdictPublisher

CASES = 2000
MEMORY_KB = 24_000


class Box:
    """All four servers in one loop, as publisher and recorder have them."""

    def __init__(self, host: str, keys: KeyStore | None = None) -> None:
        self.verdicts = VerdictPublisher(f"tcp://{host}:0", keys)
        self.results = ResultPublisher(f"tcp://{host}:0", keys)
        self.replay = ReplayServer(f"tcp://{host}:0", keys)
        self.control = ControlServer(f"tcp://{host}:0", keys)
        self.errors: list[BaseException] = []
        self._is_stopping = False
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def targets(self, *, is_keyed: bool) -> list[Target]:
        return [
            Target(self.verdicts.bound_endpoint, "publish", is_keyed),
            Target(self.results.bound_endpoint, "publish", is_keyed),
            Target(self.replay.bound_endpoint, "replay", is_keyed),
            Target(self.control.bound_endpoint, "control", is_keyed),
        ]

    def _run(self) -> None:
        poller = zmq.Poller()
        servers = (self.verdicts, self.results, self.replay, self.control)
        for server in servers:
            poller.register(server.fileno(), zmq.POLLIN)
        while not self._is_stopping:
            try:
                self._turn()
            except BaseException as error:
                self.errors.append(error)
            if not any(server.is_waiting for server in servers):
                poller.poll(20)
        for server in servers:
            server.close()

    def _turn(self) -> None:
        self.verdicts.take_subscriptions()
        self.results.take_subscriptions()
        self.verdicts.send("verdict.line1.tabs", b"{}")
        self.results.publish("result.line1.tabs", "e1", 1, b"{}")
        for request in self.replay.requests():
            self.replay.reply(request, JournalHead("e1", 1, 1))
        for peer, _, body in self.control.requests():
            self.control.reply(peer, {"id": body.get("id"), "status": "unknown"})

    def stop(self) -> None:
        self._is_stopping = True
        self._thread.join()


@pytest.fixture
def open_box() -> Iterator[Box]:
    box = Box("127.0.0.1")
    yield box
    box.stop()


def resident_kb() -> int:
    return int(Path("/proc/self/status").read_text().split("VmRSS:")[1].split()[0])


def test_rubbish_is_refused_and_the_servers_serve_on(open_box: Box) -> None:
    targets = open_box.targets(is_keyed=False)
    fuzz(targets, CASES // 2, seed=1)  # queues, threads' arenas and caches get their size
    before_kb = resident_kb()
    report = fuzz(targets, CASES, seed=2)
    assert (report.accepted, report.unreachable, report.unanswered) == (0, 0, 0)
    assert report.refused > 50
    assert not open_box.errors
    assert resident_kb() - before_kb < MEMORY_KB
    with ReplayClient(open_box.replay.bound_endpoint) as client:
        assert client.head(PATIENCE_S) == JournalHead("e1", 1, 1)
    with ControlClient(open_box.control.bound_endpoint) as control:
        assert control.ask({"id": 1}, PATIENCE_S)["status"] == "unknown"


def test_nothing_without_a_key_reaches_the_owner(tmp_path: Path) -> None:
    store = KeyStore(tmp_path / "keys")
    store.init()
    box = Box("0.0.0.0", store)
    try:
        report = fuzz(box.targets(is_keyed=True), CASES, seed=3)
        assert report.unreachable == 0
        assert (box.replay.invalid, box.control.invalid, box.replay.dropped, box.control.dropped) == (0, 0, 0, 0)
        assert (box.verdicts.subscriptions, box.results.subscriptions) == (0, 0)
        assert not box.errors
        with ControlClient(box.control.bound_endpoint, store.box_keys()) as control:
            assert control.ask({"id": 1}, PATIENCE_S)["status"] == "unknown"
    finally:
        box.stop()


def test_a_case_is_replayed_by_its_number(open_box: Box) -> None:
    targets = open_box.targets(is_keyed=False)
    whole = fuzz(targets, 20, seed=4)
    parts = [fuzz(targets, 10, seed=4, first=first) for first in (0, 10)]
    kinds = {kind for part in parts for kind in part.cases}
    assert {kind: sum(part.cases.get(kind, 0) for part in parts) for kind in kinds} == whole.cases
