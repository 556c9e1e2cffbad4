"""Functions for limited children: what an honest one does, and what a captured one may try."""

# ruff: noqa: ARG001 (all have the form of a job, whatever of it they need)

import ctypes
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from appliance.errors import ModelContractMismatch

Tell = Callable[[dict[str, Any]], None]
Answer = tuple[dict[str, Any], Sequence[bytes]]


def echo(request: dict[str, Any], blobs: list[memoryview], tell: Tell) -> Answer:
    """Give back what was asked."""
    tell({"step": "echo"})
    return request, [bytes(blob) for blob in blobs]


def try_everything(request: dict[str, Any], blobs: list[memoryview], tell: Tell) -> Answer:
    """Try what isn't allowed; gives for each attempt the error's name, or "done"."""
    victim = Path(request["victim"])
    attempts: dict[str, Callable[[], object]] = {
        "open a socket": socket.socket,
        "start a program": lambda: subprocess.run(["/bin/true"], check=True),
        "write a file": lambda: victim.write_bytes(b"mine"),
        "make a file": lambda: victim.with_name("new").touch(),
        "remove a file": victim.unlink,
        "see a network": lambda: Path("/proc/self/net/tcp").read_text().index("0100007F"),
    }
    return {name: _outcome(attempt) for name, attempt in attempts.items()} | {"environment": sorted(os.environ)}, []


def tell_priority(request: dict[str, Any], blobs: list[memoryview], tell: Tell) -> Answer:
    """Give the scheduler and the nice value this process has."""
    return {"scheduler": os.sched_getscheduler(0), "nice": os.getpriority(os.PRIO_PROCESS, 0)}, []


def raise_ours(request: dict[str, Any], blobs: list[memoryview], tell: Tell) -> Answer:
    """Raise an error of errors.py."""
    raise ModelContractMismatch("output 'boxes' has no shape")


def allocate(request: dict[str, Any], blobs: list[memoryview], tell: Tell) -> Answer:
    """Ask for so many MiB."""
    return {"bytes": len(bytearray(request["mb"] << 20))}, []


def crash(request: dict[str, Any], blobs: list[memoryview], tell: Tell) -> Answer:
    """Read address 0."""
    ctypes.string_at(0)
    raise AssertionError


def compute(request: dict[str, Any], blobs: list[memoryview], tell: Tell) -> Answer:
    """Never end, at full speed."""
    tell({"step": "compute"})
    while True:
        pass


def sleep(request: dict[str, Any], blobs: list[memoryview], tell: Tell) -> Answer:
    """Never end, at rest; and leave a second process behind that would do the same."""
    os.fork()
    while True:
        time.sleep(60)


def leave(request: dict[str, Any], blobs: list[memoryview], tell: Tell) -> Answer:
    """End without an answer, with a word on stderr."""
    sys.stderr.write("I am off\n")
    sys.stderr.flush()
    os._exit(7)


def be_killed(request: dict[str, Any], blobs: list[memoryview], tell: Tell) -> Answer:
    """Die as by the kernel's lack of memory."""
    os.kill(os.getpid(), signal.SIGKILL)
    raise AssertionError


def talk_nonsense(request: dict[str, Any], blobs: list[memoryview], tell: Tell) -> Answer:
    """Write given bytes where the answer belongs."""
    os.write(int(sys.argv[3]), bytes.fromhex(request["hex"]))
    os._exit(0)


def flood(request: dict[str, Any], blobs: list[memoryview], tell: Tell) -> Answer:
    """Answer with so many MiB."""
    return {}, [bytes(request["mb"] << 20)]


def _outcome(attempt: Callable[[], object]) -> str:
    try:
        attempt()
    except (OSError, ValueError) as error:
        return type(error).__name__
    return "done"
