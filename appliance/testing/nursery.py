"""Children by the hundred: forked in milliseconds from a process that has imported everything and opened nothing.

Forking the test itself would copy its ring sockets into each child, and a dead reader's EOF would wait for all of them.

    nursery -> stdin    {"call": "module:function", "arguments": [...]}   or   {"reap": pid}
    stdout -> nursery   pid, or the reaped child's exit status (negative: the signal)
"""

import importlib
import json
import os
import signal
import subprocess
import sys
import time
import traceback
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from appliance.stage import die_with_parent


class Nursery:
    """Starts, stops and kills children; ends with its `with` block and takes all of them along."""

    def __init__(self, *preload: str) -> None:
        command = [sys.executable, "-m", "appliance.testing.nursery", *preload]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)  # noqa: S603
        self._alive: set[int] = set()

    def start(self, call: str, *arguments: Any) -> int:
        """Run `module:function` with JSON arguments in a new child; gives its pid."""
        pid = self._ask({"call": call, "arguments": arguments})
        self._alive.add(pid)
        return pid

    def kill(self, pid: int, number: int = signal.SIGKILL) -> int:
        """End a child with a signal and wait for it; gives its exit status."""
        os.kill(pid, number)
        return self.wait(pid)

    def stop(self, pid: int) -> None:
        """Stop a child where it is; returns when it has stopped."""
        os.kill(pid, signal.SIGSTOP)
        while Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "T":
            time.sleep(0.001)

    def go_on(self, pid: int) -> None:
        """Let a stopped child go on."""
        os.kill(pid, signal.SIGCONT)

    def wait(self, pid: int) -> int:
        """Wait for a child's end; gives its exit status, negative for a signal."""
        self._alive.discard(pid)
        return self._ask({"reap": pid})

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for pid in list(self._alive):
            self.kill(pid)
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.stdout.close()
        self._process.wait()

    def _ask(self, question: dict[str, Any]) -> int:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(question) + "\n")
        self._process.stdin.flush()
        return int(self._process.stdout.readline())


def _serve(preload: list[str]) -> None:
    for name in preload:
        importlib.import_module(name)
    for line in sys.stdin:
        question = json.loads(line)
        if "reap" in question:
            answer = os.waitstatus_to_exitcode(os.waitpid(question["reap"], 0)[1])
        else:
            answer = _fork(question["call"], question["arguments"])
        print(answer, flush=True)


def _fork(call: str, arguments: list[Any]) -> int:
    pid = os.fork()
    if pid:
        return pid
    die_with_parent()
    os.dup2(2, 1)  # what a child prints is not an answer
    status = 1
    try:
        module, function = call.split(":")
        getattr(importlib.import_module(module), function)(*arguments)
        status = 0
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(status)


if __name__ == "__main__":
    _serve(sys.argv[1:])
