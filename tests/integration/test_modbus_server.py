"""Real masters, polite and not, on the Modbus server; registers are fed by hand."""

import asyncio
import random
import socket
import struct
import time
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from pymodbus.client import AsyncModbusTcpClient
from pymodbus.constants import ExcCodes

from appliance.errors import PublishError
from appliance.gateway.commands import Commands
from appliance.gateway.device import Device
from appliance.gateway.line_view import LineView
from appliance.gateway.registers import INPUT_REGISTERS
from appliance.gateway.server import ModbusServer
from appliance.testing.patience import PATIENCE_S

HOST = "127.0.0.1"
SEED = 20261122


class Stand:
    """A server on a free port, in the test's event loop."""

    def __init__(self, *, host: str = HOST, writes: bool = False, connections: int = 4, idle_s: float = 30.0) -> None:
        self.host = host
        self.view = LineView(time.monotonic_ns())
        self.commands = Commands(self.view.find)
        self.server = ModbusServer(
            Device(self.view, self.commands, lambda: None),
            allow_remote_writes=writes,
            max_connections=connections,
            idle_timeout_s=idle_s,
        )
        self.port = 0

    async def raw(self, data: bytes, answers: int) -> bytes:
        """Send bytes, read until so many came or the server hung up."""
        reader, writer = await asyncio.open_connection(self.host, self.port)
        writer.write(data)
        try:
            return await asyncio.wait_for(reader.readexactly(answers), PATIENCE_S)
        except asyncio.IncompleteReadError as error:
            return error.partial + b"<hung up>"
        except ConnectionError:
            return b"<hung up>"
        finally:
            writer.transport.abort()

    async def client(self) -> AsyncModbusTcpClient:
        client = AsyncModbusTcpClient(self.host, port=self.port, timeout=PATIENCE_S, retries=0)
        assert await client.connect()
        return client


def on_stand(test: Callable[[Stand], Awaitable[None]], **options: Any) -> None:
    """Run a coroutine with a stand."""

    async def run() -> None:
        stand = Stand(**options)
        stand.port = await stand.server.start(stand.host, 0)
        try:
            await test(stand)
        finally:
            await stand.server.stop()
            assert stand.server.connections == 0

    asyncio.run(run())


def frame(pdu: bytes, transaction: int = 1, protocol: int = 0, length: int | None = None) -> bytes:
    return struct.pack(">HHHB", transaction, protocol, len(pdu) + 1 if length is None else length, 7) + pdu


def test_a_master_reads_all_tables_and_writes_commands() -> None:
    async def test(stand: Stand) -> None:
        client = await stand.client()
        first = await client.read_input_registers(0, count=125)
        rest = await client.read_input_registers(125, count=INPUT_REGISTERS - 125)
        assert len(first.registers) + len(rest.registers) == INPUT_REGISTERS
        assert first.registers[0] == 1
        assert (await client.read_discrete_inputs(0, count=16)).bits == [False] * 16
        assert not (await client.write_registers(0, [1, 2])).isError()
        assert (await client.read_holding_registers(0, count=4)).registers == [1, 2, 0, 0]
        assert not (await client.write_coil(1, False)).isError()
        assert not (await client.write_coil(1, True)).isError()
        assert (await client.read_coils(0, count=2)).bits[:2] == [False, True]
        assert not (await client.write_coils(0, [False, False])).isError()
        assert [command.request["request"] for command in iter(stand.commands.take, None)] == [
            "line.count",
            "line.release",
        ]
        client.close()

    on_stand(test)


REFUSALS = {
    "unknown function": (b"\x63abc", ExcCodes.ILLEGAL_FUNCTION),
    "function of a reply": (b"\x84\x02", ExcCodes.ILLEGAL_FUNCTION),
    "restart of communications": (b"\x08\x00\x01\x00\x00", ExcCodes.ILLEGAL_FUNCTION),
    "mask write": (b"\x16\x00\x00\xff\xff\x00\x00", ExcCodes.ILLEGAL_FUNCTION),
    "beyond the input registers": (struct.pack(">BHH", 4, INPUT_REGISTERS - 1, 2), ExcCodes.ILLEGAL_ADDRESS),
    "beyond the discrete inputs": (struct.pack(">BHH", 2, 16, 1), ExcCodes.ILLEGAL_ADDRESS),
    "beyond the coils": (struct.pack(">BHH", 5, 2, 0xFF00), ExcCodes.ILLEGAL_ADDRESS),
    "last address of all": (struct.pack(">BHH", 3, 0xFFFF, 1), ExcCodes.ILLEGAL_ADDRESS),
    "half a number": (struct.pack(">BHH", 6, 0, 1), ExcCodes.ILLEGAL_ADDRESS),
    "too many registers": (struct.pack(">BHH", 4, 0, 126), ExcCodes.ILLEGAL_VALUE),
    "no registers": (struct.pack(">BHH", 4, 0, 0), ExcCodes.ILLEGAL_VALUE),
    "a coil that is neither on nor off": (struct.pack(">BHH", 5, 0, 0x1234), ExcCodes.ILLEGAL_VALUE),
    "bytes to spare": (struct.pack(">BHH", 4, 0, 1) + b"!", ExcCodes.ILLEGAL_VALUE),
    "bytes missing": (b"\x04\x00", ExcCodes.ILLEGAL_VALUE),
    "fewer words than told": (struct.pack(">BHHBH", 16, 0, 2, 4, 1), ExcCodes.ILLEGAL_VALUE),
    "more words than told": (struct.pack(">BHHBHHH", 16, 0, 2, 4, 1, 2, 3), ExcCodes.ILLEGAL_VALUE),
    "fewer coils than told": (struct.pack(">BHHB", 15, 0, 2, 1), ExcCodes.ILLEGAL_VALUE),
}


@pytest.mark.parametrize(("pdu", "reason"), REFUSALS.values(), ids=REFUSALS)
def test_what_can_not_be_done_is_refused_with_its_own_function_code(pdu: bytes, reason: ExcCodes) -> None:
    async def test(stand: Stand) -> None:
        answer = await stand.raw(frame(pdu, transaction=515), 9)
        assert answer == frame(bytes([pdu[0] | 0x80, reason]), transaction=515)
        assert stand.commands.take() is None
        assert stand.commands.holding == [0, 0, 0, 0]

    on_stand(test)


def test_requests_in_one_segment_are_all_answered_in_order() -> None:
    async def test(stand: Stand) -> None:
        ask = struct.pack(">BHH", 3, 0, 1)
        answer = await stand.raw(b"".join(frame(ask, number) for number in range(1, 4)), 33)
        assert answer == b"".join(frame(b"\x03\x02\x00\x00", number) for number in range(1, 4))

    on_stand(test)


@pytest.mark.parametrize("head", [frame(b"\x04", protocol=1), frame(b"\x04", length=0), frame(b"\x04", length=255)])
def test_a_stream_that_is_no_modbus_is_hung_up_on(head: bytes) -> None:
    async def test(stand: Stand) -> None:
        assert await stand.raw(head, 1) == b"<hung up>"
        assert stand.server.counts.hung_up == 1

    on_stand(test)


def network_address() -> str | None:
    """An address of this machine that is not loopback; sends nothing."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))  # for documentation only: nobody has it
        except OSError:
            return None
        return str(probe.getsockname()[0])


@pytest.mark.skipif(network_address() is None, reason="this machine has no network")
@pytest.mark.parametrize("may_write", [False, True])
def test_a_master_elsewhere_reads_and_writes_only_with_leave(may_write: bool) -> None:
    async def test(stand: Stand) -> None:
        for pdu in (struct.pack(">BHH", 5, 0, 0), struct.pack(">BHHBHH", 16, 0, 2, 4, 0, 1)):
            answer = (await stand.raw(frame(pdu), 9))[7:]
            assert (answer == bytes([pdu[0] | 0x80, ExcCodes.ILLEGAL_FUNCTION])) != may_write
        assert (await stand.raw(frame(struct.pack(">BHH", 3, 0, 1)), 11))[7] == 3

    on_stand(test, host=network_address(), writes=may_write)


def test_masters_beyond_the_limit_are_turned_away_and_the_others_stay() -> None:
    async def test(stand: Stand) -> None:
        first = await stand.client()
        assert not (await first.read_coils(0, count=1)).isError()
        assert await stand.raw(frame(struct.pack(">BHH", 3, 0, 1)), 1) == b"<hung up>"
        assert stand.server.counts.turned_away == 1
        assert not (await first.read_coils(0, count=1)).isError()
        first.close()

    on_stand(test, connections=1)


@pytest.mark.parametrize("sent", [b"", b"\x00\x01\x00", frame(b"\x04\x00\x00\x00\x01")[:-1]])
def test_a_silent_or_slow_master_is_hung_up_on(sent: bytes) -> None:
    async def test(stand: Stand) -> None:
        assert await stand.raw(sent, 1) == b"<hung up>"
        assert stand.server.counts.hung_up == 1

    on_stand(test, idle_s=0.1)


def test_a_master_that_takes_no_answers_is_hung_up_on() -> None:
    async def test(stand: Stand) -> None:
        _reader, writer = await asyncio.open_connection(HOST, stand.port)
        ask = frame(struct.pack(">BHH", 4, 0, 125)) * 1000
        end = time.monotonic() + PATIENCE_S
        while not stand.server.counts.hung_up and time.monotonic() < end:
            writer.write(ask)
            await asyncio.sleep(0.01)
        assert stand.server.counts.hung_up == 1
        writer.transport.abort()

    on_stand(test, idle_s=0.2)


def test_a_busy_port_is_named() -> None:
    async def test(stand: Stand) -> None:
        with pytest.raises(PublishError, match=rf"{HOST}:{stand.port} can't be bound"):
            await Stand().server.start(HOST, stand.port)

    on_stand(test)


def test_random_and_mutated_frames_hurt_nobody() -> None:
    """A thousand connections of noise; a polite master beside them is answered to the end."""
    random_source = random.Random(SEED)

    def noise() -> bytes:
        kind = random_source.randrange(3)
        if kind == 0:
            return random_source.randbytes(random_source.randrange(1, 300))
        pdu = bytes([random_source.randrange(256)]) + random_source.randbytes(random_source.randrange(0, 260))
        if kind == 1:
            return frame(pdu[:253])
        good = bytearray(frame(struct.pack(">BHHBHH", 16, 0, 2, 4, 1, 2)))
        good[random_source.randrange(len(good))] ^= 1 << random_source.randrange(8)
        return bytes(good)

    async def test(stand: Stand) -> None:
        polite = await stand.client()
        for _ in range(1000):
            reader, writer = await asyncio.open_connection(HOST, stand.port)
            writer.write(b"".join(noise() for _ in range(5)))
            writer.write_eof()
            await asyncio.wait_for(reader.read(), PATIENCE_S)  # until it hangs up, as it does on half a request
            writer.transport.abort()
        answer = await polite.read_input_registers(0, count=3)
        assert answer.registers[0] == 1
        assert stand.server.counts.requests > 100
        polite.close()

    on_stand(test)
