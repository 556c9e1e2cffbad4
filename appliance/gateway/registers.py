"""What a PLC reads: a picture of the line at one moment, as input registers and discrete inputs.

Pure functions; README.md beside this file is the map. Numbers wider than 16 bits have their high word first.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import IntEnum

from appliance.messages import Reason, VerdictWord

MAP_VERSION = 1
RING_START = 32
RING_RECORDS = 16
RECORD_REGISTERS = 12
INPUT_REGISTERS = RING_START + RING_RECORDS * RECORD_REGISTERS
DISCRETE_INPUTS = 16
_LARGEST_REGISTER = 0xFFFF


class CommandCode(IntEnum):
    """Which command the command registers speak of."""

    NONE = 0
    COUNT = 1
    ACKNOWLEDGE = 2
    RESYNC = 3
    RELEASE = 4


class CommandStatus(IntEnum):
    """How the last command ended. Numbers never change their meaning."""

    NONE = 0
    PENDING = 1
    OK = 2
    DUPLICATE = 3
    CONFLICT = 4
    LATE = 5
    UNKNOWN = 6
    REFUSED = 7
    INVALID = 8
    NO_ANSWER = 9


@dataclass(frozen=True)
class Result:
    """One verdict, as far as registers show it.

    Attributes:
        verdict_seq: The ledger's number; registers show its low 32 bits.
        expires_ns: CLOCK_MONOTONIC after which it must not be acted on.
        came_late: It was past its deadline when it arrived here: never shown as valid.
    """

    verdict_seq: int
    inspection_id: int
    verdict: VerdictWord
    reason: Reason
    defect_count: int
    expires_ns: int
    came_late: bool = False
    is_simulated: bool = False

    @property
    def sequence(self) -> int:
        """The number that a PLC sees and acknowledges: 32 bits, wraps."""
        return self.verdict_seq & 0xFFFF_FFFF


@dataclass(frozen=True)
class Counters:
    """Inspections since the publisher's ledger began, by verdict."""

    ok: int = 0
    ng: int = 0
    unknown: int = 0


@dataclass(frozen=True)
class CommandState:
    """The last command: `number` counts them all."""

    number: int = 0
    code: CommandCode = CommandCode.NONE
    status: CommandStatus = CommandStatus.NONE


@dataclass(frozen=True)
class Picture:
    """The line at one moment.

    Attributes:
        heartbeat: Counts seconds while the gateway works.
        is_trigger_acknowledged: A trigger has been seen whose verdict isn't given yet.
        is_valid: `result` may be acted on now.
        is_expired: `result` is past its deadline, or came past it.
        results: The last `RING_RECORDS` results, oldest first; the last one is `result`.
    """

    heartbeat: int = 0
    is_publisher_present: bool = False
    is_ready: bool = False
    is_trigger_acknowledged: bool = False
    is_valid: bool = False
    is_result_acknowledged: bool = False
    is_expired: bool = False
    is_overrun: bool = False
    is_stop_requested: bool = False
    is_simulated: bool = False
    error_id: int = 0
    our_count: int = 0
    controller_count: int = 0
    counters: Counters = Counters()
    command: CommandState = CommandState()
    results: Sequence[Result] = ()

    @property
    def result(self) -> Result | None:
        """The newest verdict, valid or not."""
        return self.results[-1] if self.results else None


def discrete_inputs(picture: Picture) -> list[bool]:
    """Give the 16 status bits."""
    valid = picture.result.verdict if picture.result is not None and picture.is_valid else None
    bits = [
        picture.is_ready,
        picture.is_publisher_present,
        picture.is_trigger_acknowledged,
        picture.is_valid,
        picture.is_result_acknowledged,
        picture.is_expired,
        picture.is_overrun,
        picture.is_stop_requested,
        valid is VerdictWord.OK,
        valid is VerdictWord.NG,
        valid is VerdictWord.UNKNOWN,
        picture.command.status is CommandStatus.PENDING,
        picture.is_simulated,
    ]
    return bits + [False] * (DISCRETE_INPUTS - len(bits))


def input_registers(picture: Picture) -> list[int]:
    """Give all input registers, each 0..65535."""
    registers = [
        MAP_VERSION,
        picture.heartbeat & _LARGEST_REGISTER,
        sum(bit << place for place, bit in enumerate(discrete_inputs(picture))),
        *_current(picture),
        *_words(picture.our_count, 2),
        *_words(picture.controller_count, 2),
        min(picture.error_id, _LARGEST_REGISTER),
        *_words(picture.counters.ok, 2),
        *_words(picture.counters.ng, 2),
        *_words(picture.counters.unknown, 2),
        picture.command.number & _LARGEST_REGISTER,
        picture.command.code,
        picture.command.status,
    ]
    registers += [0] * (RING_START - len(registers))
    return registers + list(_ring(picture.results))


def _current(picture: Picture) -> list[int]:
    """The newest result; its verdict reads 0 unless it is valid: a PLC that forgets to look at the bit rejects."""
    result = picture.result
    if result is None:
        return [0] * 9
    return [
        result.verdict if picture.is_valid else 0,
        *_words(result.sequence, 2),
        result.reason,
        min(result.defect_count, _LARGEST_REGISTER),
        *_words(result.inspection_id, 4),
    ]


def _ring(results: Sequence[Result]) -> Iterator[int]:
    """Place each result at its sequence number modulo the ring's size; an empty place is all zeros."""
    places: dict[int, Result] = {result.sequence % RING_RECORDS: result for result in results}
    for place in range(RING_RECORDS):
        yield from _record(places[place]) if place in places else [0] * RECORD_REGISTERS


def _record(result: Result) -> list[int]:
    return [
        *_words(result.sequence, 2),
        *_words(result.inspection_id, 4),
        result.verdict,
        result.reason,
        min(result.defect_count, _LARGEST_REGISTER),
        result.came_late | result.is_simulated << 1,
        0,
        0,
    ]


def _words(number: int, count: int) -> list[int]:
    """Split into 16-bit words, high word first; a number that is too wide loses its high bits, as a counter wraps."""
    return [number >> 16 * place & _LARGEST_REGISTER for place in reversed(range(count))]
