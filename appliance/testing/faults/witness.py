"""A subscriber in a process of its own that writes down what came on the verdict lane, and when.

`python -m appliance.testing.faults.witness ENDPOINT LOG [PACE_S]` is the process; with a pace it is a slow subscriber.
Its log holds lines of CLOCK_MONOTONIC nanoseconds, a tab, and

    the verdict's JSON     it arrived then
    + or -                 from then on the publisher was there, or was known not to be
"""

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from appliance.stage import die_with_parent
from appliance.wire.verdict_lane import VerdictSubscriber

_POLL_S = 0.02


@dataclass(frozen=True)
class Heard:
    """One verdict as it arrived. Times are CLOCK_MONOTONIC."""

    arrived_ns: int
    message: dict[str, Any]

    @property
    def pulse(self) -> int | None:
        """The camera's count for the part's first view; None when it was not counted."""
        count: int | None = self.message["views"][0]["encoder_count"]
        return count


@dataclass(frozen=True)
class Presence:
    """The publisher came, or went."""

    at_ns: int
    is_there: bool


class Witness:
    """A subscriber process and what it wrote so far; a context manager.

    Attributes:
        heard: Verdicts in the order of their coming.
        presences: When the publisher came and went.
    """

    def __init__(self, endpoint: str, log: Path, *, pace_s: float = 0) -> None:
        self.heard: list[Heard] = []
        self.presences: list[Presence] = []
        log.touch()
        self._log = log.open("rb")
        self._half_line = b""
        argv = [sys.executable, "-m", __name__, endpoint, str(log), str(pace_s)]
        self._process = subprocess.Popen(argv)  # noqa: S603 (our own argv)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.kill()
        self._process.wait()
        self.read()
        self._log.close()

    def read(self) -> list[Heard]:
        """Take in what it has written since the last call; gives the new verdicts."""
        *lines, self._half_line = (self._half_line + self._log.read()).split(b"\n")
        known = len(self.heard)
        for line in lines:
            at, _, what = line.partition(b"\t")
            if what in {b"+", b"-"}:
                self.presences.append(Presence(int(at), what == b"+"))
            else:
                self.heard.append(Heard(int(at), json.loads(what)))
        return self.heard[known:]

    def freeze(self) -> None:
        """Stop it where it is, with its subscription open."""
        self._process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let it go on."""
        self._process.send_signal(signal.SIGCONT)


def follow(endpoint: str, log: Path, pace_s: float) -> None:
    """Write down what comes, one write a line, until killed."""
    die_with_parent()
    fd = os.open(log, os.O_WRONLY | os.O_APPEND)
    was_there = False
    with VerdictSubscriber(endpoint) as lane:
        while True:
            received = lane.receive(_POLL_S)
            now_ns = time.monotonic_ns()
            if received is not None:
                os.write(fd, b"%d\t%s\n" % (now_ns, received[1]))
                time.sleep(pace_s)
            if lane.is_connected is not was_there:
                was_there = not was_there
                os.write(fd, b"%d\t%s\n" % (now_ns, b"+" if was_there else b"-"))


if __name__ == "__main__":
    follow(sys.argv[1], Path(sys.argv[2]), float(sys.argv[3]))
