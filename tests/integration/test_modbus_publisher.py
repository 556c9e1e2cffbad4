"""A real gateway beside a real publisher, a scripted grabber and inspector, and a real Modbus master."""

import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from pymodbus.client import ModbusTcpClient

from appliance.config import load, load_recipe, recipe_reference
from appliance.gateway.registers import CommandCode, CommandStatus
from appliance.messages import Finding, Trigger, TriggerFlag, VerdictWord
from appliance.tally import AnnouncedWriter
from appliance.testing.hello import inspector_hello
from appliance.testing.patience import PATIENCE_S, wait_for
from appliance.testing.ports import free_port
from appliance.testing.whole_appliance import REPOSITORY
from appliance.wire.keys import KeyStore
from appliance.wire.publisher_link import PublisherLink

CONFIG = """
line = "line1"
station = "tabs"
recipe = "{folder}/recipe.toml"
models_dir = "{repository}/models"
runtime_dir = "{folder}/run"
state_dir = "{folder}/state"
delivery = {{ verdict_endpoint = "{verdicts}", control_endpoint = "{control}" }}
modbus = {{ enabled = true, port = {port}, show_simulated = true }}

[[cameras]]
name = "cam0"
source = {{ kind = "folder", images = "{repository}/examples/deeppcb" }}
"""
READY, PRESENT, TRIGGER, VALID, ACKNOWLEDGED, EXPIRED, OVERRUN, STOP, OK, NG, UNKNOWN, PENDING, SIMULATED = range(13)


class Stand:
    """Both processes, both pens, one master."""

    def __init__(self, folder: Path, *, is_open: bool = False) -> None:
        port = free_port()
        lanes = {name: f"ipc://{folder}/{name}" for name in ("verdicts", "control")}
        if is_open:
            lanes = {name: f"tcp://0.0.0.0:{free_port()}" for name in lanes}
        recipe = (REPOSITORY / "examples/recipes/deeppcb.toml").read_text().splitlines()
        patient = ["deadline_ms = 5000" if line.startswith("deadline_ms") else line for line in recipe]
        (folder / "recipe.toml").write_text("\n".join(patient))
        self.config_path = folder / "config.toml"
        self.config_path.write_text(CONFIG.format(repository=REPOSITORY, folder=folder, port=port, **lanes))
        self.config = load(self.config_path)
        self.processes = {name: self.start(name) for name in ("publish", "modbus")}
        self.master = ModbusTcpClient("127.0.0.1", port=port, timeout=PATIENCE_S, retries=0)
        wait_for(self.master.connect)
        wait_for(lambda: PRESENT in self.bits())
        self.pen = AnnouncedWriter(self.config.runtime_dir, self.config.state_dir, "cam0")
        self.grabber = PublisherLink(self.config.runtime_dir)
        self.inspector = PublisherLink(self.config.runtime_dir)

    def start(self, name: str) -> "subprocess.Popen[bytes]":
        return subprocess.Popen([sys.executable, "-m", "appliance", "stage", name, "--config", str(self.config_path)])

    def connect(self) -> None:
        recipe = recipe_reference(self.config.recipe, load_recipe(self.config.recipe))
        inspector = inspector_hello([recipe], "deeppcb-nano")
        for link, hello in ((self.grabber, {"role": "grabber", "camera": "cam0"}), (self.inspector, inspector)):
            link.poll()
            wait_for(lambda link=link, hello=hello: link.connect(hello))

    def inspect(self, verdict: VerdictWord) -> None:
        trigger = Trigger(self.pen.next_trigger_id, time.monotonic_ns(), frame_id=1, flags=TriggerFlag.SIMULATED)
        self.pen.announce(trigger)
        self.grabber.wake()
        wait_for(lambda: TRIGGER in self.bits())
        self.inspector.send_finding(Finding("cam0", trigger.trigger_id, verdict))

    def bits(self) -> set[int]:
        bits = self.master.read_discrete_inputs(0, count=16).bits
        return {place for place, bit in enumerate(bits) if bit}

    def registers(self) -> list[int]:
        return self.master.read_input_registers(0, count=32).registers

    def close(self) -> None:
        self.master.close()
        for process in self.processes.values():
            process.terminate()
        assert [process.wait(PATIENCE_S) for process in self.processes.values()] == [0, 0]
        for end in (self.pen, self.grabber, self.inspector):
            end.close()


@pytest.fixture
def stand(tmp_path: Path) -> Iterator[Stand]:
    stand = Stand(tmp_path)
    try:
        yield stand
    finally:
        stand.close()


def test_a_killed_publisher_is_not_ready_within_two_seconds_and_its_last_ok_never_returns(stand: Stand) -> None:
    stand.connect()
    wait_for(lambda: stand.bits() == {READY, PRESENT})
    stand.inspect(VerdictWord.OK)
    wait_for(lambda: stand.bits() == {READY, PRESENT, VALID, OK, SIMULATED})
    assert stand.registers()[3] == VerdictWord.OK
    stand.processes["publish"].kill()
    stand.processes["publish"].wait()
    wait_for(lambda: not {READY, VALID, OK} & stand.bits())
    stand.processes["publish"] = stand.start("publish")
    wait_for(lambda: PRESENT in stand.bits())
    stand.connect()
    wait_for(lambda: stand.bits() == {READY, PRESENT, SIMULATED})  # five seconds have not passed: still no OK
    assert stand.registers()[3] == 0


def test_the_handshake_of_a_plc_over_two_parts(stand: Stand) -> None:
    stand.connect()
    wait_for(lambda: READY in stand.bits())
    stand.master.write_coils(0, [False, False])
    stand.master.write_registers(0, [0, 500])
    wait_for(lambda: stand.registers()[23:26] == [1, CommandCode.COUNT, CommandStatus.UNKNOWN])
    stand.master.write_coil(0, True)
    wait_for(lambda: stand.registers()[23:26] == [2, CommandCode.RESYNC, CommandStatus.OK])
    for word, bit in ((VerdictWord.NG, NG), (VerdictWord.OK, OK)):
        stand.inspect(word)
        wait_for(lambda bit=bit: {VALID, bit} <= stand.bits())
        sequence = stand.registers()[4:6]
        assert not stand.master.write_registers(2, sequence).isError()
        wait_for(lambda: stand.registers()[24:26] == [CommandCode.ACKNOWLEDGE, CommandStatus.OK])
        wait_for(lambda: ACKNOWLEDGED in stand.bits())
        assert not {VALID, OK, NG} & stand.bits()
    wait_for(lambda: stand.registers()[12:23] == [0, 502, 0, 500, 0, 0, 1, 0, 1, 0, 0])


def test_where_the_publisher_demands_keys_the_gateway_shows_the_boxs_own(tmp_path: Path) -> None:
    KeyStore(tmp_path / "state/keys").init()
    stand = Stand(tmp_path, is_open=True)
    try:
        stand.connect()
        wait_for(lambda: READY in stand.bits())
        stand.master.write_coil(1, False)
        stand.master.write_coil(1, True)
        wait_for(lambda: stand.registers()[23:26] == [1, CommandCode.RELEASE, CommandStatus.DUPLICATE])
    finally:
        stand.close()
