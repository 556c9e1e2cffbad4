"""The parent's side: start a limited child, listen to it until it has answered or ended, tell what became of it."""

import contextlib
import json
import os
import select
import selectors
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, NoReturn

from appliance import errors
from appliance.errors import ModelError
from appliance.limited.frames import FrameReader, GarbledFrame
from appliance.limited.limits import Limits
from appliance.limited.payload import Blob, Job, sealed_payload

START_TIMEOUT_S = 60.0
"""Longest wait for the child's imports on a busy machine."""
_EXIT_TIMEOUT_S = 5.0
_READ_BYTES = 1 << 18
_MIB = 1 << 20
_KEPT_STDERR_BYTES = 2000
_PASSED_ON = ("LD_LIBRARY_PATH", "CUDA_VISIBLE_DEVICES", "NVIDIA_VISIBLE_DEVICES")
"""Where drivers are found; everything else of the environment stays behind."""


@dataclass(frozen=True)
class LimitedRun:
    """What a child answered, and what it took.

    Attributes:
        answer: What the function gave.
        blobs: The answer's bytes.
        rights: How it was confined: `network`, `files`, `memory`, in words.
        start_ms: From the start of the process to the start of the function: interpreter, imports, confinement.
        run_ms: The function.
        peak_mb: Most physical memory, imports and all.
    """

    answer: dict[str, Any]
    blobs: tuple[bytes, ...]
    rights: dict[str, str]
    start_ms: float
    run_ms: float
    peak_mb: float


@dataclass
class _Heard:
    """What has come from a child so far."""

    rights: dict[str, str] | None = None
    step: str = "start"
    blobs: list[bytes] = field(default_factory=list)
    answer: dict[str, Any] | None = None
    error: dict[str, Any] | None = None
    stderr: bytes = b""
    started_at: float = field(default_factory=time.monotonic)
    running_since: float = 0.0

    @property
    def is_over(self) -> bool:
        return self.answer is not None or self.error is not None

    @property
    def start_ms(self) -> float:
        return round((self.running_since - self.started_at) * 1000, 1)


def run_limited(
    job: Job,
    request: Mapping[str, Any],
    blobs: Sequence[Blob] = (),
    *,
    where: str,
    limits: Limits | None = None,
    on_progress: Callable[[dict[str, Any]], None] = lambda _: None,
) -> LimitedRun:
    """Call a function in a child process with few rights.

    Args:
        job: A function of a module, called as job(request, blobs, tell); it gives (answer, blobs). The child imports
            its module, with few rights already: no import may need network or writing. It may call
            tell({"step": "load", ...}) as often as it likes.
        request: JSON-ready.
        blobs: Bytes that the function gets as read-only memoryviews.
        where: Begins each error's message, e.g. "model x".
        limits: What the child is held to.
        on_progress: Called with whatever the function tells, on this thread; first with a step `start` of ours.
    Raises:
        ModelError: The function raised (the same class where it is a ModelError of ours), or the child crashed, hung,
            ran out of memory or time, or answered garbage.
    """
    limits = limits or Limits()
    heard = _Heard()
    with sealed_payload(request, blobs) as payload_fd, _child(job, payload_fd, limits) as (process, answer_fd):
        try:
            _listen(process, answer_fd, limits, heard, on_progress)
        except TimeoutError:
            _fail(where, heard, _words_for_timeout(process, limits, heard))
        except GarbledFrame as error:
            _fail(where, heard, f"answered what is no answer ({error})")
        if not heard.is_over:
            _fail(where, heard, _words_for_end(process, limits, heard))
    return _finished(where, heard)


@contextlib.contextmanager
def _child(job: Job, payload_fd: int, limits: Limits) -> Iterator[tuple[subprocess.Popen[bytes], int]]:
    """Spawn the child in a session of its own; whatever is left of it at the end is killed."""
    answer_fd, its_fd = os.pipe()
    process = None
    try:
        name = f"{job.__module__}:{job.__qualname__}"
        words = [sys.executable, "-P", "-s", "-B", "-m", "appliance.limited.child", name, str(payload_fd), str(its_fd)]
        process = subprocess.Popen(  # noqa: S603 (our own interpreter and words)
            [*words, json.dumps(asdict(limits))],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            env=_environment(),
            pass_fds=(payload_fd, its_fd),
            start_new_session=True,
        )
        os.close(its_fd)
        its_fd = -1
        yield process, answer_fd
    finally:
        for fd in (answer_fd, its_fd):
            if fd >= 0:
                os.close(fd)
        if process is not None:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            assert process.stderr is not None
            process.stderr.close()


def _environment() -> dict[str, str]:
    passed_on = {name: os.environ[name] for name in _PASSED_ON if name in os.environ}
    # One BLAS thread and few arenas: each thread's arena would take 64 MiB of the address space that is limited.
    own = {"PATH": "/usr/bin:/bin", "LC_ALL": "C.UTF-8", "OPENBLAS_NUM_THREADS": "1", "MALLOC_ARENA_MAX": "2"}
    packages = {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}  # as they are found here
    return own | packages | passed_on


def _listen(
    process: subprocess.Popen[bytes],
    answer_fd: int,
    limits: Limits,
    heard: _Heard,
    on_progress: Callable[[dict[str, Any]], None],
) -> None:
    """Read both pipes until the answer is there or the child is gone.

    Raises:
        TimeoutError: It took too long.
        GarbledFrame: What it sent makes no sense.
    """
    assert process.stderr is not None
    frames = FrameReader(limits.reply_mb * _MIB)
    with selectors.DefaultSelector() as selector:
        selector.register(answer_fd, selectors.EVENT_READ)
        selector.register(process.stderr, selectors.EVENT_READ)
        while selector.get_map() and not heard.is_over:
            ready = selector.select(_patience_s(limits, heard))
            if not ready and _patience_s(limits, heard) <= 0:
                raise TimeoutError
            for key, _ in ready:
                received = os.read(key.fd, _READ_BYTES)
                if not received:
                    selector.unregister(key.fileobj)
                elif key.fd == answer_fd:
                    for kind, content in frames.feed(received):
                        _take(kind, content, heard, on_progress)
                else:
                    heard.stderr = (heard.stderr + received)[-_KEPT_STDERR_BYTES:]


def _patience_s(limits: Limits, heard: _Heard) -> float:
    end = heard.started_at + START_TIMEOUT_S if heard.rights is None else heard.running_since + limits.wall_s
    return max(end - time.monotonic(), 0.0)


def _take(kind: bytes, content: Any, heard: _Heard, on_progress: Callable[[dict[str, Any]], None]) -> None:
    if kind == b"S":
        heard.rights = {str(name): str(words) for name, words in content.items()}
        heard.running_since = time.monotonic()
        heard.step = "run"
        on_progress({"step": "start", "ms": heard.start_ms, "detail": "child process, with few rights"})
    elif kind == b"P":
        heard.step = str(content.get("step", heard.step))[:60]
        on_progress(content)
    elif kind == b"B":
        heard.blobs.append(content)
    elif kind == b"R":
        heard.answer = content
    else:
        heard.error = content


def _finished(where: str, heard: _Heard) -> LimitedRun:
    took_ms = (time.monotonic() - heard.running_since) * 1000
    if heard.error is not None:
        kind = getattr(errors, str(heard.error.get("error")), None)
        message = str(heard.error.get("message"))[:1000]
        if isinstance(kind, type) and issubclass(kind, ModelError):
            raise kind(message if message.startswith(where) else f"{where}: {message}")
        raise ModelError(f"{where}: {heard.step} failed: {heard.error.get('error')}: {message}")
    assert heard.answer is not None
    answer, peak_mb = heard.answer.get("answer"), heard.answer.get("peak_mb")
    if not isinstance(answer, dict) or not isinstance(peak_mb, int | float) or heard.rights is None:
        _fail(where, heard, "answered what is no answer")
    return LimitedRun(answer, tuple(heard.blobs), heard.rights, heard.start_ms, round(took_ms, 1), peak_mb)


def _words_for_timeout(process: subprocess.Popen[bytes], limits: Limits, heard: _Heard) -> str:
    if heard.rights is None:
        return f"was not ready after {START_TIMEOUT_S:.0f} s; the machine is too busy, try again"
    spent_s = _cpu_s(process.pid)
    return (
        f"not done after {limits.wall_s:g} s, of which it computed {spent_s:.1f} s; "
        f"the model never ends, or the machine is too busy for it: try again with a longer time limit"
    )


def _words_for_end(process: subprocess.Popen[bytes], limits: Limits, heard: _Heard) -> str:
    status = _exit_status(process.pid)
    said = " ".join(heard.stderr.decode(errors="replace").split())[-300:]
    if status is None:
        return "closed its pipes and lives on"
    if status in {-signal.SIGXCPU, -signal.SIGKILL} and heard.rights is not None:
        return f"took more than {limits.cpu_s} s of CPU time, or was killed for lack of memory; the model never ends?"
    if status < 0:
        name = signal.Signals(-status).name
        crashed = f"crashed with {name}{f' ({said})' if said else ''}"
        return f"{crashed}; {limits.memory_mb} MiB of memory may be too little for it, or the file is hostile"
    return f"ended with status {status} and no answer{f': {said}' if said else ''}"


def _exit_status(pid: int) -> int | None:
    """Exit status, or minus the signal; None if it lives on. It isn't reaped: its group must stay killable by id."""
    ending = os.pidfd_open(pid)
    try:
        if not select.select([ending], [], [], _EXIT_TIMEOUT_S)[0]:
            return None
    finally:
        os.close(ending)
    ended = os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
    assert ended is not None
    return ended.si_status if ended.si_code == os.CLD_EXITED else -ended.si_status


def _cpu_s(pid: int) -> float:
    """CPU time of a process and all its threads (proc(5), stat)."""
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii", errors="replace") as file:  # noqa: PTH123 (one line of proc)
            fields = file.read().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _fail(where: str, heard: _Heard, words: str) -> NoReturn:
    raise ModelError(f"{where}: the limited child, at step '{heard.step}', {words}")
