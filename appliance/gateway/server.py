"""Modbus TCP on asyncio streams: framing, limits and refusals are ours, requests and responses are pymodbus's.

pymodbus 3.16's own server is not used: it answers unknown functions and impossible counts with function code 0x80,
which no master expects; takes any coil value that isn't 0 for ON; throws away requests that came in one segment; and
keeps a connection that speaks another protocol for ever, with no limit to their number (all tried).
"""

import asyncio
import contextlib
import ipaddress
import logging
import struct
from dataclasses import dataclass

from pymodbus.constants import ExcCodes
from pymodbus.pdu import DecodePDU, ExceptionResponse, ModbusPDU

from appliance.errors import PublishError
from appliance.gateway.device import READS, WRITES, Device

log = logging.getLogger(__name__)

_HEADER = struct.Struct(">HHHB")
"""MBAP: transaction, protocol (0), bytes that follow including the unit, unit."""
_LONGEST_PDU = 253
_LIBRARY_LOG = "pymodbus"


@dataclass
class ServerCounts:
    """What happened on the wire.

    Attributes:
        exceptions: Requests answered with a Modbus exception.
        hung_up: Connections that spoke something else than Modbus, or nothing for too long.
        turned_away: Connections beyond the limit.
    """

    requests: int = 0
    exceptions: int = 0
    hung_up: int = 0
    turned_away: int = 0


class ModbusServer:
    """Listens, answers, hangs up. Lives in one event loop.

    Args:
        allow_remote_writes: Whether masters on other machines may give commands.
        max_connections: Masters at a time; further ones are hung up on at once.
        idle_timeout_s: A master that asks nothing, or doesn't take its answers, for so long is hung up on.
    """

    def __init__(
        self, device: Device, *, allow_remote_writes: bool, max_connections: int, idle_timeout_s: float
    ) -> None:
        self._device = device
        self._allow_remote_writes = allow_remote_writes
        self._max_connections = max_connections
        self._idle_timeout_s = idle_timeout_s
        self._decoder = DecodePDU(is_server=True)
        self._masters: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None
        self.counts = ServerCounts()

    @property
    def connections(self) -> int:
        """Masters connected now."""
        return len(self._masters)

    async def start(self, host: str, port: int) -> int:
        """Listen; gives the port, which is a free one where 0 was asked for.

        Raises:
            PublishError: Address busy, or not ours.
        """
        # It warns about each request that it can't decode: a stranger could fill the log. We count them.
        logging.getLogger(_LIBRARY_LOG).setLevel(logging.CRITICAL)
        try:
            self._server = await asyncio.start_server(self._welcome, host, port, limit=2 * _LONGEST_PDU)
        except OSError as error:
            raise PublishError(
                f"modbus: {host}:{port} can't be bound: {error.strerror}; stop what uses it, or change [modbus] port"
            ) from error
        bound_port: int = self._server.sockets[0].getsockname()[1]
        return bound_port

    async def stop(self) -> None:
        """Stop listening and hang up on all masters."""
        if self._server is not None:
            self._server.close()
        for task in self._masters:
            task.cancel()
        await asyncio.gather(*self._masters, return_exceptions=True)

    async def _welcome(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None, "streams run each connection as a task"
        try:
            if len(self._masters) >= self._max_connections:
                self.counts.turned_away += 1
                return
            self._masters.add(task)
            await self._serve(reader, writer, may_write=self._may_write(writer))
        finally:
            self._masters.discard(task)
            writer.transport.abort()  # not close(): what a master doesn't take must not keep the socket

    def _may_write(self, writer: asyncio.StreamWriter) -> bool:
        peer = writer.get_extra_info("peername")
        return self._allow_remote_writes or (peer is not None and ipaddress.ip_address(peer[0]).is_loopback)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, may_write: bool) -> None:
        try:
            while True:
                async with asyncio.timeout(self._idle_timeout_s):
                    transaction, protocol, length, unit = _HEADER.unpack(await reader.readexactly(_HEADER.size))
                    if protocol or not 2 <= length <= _LONGEST_PDU + 1:
                        self.counts.hung_up += 1  # no way to find the next request in such a stream
                        return
                    request = await reader.readexactly(length - 1)
                    response = await self._answer(request, unit, may_write=may_write)
                    body = response.function_code.to_bytes(1, "big") + response.encode()
                    writer.write(_HEADER.pack(transaction, 0, len(body) + 1, unit) + body)
                    await writer.drain()
        except TimeoutError:
            self.counts.hung_up += 1
        except (asyncio.IncompleteReadError, ConnectionError):
            pass  # the master has gone

    async def _answer(self, request: bytes, unit: int, *, may_write: bool) -> ModbusPDU:
        self.counts.requests += 1
        code = request[0]
        if code not in READS and not (code in WRITES and may_write):
            return self._refuse(code, ExcCodes.ILLEGAL_FUNCTION)
        pdu = self._decoder.decode(request)
        if pdu is None or not _is_canonical(pdu, request):
            return self._refuse(code, ExcCodes.ILLEGAL_VALUE)
        # The device is all that pymodbus's requests need of a server's context.
        response = await pdu.datastore_update(self._device, unit)  # type: ignore[arg-type]
        if isinstance(response, ExceptionResponse):
            self.counts.exceptions += 1
        return response

    def _refuse(self, code: int, reason: ExcCodes) -> ExceptionResponse:
        self.counts.exceptions += 1
        return ExceptionResponse(code & 0x7F, reason)


def _is_canonical(pdu: ModbusPDU, request: bytes) -> bool:
    """Whether the request is exactly what its meaning encodes to: no missing or spare bytes, no third coil value."""
    with contextlib.suppress(ValueError, struct.error, IndexError):
        return pdu.encode() == request[1:]
    return False
