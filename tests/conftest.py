"""A test that leaks fails itself: threads, child processes, shared memory, sockets and open files of this process."""

import gc
import os
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

os.environ["ORT_DISABLE_TELEMETRY"] = "1"  # as appliance/modelling does: a test may load ONNX Runtime before that

# How long an example takes says something of the machine's other work, and nothing of the code. The same examples each
# time: what fails here, fails everywhere.
settings.register_profile(
    "shared machine", deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("shared machine")

PATIENCE_S = 30.0
"""Ended threads and children may need a moment to vanish."""
OURS = ("psm_", "sem.", "appliance")
"""Other programs of this machine use /dev/shm as well: multiprocessing's names and our own are what a test may leak."""


@dataclass(frozen=True)
class Holdings:
    """What this process holds that a test must give back."""

    threads: frozenset[str]
    children: frozenset[str]
    shared_memory: frozenset[str]
    descriptors: frozenset[str]

    def beyond(self, before: "Holdings") -> dict[str, list[str]]:
        """Name what is held now and wasn't before."""
        kinds = ("threads", "children", "shared_memory", "descriptors")
        gained = {kind: sorted(getattr(self, kind) - getattr(before, kind)) for kind in kinds}
        lost_sockets = sum(_is_socket(name) for name in before.descriptors - self.descriptors)
        if sum(map(_is_socket, gained["descriptors"])) <= lost_sockets:  # a fixture's connection that was made anew
            gained["descriptors"] = [name for name in gained["descriptors"] if not _is_socket(name)]
        return {kind: names for kind, names in gained.items() if names}


def _is_socket(descriptor: str) -> bool:
    return " socket:" in descriptor


def holdings() -> Holdings:
    """Look at this process, and only at this one: others may run beside it."""
    return Holdings(
        threads=frozenset(f"{thread.name}#{thread.ident}" for thread in threading.enumerate()),
        children=frozenset(_children()),
        shared_memory=frozenset(_shared_mappings()),
        descriptors=frozenset(_descriptors()),
    )


@pytest.fixture(autouse=True)
def _nothing_leaks() -> Iterator[None]:
    before = holdings()
    yield
    deadline = time.monotonic() + PATIENCE_S
    while leaked := holdings().beyond(before):
        gc.collect()
        if time.monotonic() > deadline:
            pytest.fail(f"leaked: {leaked}")
        time.sleep(0.02)


def _children() -> Iterator[str]:
    try:
        os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return  # none at all: spares most tests a walk through everybody's processes
    own_pid = os.getpid()
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            pid, _, rest = path.read_text().partition(" ")
        except (FileNotFoundError, ProcessLookupError):
            continue
        if int(rest.rpartition(")")[2].split()[1]) == own_pid:
            yield f"pid {pid}"  # nothing that changes in a process's life: its state, its name


def _shared_mappings() -> Iterator[str]:
    """Mapped shared memory: memfds (the ring's) and what lies in /dev/shm."""
    for line in Path("/proc/self/maps").read_text().splitlines():
        if "memfd:" in line or "/dev/shm/" in line:
            yield line


def _descriptors() -> Iterator[str]:
    """Sockets, pipes, memfds and files; one that points to a terminal or to Python's own files is nobody's leak."""
    for path in Path("/proc/self/fd").iterdir():
        try:
            target = str(path.readlink())
        except FileNotFoundError:
            continue
        if not target.startswith(("/dev/", "/proc/")) and not target.endswith((".so", ".py", ".pyc")):
            yield f"fd {path.name} {target}"
