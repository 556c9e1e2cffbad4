"""Commands are changes: a PLC writes the same values again and again."""

import pytest
from pymodbus.constants import ExcCodes

from appliance.gateway.commands import Command, Commands
from appliance.gateway.registers import CommandCode, CommandState, CommandStatus, Result
from appliance.messages import Reason, VerdictWord

RESULT = Result(0x1_0000_0005, 1, VerdictWord.OK, Reason.NONE, 0, expires_ns=0)


@pytest.fixture
def commands() -> Commands:
    """Commands of a PLC that has written its coils before."""
    commands = Commands(find)
    commands.write_coils(0, [False, False])
    return commands


def find(sequence: int) -> Result | None:
    return RESULT if sequence == RESULT.sequence else None


def requests(commands: Commands) -> list[dict[str, object]]:
    return [command.request for command in iter(commands.take, None)]


def test_a_new_count_is_announced_once(commands: Commands) -> None:
    for _ in range(3):
        assert commands.write_registers(0, [1, 2]) is None
    assert requests(commands) == [{"id": 1, "request": "line.count", "controller_count": 0x1_0002}]


def test_an_acknowledgement_names_the_ledgers_own_number(commands: Commands) -> None:
    commands.write_registers(2, [0, 5])
    assert requests(commands) == [{"id": 1, "request": "result.ack", "verdict_seq": 0x1_0000_0005}]


def test_acknowledging_what_was_never_shown_is_told_without_asking(commands: Commands) -> None:
    commands.write_registers(2, [0, 6])
    assert requests(commands) == []
    assert (commands.state.code, commands.state.status) == (CommandCode.ACKNOWLEDGE, CommandStatus.UNKNOWN)


def test_count_and_acknowledgement_of_one_write_are_both_sent(commands: Commands) -> None:
    commands.write_registers(0, [0, 1, 0, 5])
    assert [request["request"] for request in requests(commands)] == ["line.count", "result.ack"]


def test_a_coil_commands_when_it_rises_and_again_only_after_it_fell(commands: Commands) -> None:
    commands.write_registers(0, [0, 9])
    for bit in (True, True, False, True):
        commands.write_coils(0, [bit])
    commands.write_coils(1, [True])
    assert [request["request"] for request in requests(commands)] == [
        "line.count",
        "line.resync",
        "line.resync",
        "line.release",
    ]


def test_a_coil_that_was_left_at_1_before_we_started_commands_nothing() -> None:
    commands = Commands(find)
    commands.write_coils(0, [True, True])
    commands.write_coils(0, [True, True])
    assert requests(commands) == []
    assert commands.state == CommandState(2, CommandCode.RELEASE, CommandStatus.REFUSED)
    commands.write_coils(1, [False])
    commands.write_coils(1, [True])
    assert [request["request"] for request in requests(commands)] == ["line.release"]


def test_a_resync_carries_the_count_that_was_written_last(commands: Commands) -> None:
    commands.write_registers(0, [2, 3])
    commands.write_coils(0, [True, False])
    assert requests(commands)[-1] == {"id": 2, "request": "line.resync", "controller_count": 0x2_0003}


@pytest.mark.parametrize(("address", "words"), [(0, [1]), (1, [1]), (1, [1, 2]), (2, [1]), (0, [1, 2, 3])])
def test_half_a_number_is_refused_whole(commands: Commands, address: int, words: list[int]) -> None:
    assert commands.write_registers(address, words) is ExcCodes.ILLEGAL_ADDRESS
    assert commands.holding == [0, 0, 0, 0]


def test_too_many_unanswered_commands_are_refused_and_leave_no_trace(commands: Commands) -> None:
    written = 0
    while commands.write_registers(0, [0, written + 1]) is None:
        written += 1
        assert written < 1000
    assert commands.write_registers(0, [0, 999]) is ExcCodes.DEVICE_BUSY
    assert commands.write_coils(0, [True]) is ExcCodes.DEVICE_BUSY
    assert (commands.holding[1], commands.coils[0]) == (written, False)


@pytest.mark.parametrize(
    ("reply", "status"),
    [
        ({"status": "ok"}, CommandStatus.OK),
        ({"status": "conflict"}, CommandStatus.CONFLICT),
        ({"status": "no such word"}, CommandStatus.INVALID),
        ({}, CommandStatus.INVALID),
        (None, CommandStatus.NO_ANSWER),
    ],
)
def test_an_answer_is_shown(commands: Commands, reply: dict[str, object] | None, status: CommandStatus) -> None:
    commands.write_coils(1, [True])
    assert commands.state.status is CommandStatus.PENDING
    commands.answer(taken(commands), reply)
    assert (commands.state.number, commands.state.code, commands.state.status) == (1, CommandCode.RELEASE, status)


def test_the_answer_to_an_older_command_does_not_end_the_newest_one(commands: Commands) -> None:
    commands.write_registers(0, [0, 1])
    first = taken(commands)
    commands.write_coils(1, [True])
    commands.answer(first, {"status": "refused"})
    assert (commands.state.number, commands.state.status) == (2, CommandStatus.PENDING)


def test_commands_behind_one_that_nobody_answers_are_given_up(commands: Commands) -> None:
    commands.write_registers(0, [0, 1])
    first = taken(commands)
    commands.write_coils(1, [True])
    commands.answer(first, None)
    assert commands.take() is None
    assert commands.state == CommandState(2, CommandCode.RELEASE, CommandStatus.NO_ANSWER)


def taken(commands: Commands) -> Command:
    command = commands.take()
    assert command is not None
    return command
