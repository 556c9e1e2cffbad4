"""A real gateway process between a scripted publisher and a real Modbus master."""

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pymodbus.client import ModbusTcpClient

from appliance.clock import NS_PER_MS, rfc3339
from appliance.config import load
from appliance.testing.patience import PATIENCE_S, wait_for
from appliance.testing.ports import free_port
from appliance.testing.whole_appliance import REPOSITORY
from appliance.wire.control_lane import ControlServer
from appliance.wire.verdict_lane import VerdictPublisher

CONFIG = """
line = "line1"
station = "tabs"
recipe = "{repository}/examples/recipes/deeppcb.toml"
models_dir = "{repository}/models"
runtime_dir = "{folder}/run"
state_dir = "{folder}/state"
delivery = {{ verdict_endpoint = "ipc://{folder}/verdicts", control_endpoint = "ipc://{folder}/control" }}
modbus = {{ enabled = true, port = {port} }}

[[cameras]]
name = "cam0"
source = {{ kind = "folder", images = "{repository}/examples/deeppcb" }}
"""
READY, PRESENT, TRIGGER, VALID, ACKNOWLEDGED, EXPIRED, OVERRUN, STOP, OK, NG, UNKNOWN, PENDING, SIMULATED = range(13)


class Stand:
    """Gateway process, master, and our end of both lanes."""

    def __init__(self, folder: Path) -> None:
        port = free_port()
        config_path = folder / "config.toml"
        config_path.write_text(CONFIG.format(repository=REPOSITORY, folder=folder, port=port))
        delivery = load(config_path).delivery
        self.lane = VerdictPublisher(delivery.verdict_endpoint)
        self.control = ControlServer(delivery.control_endpoint)
        self.open_ends: list[VerdictPublisher | ControlServer] = [self.lane, self.control]
        argv = [sys.executable, "-m", "appliance", "stage", "modbus", "--config", str(config_path)]
        self.process = subprocess.Popen(argv)
        self.master = ModbusTcpClient("127.0.0.1", port=port, timeout=PATIENCE_S, retries=0)
        wait_for(self.master.connect)
        wait_for(self.hears_us)

    def hears_us(self) -> bool:
        self.lane.take_subscriptions()
        self.say_ready()
        return PRESENT in self.bits()

    def bits(self) -> set[int]:
        bits = self.master.read_discrete_inputs(0, count=16).bits
        return {place for place, bit in enumerate(bits) if bit}

    def registers(self) -> list[int]:
        return self.master.read_input_registers(0, count=32).registers

    def say_ready(self, **changes: Any) -> None:
        state = {
            "schema_version": 1,
            "ready": True,
            "trigger_acknowledged": False,
            "result_valid": False,
            "result_acknowledged": False,
            "overrun": False,
            "stop_requested": False,
            "error_id": 0,
            "counters": {"ok": 1, "ng": 2, "unknown": 3},
            "verdict_seq": 0,
            "controller_count": None,
            "our_count": None,
        }
        self.lane.send_state("line.line1.tabs", json.dumps(state | changes).encode())

    def say_verdict(self, number: int, word: str, topic: str = "verdict.line1.tabs", left_ms: int = 60_000) -> None:
        verdict = {
            "schema_version": 1,
            "verdict_seq": number,
            "inspection_id": number,
            "verdict": word,
            "reason": None,
            "defects": [],
            "published_at": rfc3339(time.time_ns()),
            "deadline_at": rfc3339(time.time_ns() + left_ms * NS_PER_MS),
            "is_simulated": topic.startswith("sim."),
        }
        self.lane.send(topic, json.dumps(verdict).encode())

    def answer(self, status: str) -> dict[str, Any]:
        """Wait for one request, answer it."""
        requests: list[dict[str, Any]] = []

        def has_come() -> bool:
            for peer, _, request in self.control.requests():
                self.control.reply(peer, {"id": request["id"], "status": status, "message": ""})
                requests.append(request)
            return bool(requests)

        wait_for(has_come)
        return requests[0]

    def hang_up(self, end: VerdictPublisher | ControlServer) -> None:
        self.open_ends.remove(end)
        end.close()

    def close(self) -> None:
        self.master.close()
        self.process.terminate()
        assert self.process.wait(PATIENCE_S) == 0
        for end in self.open_ends.copy():
            self.hang_up(end)


@pytest.fixture
def stand(tmp_path: Path) -> Iterator[Stand]:
    stand = Stand(tmp_path)
    try:
        yield stand
    finally:
        stand.close()


def test_verdicts_are_shown_until_the_publisher_falls_silent(stand: Stand) -> None:
    stand.say_verdict(1, "OK")
    wait_for(lambda: (stand.say_ready(), stand.bits())[1] == {READY, PRESENT, VALID, OK})  # ready is true for 1.5 s
    heartbeat = stand.registers()[1]
    wait_for(lambda: stand.registers()[1] != heartbeat)
    wait_for(lambda: stand.bits() == {PRESENT})  # it still answers heartbeats
    stand.hang_up(stand.lane)
    wait_for(lambda: stand.bits() == set())


def test_simulated_verdicts_are_not_shown_to_a_production_plc(stand: Stand) -> None:
    stand.say_verdict(1, "OK", topic="sim.verdict.line1.tabs")
    stand.say_verdict(2, "NG")
    wait_for(lambda: stand.registers()[4:6] == [0, 2])
    assert SIMULATED not in stand.bits()
    ring = stand.master.read_input_registers(32, count=36).registers
    assert ring[12:24] == [0] * 12
    assert ring[24:26] == [0, 2]


def test_commands_reach_the_publisher_and_its_answers_the_plc(stand: Stand) -> None:
    stand.say_verdict(7, "OK")
    wait_for(lambda: stand.registers()[4:6] == [0, 7])
    assert not stand.master.write_registers(0, [0, 41, 0, 7]).isError()
    assert stand.answer("conflict")["controller_count"] == 41
    assert stand.answer("ok") == {"request": "result.ack", "verdict_seq": 7, "id": 2}
    wait_for(lambda: stand.registers()[23:26] == [2, 2, 2])
    stand.master.write_coil(0, False)
    stand.master.write_coil(0, True)
    assert stand.answer("refused")["request"] == "line.resync"
    wait_for(lambda: stand.registers()[23:26] == [3, 3, 7])


def test_a_command_that_nobody_answers_says_so(stand: Stand) -> None:
    stand.hang_up(stand.control)
    stand.master.write_coils(0, [False, False])
    stand.master.write_coil(1, True)
    assert PENDING in stand.bits()
    wait_for(lambda: stand.registers()[23:26] == [1, 4, 9])
