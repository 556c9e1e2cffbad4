"""The four tables of the Modbus data model over the line's picture and the commands, as pymodbus asks for them."""

import time
from collections.abc import Callable
from typing import cast

from pymodbus.constants import ExcCodes

from appliance.gateway.commands import COILS, HOLDING_REGISTERS, Commands
from appliance.gateway.line_view import LineView
from appliance.gateway.registers import DISCRETE_INPUTS, INPUT_REGISTERS, discrete_inputs, input_registers

READ_COILS, READ_INPUTS, READ_HOLDING, READ_REGISTERS = 1, 2, 3, 4
WRITE_COIL, WRITE_COILS, WRITE_REGISTER, WRITE_REGISTERS = 5, 15, 6, 16
READS = frozenset({READ_COILS, READ_INPUTS, READ_HOLDING, READ_REGISTERS})
WRITES = frozenset({WRITE_COIL, WRITE_COILS, WRITE_REGISTER, WRITE_REGISTERS})
_SIZES = {
    READ_COILS: COILS,
    READ_INPUTS: DISCRETE_INPUTS,
    READ_HOLDING: HOLDING_REGISTERS,
    READ_REGISTERS: INPUT_REGISTERS,
    WRITE_COIL: COILS,
    WRITE_COILS: COILS,
    WRITE_REGISTER: HOLDING_REGISTERS,
    WRITE_REGISTERS: HOLDING_REGISTERS,
}


class Device:
    """Data store of the one device; every unit id is this device.

    The method names are pymodbus's: its request objects call them on a server's `context`.

    Args:
        written: Called after each write: there may be a command to send.
    """

    def __init__(self, view: LineView, commands: Commands, written: Callable[[], None]) -> None:
        self._view, self._commands, self._written = view, commands, written

    async def async_getValues(  # noqa: N802 (pymodbus's name)
        self,
        device_id: int,  # noqa: ARG002 (pymodbus's signature)
        func_code: int,
        address: int,
        count: int = 1,
    ) -> list[int] | list[bool] | ExcCodes:
        """Read; all values of one request are of one moment."""
        if address + count > _SIZES[func_code]:
            return ExcCodes.ILLEGAL_ADDRESS
        return self._table(func_code)[address : address + count]

    async def async_setValues(  # noqa: N802 (pymodbus's name)
        self,
        device_id: int,  # noqa: ARG002 (pymodbus's signature)
        func_code: int,
        address: int,
        values: list[int] | list[bool],
    ) -> ExcCodes | None:
        """Write, all of it or nothing."""
        if address + len(values) > _SIZES[func_code]:
            return ExcCodes.ILLEGAL_ADDRESS
        self._written()
        if func_code in {WRITE_COIL, WRITE_COILS}:
            return self._commands.write_coils(address, cast(list[bool], values))
        return self._commands.write_registers(address, values)

    def _table(self, func_code: int) -> list[int] | list[bool]:
        # A write of one value reads it back, with its own function code.
        if func_code in {READ_COILS, WRITE_COIL}:
            return self._commands.coils
        if func_code in {READ_HOLDING, WRITE_REGISTER}:
            return self._commands.holding
        picture = self._view.picture(self._commands.state, time.monotonic_ns())
        return discrete_inputs(picture) if func_code == READ_INPUTS else input_registers(picture)
