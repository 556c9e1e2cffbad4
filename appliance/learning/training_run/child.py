"""The training child: started, listened to, ended. Whatever it prints, only the files it leaves count."""

from __future__ import annotations

import fcntl
import json
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from appliance.errors import TrainingFailed
from appliance.learning.training_run.environment import ROOT
from appliance.stage import die_with_parent

LOG_FILE = "training.log"
LOCK_FILE = "training.lock"
GRACE_S = 20.0
"""For the child to end by itself after an interrupt."""
_LOCK_WAIT_S = 10.0
_LONGEST_LINE = 100_000


@contextmanager
def alone_in(work: Path) -> Iterator[int]:
    """Hold a work folder's lock; yields the descriptor, which the child holds too: it may outlive its parent a moment.

    Raises:
        TrainingFailed: Another training runs there.
    """
    descriptor = os.open(work / LOCK_FILE, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        give_up_at = time.monotonic() + _LOCK_WAIT_S
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > give_up_at:
                    raise TrainingFailed(f"{work}: another training runs there; wait for it, or give --work") from None
                time.sleep(0.1)
        yield descriptor
    finally:
        os.close(descriptor)


def run_child(command: Sequence[str], work: Path, lock: int, hear: Callable[[dict[str, Any]], None]) -> None:
    """Run the child to its end; what it says beside events goes into the log.

    Args:
        hear: Called with each event, in the child's order.
    Raises:
        TrainingFailed: It could not be started, or ended with an error.
        KeyboardInterrupt: The person had enough; the child is gone, its last checkpoint stays.
    """
    with (work / LOG_FILE).open("ab") as log:
        first_byte = log.tell()
        process = _start(command, log, lock)
        try:
            assert process.stdout is not None
            with process.stdout:
                for line in iter(lambda: process.stdout.readline(_LONGEST_LINE), b""):  # type: ignore[union-attr]
                    event = _event(line)
                    if event is None:
                        log.write(line)
                        log.flush()
                    else:
                        hear(event)
            status = process.wait()
        except BaseException:
            _end(process)
            raise
    if status != 0:
        raise TrainingFailed(f"training {_ending(status)}: {_last_words(work / LOG_FILE, first_byte)}")


def _start(command: Sequence[str], log: IO[bytes], lock: int) -> subprocess.Popen[bytes]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"}
    try:
        return subprocess.Popen(  # noqa: S603 (the command is the environment's own interpreter)
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=log,
            env=environment,
            pass_fds=(lock,),
            start_new_session=True,  # Ctrl-C reaches this process alone, which then ends the child in order
            preexec_fn=die_with_parent,  # noqa: PLW1509 (no thread runs here)
        )
    except OSError as error:
        raise TrainingFailed(f"training can't be started: {command[0]}: {error.strerror}") from error


def _event(line: bytes) -> dict[str, Any] | None:
    try:
        told = json.loads(line)
    except ValueError:
        return None
    return told if isinstance(told, dict) and isinstance(told.get("event"), str) else None


def _end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(GRACE_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _ending(status: int) -> str:
    if status >= 0:
        return f"ended with exit code {status}"
    hint = " (out of memory?)" if status == -signal.SIGKILL else ""
    return f"was ended by {signal.Signals(-status).name}{hint}"


def _last_words(log: Path, first_byte: int) -> str:
    """Return the last line this child wrote, and where the others are."""
    with log.open("rb") as file:
        file.seek(first_byte)
        lines = [line.strip() for line in file.read().decode("utf-8", errors="replace").splitlines() if line.strip()]
    said = lines[-1][:300].removeprefix("error: ") if lines else "it said nothing"
    return f"{said} (all of it: {log})"
