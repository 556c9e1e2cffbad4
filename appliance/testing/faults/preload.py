"""A hand on the disk and the wall clock of processes that run already: hooks.c, built on demand, and its control file.

switch = FaultSwitch(folder)
environment = switch.environment(os.environ)             # for the processes to be hurt
rule = switch.fail(folder / "state", Operation.SYNC, delay_ms=500)
switch.release(rule)
"""

import hashlib
import mmap
import os
import shutil
import struct
import subprocess
from collections.abc import Mapping
from enum import IntFlag
from pathlib import Path

from appliance.errors import ApplianceError, ToolMissing

SOURCE = Path(__file__).with_name("hooks.c")
BUILD_FOLDER = Path(__file__).parents[3] / "build" / "faults"
_FLAGS = ("-std=c11", "-D_GNU_SOURCE", "-O2", "-g1", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC", "-ldl")
_CONTROL_BYTES = 4096
_ARMED_AT, _WALL_OFFSET_AT = 8, 16
_RULE_AT, _RULE_BYTES, _RULES, _STRUCK_AT = 64, 256, 8, 16
_RULE = struct.Struct("=IiIIQ232s")
_ENVIRONMENT_NAME = "APPLIANCE_FAULTS"


class Operation(IntFlag):
    """Calls that a rule strikes; the numbers are hooks.c's."""

    WRITE = 1
    SYNC = 2
    RENAME = 4
    CREATE = 8
    EXTEND = 16
    ANY = 31


def build_hooks(folder: Path = BUILD_FOLDER) -> Path:
    """Compile the library unless it is there already, and give its path.

    Raises:
        ToolMissing: There is no gcc.
        ApplianceError: The compiler refused the source.
    """
    fingerprint = hashlib.sha256(SOURCE.read_bytes() + repr(_FLAGS).encode()).hexdigest()[:16]
    target = folder / f"hooks-{fingerprint}.so"
    if target.exists():
        return target
    if shutil.which("gcc") is None:
        raise ToolMissing("faults of the disk and the clock need a C compiler: sudo apt-get install gcc libc6-dev")
    folder.mkdir(parents=True, exist_ok=True)
    partial = target.with_suffix(f".{os.getpid()}.partial")
    done = subprocess.run(  # noqa: S603 (our own argv)
        ["gcc", str(SOURCE), "-o", str(partial), *_FLAGS],  # noqa: S607 (the compiler is looked up in PATH)
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        raise ApplianceError(f"{SOURCE}: does not compile: {' | '.join(done.stderr.splitlines()[:3])}")
    partial.replace(target)
    return target


class FaultSwitch:
    """Rules in force for all processes that were started with `environment`; may change at any time."""

    def __init__(self, folder: Path) -> None:
        self._library = build_hooks()
        self._path = folder / "faults.control"
        self._path.write_bytes(b"APLFLT01".ljust(_CONTROL_BYTES, b"\0"))
        with self._path.open("r+b") as file:
            self._memory = mmap.mmap(file.fileno(), _CONTROL_BYTES)
        self._armed = 0

    def environment(self, base: Mapping[str, str]) -> dict[str, str]:
        """Environment of a process to be hurt."""
        return {**base, "LD_PRELOAD": str(self._library), _ENVIRONMENT_NAME: str(self._path)}

    def fail(self, path: Path, operations: Operation, *, error: int = 0, delay_ms: int = 0) -> int:
        """Strike calls on a file, or on all files under a folder, from now on; gives the rule's number.

        Args:
            error: An errno the calls fail with; 0: they are only delayed.
        """
        number = next(index for index in range(_RULES) if not self._armed >> index & 1)
        body = _RULE.pack(operations, error, delay_ms, 0, 0, str(path).encode())
        self._memory[_rule_at(number) : _rule_at(number) + _RULE_BYTES] = body
        self._arm(self._armed | 1 << number)
        return number

    def release(self, rule: int) -> int:
        """Take a rule back; gives the calls that it struck. One that waits in its delay waits to the end."""
        self._arm(self._armed & ~(1 << rule))
        return self.struck(rule)

    def struck(self, rule: int) -> int:
        """Calls that a rule struck so far."""
        at = _rule_at(rule) + _STRUCK_AT
        return int.from_bytes(self._memory[at : at + 8], "little")

    def shift_wall_clock(self, seconds: float) -> None:
        """Set the wall clock of all processes so far off the true one; 0 puts it right again."""
        self._memory[_WALL_OFFSET_AT : _WALL_OFFSET_AT + 8] = struct.pack("=q", int(seconds * 1e9))

    def close(self) -> None:
        """Take everything back and let go of the control file."""
        self._arm(0)
        self.shift_wall_clock(0)
        self._memory.close()

    def _arm(self, rules: int) -> None:
        self._armed = rules
        self._memory[_ARMED_AT : _ARMED_AT + 4] = struct.pack("=I", rules)


def _rule_at(number: int) -> int:
    return _RULE_AT + number * _RULE_BYTES
