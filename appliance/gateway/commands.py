"""What a PLC writes: coils and holding registers, and the requests to the publisher that follow from a change.

PLCs write cyclically, so a command is a change, not a write: a number that differs from the one before, a coil that
goes from 0 to 1. A write that is refused changes nothing. Pure: no socket.
"""

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from pymodbus.constants import ExcCodes

from appliance.gateway.registers import CommandCode, CommandState, CommandStatus, Result

_COILS = (CommandCode.RESYNC, CommandCode.RELEASE)
COILS = len(_COILS)
HOLDING_REGISTERS = 4
_WORDS = 2
_PENDING_LIMIT = 32
_STATUSES = {status.name.lower(): status for status in CommandStatus if status > CommandStatus.PENDING}


@dataclass(frozen=True)
class Command:
    """One request on its way to the publisher; `number` finds the answer's place."""

    number: int
    code: CommandCode
    request: dict[str, Any]


class Commands:
    """State of the writable tables. Single-threaded.

    Args:
        find: Finds the result that a sequence number names.
    """

    def __init__(self, find: Callable[[int], Result | None]) -> None:
        self._find = find
        self.coils = [False] * COILS
        # A PLC may have left a coil at 1 before we (re)started: that is no command. It must show us a 0 first.
        self._is_armed = [False] * COILS
        self.holding = [0] * HOLDING_REGISTERS
        self.state = CommandState()
        self._pending: deque[Command] = deque()

    def write_coils(self, address: int, bits: Sequence[bool]) -> ExcCodes | None:
        """Set coils; a rising edge gives a command. Gives the reason to refuse: too many wait for their answer."""
        if not self._has_room(len(bits)):
            return ExcCodes.DEVICE_BUSY
        for coil, bit in enumerate(bits, address):
            has_risen = bit and not self.coils[coil]
            self.coils[coil] = bit
            self._is_armed[coil] |= not bit
            if has_risen:
                self._command_by_coil(coil)
        return None

    def write_registers(self, address: int, words: Sequence[int]) -> ExcCodes | None:
        """Set holding registers; a changed number gives a command. Gives the reason to refuse.

        Half of a 32-bit number is refused: between two writes it would be a number nobody meant.
        """
        if address % _WORDS or len(words) % _WORDS:
            return ExcCodes.ILLEGAL_ADDRESS
        if not self._has_room(len(words) // _WORDS):
            return ExcCodes.DEVICE_BUSY
        before = self.holding.copy()
        self.holding[address : address + len(words)] = words
        if self.holding[:2] != before[:2]:
            self._give(CommandCode.COUNT, {"request": "line.count", "controller_count": self._number(0)})
        if self.holding[2:] != before[2:]:
            self._acknowledge(self._number(2))
        return None

    def take(self) -> Command | None:
        """Take the next command to send, oldest first."""
        return self._pending.popleft() if self._pending else None

    def answer(self, command: Command, reply: dict[str, Any] | None) -> None:
        """Show a reply; None: there was none. The answer to a command that is not the last one shows nothing.

        When nobody answers, the commands behind it are given up as well: none may be carried out long after it was
        given.
        """
        if reply is None:
            self._pending.clear()
            if self.state.status is CommandStatus.PENDING:
                self.state = replace(self.state, status=CommandStatus.NO_ANSWER)
        elif command.number == self.state.number:
            status = _STATUSES.get(str(reply.get("status")), CommandStatus.INVALID)
            self.state = replace(self.state, status=status)

    def _number(self, address: int) -> int:
        return self.holding[address] << 16 | self.holding[address + 1]

    def _has_room(self, commands: int) -> bool:
        return len(self._pending) + commands <= _PENDING_LIMIT

    def _command_by_coil(self, coil: int) -> None:
        code = _COILS[coil]
        if not self._is_armed[coil]:
            self._give_up(code, CommandStatus.REFUSED)
        elif code is CommandCode.RESYNC:
            self._give(code, {"request": "line.resync", "controller_count": self._number(0)})
        else:
            self._give(code, {"request": "line.release"})

    def _acknowledge(self, sequence: int) -> None:
        result = self._find(sequence)
        if result is not None:
            self._give(CommandCode.ACKNOWLEDGE, {"request": "result.ack", "verdict_seq": result.verdict_seq})
        else:
            self._give_up(CommandCode.ACKNOWLEDGE, CommandStatus.UNKNOWN)

    def _give(self, code: CommandCode, request: dict[str, Any]) -> None:
        self.state = CommandState(self.state.number + 1, code, CommandStatus.PENDING)
        self._pending.append(Command(self.state.number, code, request | {"id": self.state.number}))

    def _give_up(self, code: CommandCode, status: CommandStatus) -> None:
        """Answer a command ourselves."""
        self.state = CommandState(self.state.number + 1, code, status)
