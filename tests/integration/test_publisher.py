"""A real publisher process between a scripted grabber, a scripted inspector and a subscriber."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from appliance import seqpacket
from appliance.box.status import read_status
from appliance.config import load, load_recipe, recipe_reference
from appliance.messages import Defect, Finding, ModelRef, Reason, Trigger, VerdictWord
from appliance.tally import AnnouncedWriter, DecidedReader, count
from appliance.testing.hello import identity_of, inspector_hello
from appliance.testing.patience import PATIENCE_S, patient_recipe, wait_for
from appliance.testing.whole_appliance import REPOSITORY
from appliance.wire.publisher_link import PublisherLink, publisher_socket
from appliance.wire.verdict_lane import VerdictSubscriber

DEADLINE_MS = 4000.0
MARGIN_MS = 2000.0
"""A busy test machine may not run us for a second: findings have two to come, an UNKNOWN that is late by then one."""
CONFIG = """
line = "line1"
station = "tabs"
recipe = "{folder}/recipe.toml"
models_dir = "{repository}/models"
runtime_dir = "{folder}/run"
state_dir = "{folder}/state"

[delivery]
verdict_endpoint = "ipc://{folder}/verdicts"
control_endpoint = "ipc://{folder}/control"
send_margin_ms = {margin_ms}

[[cameras]]
name = "cam0"
source = {{ kind = "folder", images = "{repository}/examples/deeppcb" }}
"""


class Stand:
    """Publisher process, grabber's pen, subscriber."""

    def __init__(self, folder: Path) -> None:
        patient_recipe(folder / "recipe.toml", DEADLINE_MS)
        self.config_path = folder / "config.toml"
        self.config_path.write_text(CONFIG.format(repository=REPOSITORY, folder=folder, margin_ms=MARGIN_MS))
        self.config = load(self.config_path)
        self.lane = VerdictSubscriber(self.config.delivery.verdict_endpoint)
        self.process: subprocess.Popen[bytes] | None = None
        self.start()
        self.pen = AnnouncedWriter(self.config.runtime_dir, self.config.state_dir, "cam0")
        self.grabber = PublisherLink(self.config.runtime_dir)
        self.inspector = PublisherLink(self.config.runtime_dir)

    def start(self) -> None:
        argv = [sys.executable, "-m", "appliance", "stage", "publish", "--config", str(self.config_path)]
        self.process = process = subprocess.Popen(argv)

        def is_running() -> bool:  # and not only bound: it listens and heeds signals
            said = read_status(self.config.runtime_dir, "publish")
            return said is not None and said["pid"] == process.pid

        wait_for(lambda: is_running() and self.lane.is_connected)

    def kill(self) -> None:
        assert self.process is not None
        self.process.kill()
        self.process.wait()

    def connect(self) -> None:
        recipe = recipe_reference(self.config.recipe, load_recipe(self.config.recipe))
        wait_for(lambda: self.grabber.connect({"role": "grabber", "camera": "cam0"}))
        hello = inspector_hello([recipe], "deeppcb-nano")
        wait_for(lambda: self.inspector.connect(hello))

    def announce(self, reason: Reason = Reason.NONE, age_ms: float = 0.0) -> Trigger:
        exposed_ns = time.monotonic_ns() - int(age_ms * 1e6)
        trigger = Trigger(self.pen.next_trigger_id, exposed_ns, frame_id=1, reason=reason)
        self.pen.announce(trigger)
        self.grabber.wake()
        return trigger

    def next_verdict(self) -> dict[str, Any]:
        received = self.lane.receive(PATIENCE_S)
        assert received is not None, "no verdict came"
        verdict: dict[str, Any] = json.loads(received[1])
        return verdict

    def close(self) -> None:
        assert self.process is not None
        self.process.send_signal(signal.SIGCONT)
        self.process.terminate()
        assert self.process.wait(PATIENCE_S) == 0
        self.pen.close()
        self.grabber.close()
        self.inspector.close()
        self.lane.close()


@pytest.fixture
def stand(tmp_path: Path) -> Iterator[Stand]:
    stand = Stand(tmp_path)
    try:
        yield stand
    finally:
        stand.close()


def test_a_finding_becomes_the_verdict(stand: Stand) -> None:
    stand.connect()
    trigger = stand.announce()
    defect = Defect("spur", 0.9, (1, 2, 3, 4))
    stand.inspector.send_finding(Finding("cam0", trigger.trigger_id, VerdictWord.NG, defects=(defect,)))
    verdict = stand.next_verdict()
    assert (verdict["verdict"], verdict["reason"]) == ("NG", None)
    assert verdict["defects"] == [{"class_name": "spur", "score": 0.9, "box_px": [1, 2, 3, 4]}]
    assert verdict["model"] == identity_of(ModelRef("deeppcb-nano")).reference


def test_a_silent_inspector_costs_an_unknown_before_the_deadline(stand: Stand) -> None:
    stand.connect()
    stand.announce()
    verdict = stand.next_verdict()
    assert (verdict["verdict"], verdict["reason"]) == ("UNKNOWN", "late")
    assert verdict["published_at"] < verdict["deadline_at"]


def test_a_finding_after_the_verdict_changes_nothing(stand: Stand) -> None:
    stand.connect()
    trigger = stand.announce()
    assert stand.next_verdict()["reason"] == "late"
    stand.inspector.send_finding(Finding("cam0", trigger.trigger_id, VerdictWord.OK))
    assert stand.lane.receive(0.3) is None
    assert count(stand.config.runtime_dir, "cam0").unknown == 1


def test_the_grabbers_reason_needs_no_inspector(stand: Stand) -> None:
    stand.announce(Reason.LOST_FRAME)
    assert stand.next_verdict()["reason"] == "lost_frame"


def test_a_lost_wake_up_costs_no_verdict(stand: Stand) -> None:
    stand.pen.announce(Trigger(stand.pen.next_trigger_id, time.monotonic_ns(), reason=Reason.RING_FULL))
    assert stand.next_verdict()["reason"] == "ring_full"


def test_an_amended_trigger_is_decided_at_once(stand: Stand) -> None:
    stand.connect()
    trigger = stand.announce()
    amended = Trigger(trigger.trigger_id, trigger.exposed_ns, reason=Reason.RING_FULL)
    stand.pen.amend(amended)
    stand.grabber.wake(trigger.trigger_id)
    verdict = stand.next_verdict()
    assert verdict["reason"] == "ring_full"
    assert verdict["stage_ms"]["total"] < DEADLINE_MS - MARGIN_MS


def test_a_dead_inspector_is_told_at_once(stand: Stand) -> None:
    stand.connect()
    stand.announce()
    wait_for(lambda: count(stand.config.runtime_dir, "cam0").open == 1)
    stand.inspector.close()
    assert stand.next_verdict()["reason"] == "inspector_down"


def test_a_dead_grabbers_trigger_waits_for_its_deadline_and_says_why(stand: Stand) -> None:
    stand.connect()
    stand.announce()
    stand.grabber.close()
    verdict = stand.next_verdict()
    assert verdict["reason"] == "grabber_down"
    assert verdict["stage_ms"]["total"] > (DEADLINE_MS - MARGIN_MS) / 2


def test_a_dead_grabbers_frame_may_still_be_judged(stand: Stand) -> None:
    stand.connect()
    trigger = stand.announce()
    stand.grabber.close()
    stand.inspector.send_finding(Finding("cam0", trigger.trigger_id, VerdictWord.OK))
    assert stand.next_verdict()["verdict"] == "OK"


def test_what_a_killed_publisher_left_open_is_decided_late_and_never_sent(stand: Stand) -> None:
    stand.connect()
    first = stand.announce()
    stand.inspector.send_finding(Finding("cam0", first.trigger_id, VerdictWord.OK))
    sequence = stand.next_verdict()["verdict_seq"]
    stand.kill()
    abandoned = stand.announce(age_ms=60_000)
    wait_for(lambda: not stand.lane.is_connected)
    stand.start()
    reader = DecidedReader(stand.config.runtime_dir, "cam0")
    wait_for(lambda: reader.has(abandoned.trigger_id))
    decision = reader.read(abandoned.trigger_id)
    reader.close()
    assert decision is not None
    assert (decision.verdict, decision.is_sent) == (VerdictWord.UNKNOWN, False)
    stand.announce(Reason.LOST_FRAME)
    assert stand.next_verdict()["verdict_seq"] == sequence + 2


def test_an_inspector_with_another_recipe_is_not_heard(stand: Stand) -> None:
    wait_for(lambda: stand.inspector.connect({"role": "inspector", "model": {}, "recipe": {"sha256": "other"}}))
    wait_for(lambda: stand.inspector.connect(inspector_hello([{"name": "tabs", "sha256": "other"}], "m")))

    def is_refused() -> bool:
        stand.inspector.poll()
        return not stand.inspector.is_connected

    wait_for(is_refused)


@pytest.mark.parametrize(
    "message",
    [b"garbage", b"[]", b'{"role":"emperor"}', b'{"role":"grabber","camera":"nobody"}', b"[" * 60_000],
    ids=["garbage", "list", "emperor", "nobody", "deep"],
)
def test_a_peer_that_talks_nonsense_is_hung_up_on(stand: Stand, message: bytes) -> None:
    peer = seqpacket.connect(publisher_socket(stand.config.runtime_dir))
    assert peer is not None
    seqpacket.send(peer, message)
    peer.setblocking(True)
    peer.settimeout(PATIENCE_S)
    assert peer.recv(10) == b""
    peer.close()
    stand.announce(Reason.LOST_FRAME)
    assert stand.next_verdict()["reason"] == "lost_frame"


def test_descriptors_that_a_peer_sends_are_not_kept(stand: Stand) -> None:
    assert stand.process is not None
    stand.connect()
    kept = Path(f"/proc/{stand.process.pid}/fd")
    wait_for(lambda: count(stand.config.runtime_dir, "cam0").triggers == 0)
    peer = seqpacket.connect(publisher_socket(stand.config.runtime_dir))
    assert peer is not None
    seqpacket.send(peer, b'{"role":"grabber","camera":"cam0"}')
    stand.announce(Reason.LOST_FRAME)
    stand.next_verdict()
    before = len(list(kept.iterdir()))
    for _ in range(20):
        seqpacket.send(peer, (0).to_bytes(8, "little"), fd=peer.fileno())
    stand.announce(Reason.LOST_FRAME)
    stand.next_verdict()
    wait_for(lambda: len(list(kept.iterdir())) < before + 10)  # others come and go: connections, a file being synced
    peer.close()


def test_sigterm_gives_what_is_open_its_verdict(stand: Stand) -> None:
    stand.connect()
    stand.announce()
    wait_for(lambda: count(stand.config.runtime_dir, "cam0").open == 1)
    assert stand.process is not None
    os.kill(stand.process.pid, signal.SIGTERM)
    assert stand.next_verdict()["verdict"] == "UNKNOWN"
    assert stand.process.wait(PATIENCE_S) == 0
    assert count(stand.config.runtime_dir, "cam0").open == 0
    assert not publisher_socket(stand.config.runtime_dir).exists()
