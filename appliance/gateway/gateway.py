"""The gateway process: follows the verdict lane, answers Modbus masters, passes their commands on to the publisher.

A client like any other: when it is killed or hangs, verdicts go on; its masters see the heartbeat stop.
"""

import asyncio
import contextlib
import dataclasses
import ipaddress
import logging
import time
from typing import Any

from appliance.config import ApplianceConfig
from appliance.gateway.commands import Commands
from appliance.gateway.device import Device
from appliance.gateway.line_view import LineView
from appliance.gateway.questioner import Questioner
from appliance.gateway.server import ModbusServer
from appliance.messages import verdict_topic
from appliance.messages.line import line_topic
from appliance.stage import Stage
from appliance.wire.sockets import box_keys_for
from appliance.wire.verdict_lane import VerdictSubscriber

log = logging.getLogger(__name__)

TICK_S = 0.05


def run_gateway(config: ApplianceConfig, stage: Stage) -> None:
    """Run until the stage is stopped.

    Raises:
        PublishError: The address can't be bound, or the publisher's endpoints are none.
        KeysError: The publisher's endpoints need keys, and the box's are missing or damaged.
    """
    asyncio.run(_run(config, stage))


async def _run(config: ApplianceConfig, stage: Stage) -> None:
    settings = config.modbus
    gateway = Gateway(config)
    try:
        stage.install_signal_handlers()
        await gateway.server.start(settings.host, settings.port)
        if not ipaddress.ip_address(settings.host).is_loopback:
            writers = "anybody" if settings.allow_remote_writes else "only this machine"
            log.warning("modbus: open to other machines on %s, without keys; %s may write", settings.host, writers)
        stage.ready()
        while not stage.is_stopping:
            await gateway.step(TICK_S)
            stage.beat(gateway.status)
    finally:
        await gateway.close()


class Gateway:
    """Lane, registers, server and commands in one event loop; `step` is one turn of it."""

    def __init__(self, config: ApplianceConfig) -> None:
        settings = config.modbus
        topics = tuple(
            topic(config.line, config.station, is_simulated=settings.show_simulated)
            for topic in (verdict_topic, line_topic)
        )
        self._view = LineView(time.monotonic_ns())
        self._commands = Commands(self._view.find)
        self._awake = asyncio.Event()
        verdicts, control = config.delivery.verdict_endpoint, config.delivery.control_endpoint
        self._lane = VerdictSubscriber(verdicts, topics, box_keys_for(verdicts, config.effective_keys_dir))
        try:
            self._questioner = Questioner(
                control, box_keys_for(control, config.effective_keys_dir), self._commands, self._awake.set
            )
        except BaseException:
            self._lane.close()
            raise
        self.server = ModbusServer(
            Device(self._view, self._commands, self._awake.set),
            allow_remote_writes=settings.allow_remote_writes,
            max_connections=settings.max_connections,
            idle_timeout_s=settings.idle_timeout_s,
        )
        asyncio.get_running_loop().add_reader(self._lane.fileno(), self._awake.set)

    async def step(self, timeout_s: float) -> None:
        """Take in what the lane says, pass commands and answers on; then wait for more."""
        while (received := self._lane.receive(0)) is not None:
            topic, body = received
            self._view.take(topic, body, now_ns=time.monotonic_ns(), unix_s=time.time())
        self._view.listen(is_connected=self._lane.is_connected, now_ns=time.monotonic_ns())
        self._questioner.step()
        self._awake.clear()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._awake.wait(), timeout_s)

    def status(self) -> dict[str, Any]:
        """Describe the gateway for the status file."""
        command = self._commands.state
        return {
            "masters": self.server.connections,
            "is_publisher_present": self._view.is_present(time.monotonic_ns()),
            "unreadable": self._view.unreadable,
            "commands": command.number,
            "last_command": {"code": command.code.name.lower(), "status": command.status.name.lower()},
            **dataclasses.asdict(self.server.counts),
        }

    async def close(self) -> None:
        """Hang up on everybody."""
        await self.server.stop()
        asyncio.get_running_loop().remove_reader(self._lane.fileno())
        self._questioner.close()
        self._lane.close()
