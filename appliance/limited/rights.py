"""What a limited child gives up before it looks at foreign bytes. Linux; by ctypes, no privileges needed.

right             taken by                                             without it
network           own network namespace (user_namespaces(7)), and      told in `Rights.network`
                  seccomp(2): socket, io_uring_setup fail
writing, exec     landlock(7): no file may be written, made, removed   told in `Rights.files`
                  or executed; and RLIMIT_FSIZE 0
memory, CPU, core setrlimit(2)                                         always there
the machine's memory oom_score_adj 1000: it dies before anybody else  RLIMIT_AS alone
the machine's CPU SCHED_BATCH, nice and autogroup nice 10 (sched(7)), if asked  nice 10

`unshare`, landlock and seccomp act on the calling thread and on threads made later: so they come before NumPy, whose
BLAS may start threads when it is imported.
"""

import contextlib
import ctypes
import math
import os
import platform
import resource
import signal
import struct
import time
from dataclasses import asdict, dataclass

_libc = ctypes.CDLL(None, use_errno=True)
_CLONE_NEWUSER, _CLONE_NEWNET = 0x1000_0000, 0x4000_0000
_PR_SET_PDEATHSIG, _PR_SET_SECCOMP, _PR_SET_NO_NEW_PRIVS = 1, 22, 38
_MIB = 1 << 20
_NICE = 10


@dataclass(frozen=True)
class Rights:
    """How the child was confined, in words for a report."""

    network: str
    files: str
    memory: str = "not limited yet"

    def told(self) -> dict[str, str]:
        """Give a JSON-ready form."""
        return asdict(self)


def give_up_rights(*, uses_devices: bool, gives_way: bool) -> Rights:
    """Give way if asked, leave the network, stop writing; before any import that starts threads."""
    _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    _write_own("oom_score_adj", "1000")
    if gives_way:
        _give_way()
    _set_limit(resource.RLIMIT_CORE, 0)
    _libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    network = _leave_network()
    if uses_devices:
        return Rights(network, "writing not confined: the device's driver writes to its files")
    _set_limit(resource.RLIMIT_FSIZE, 0)
    return Rights(network, "read only (landlock)" if _forbid_writing() else "not made longer (RLIMIT_FSIZE)")


def limit_memory(memory_mb: int) -> str:
    """Limit the address space to what is mapped now and so much more; gives it in words."""
    with open("/proc/self/statm", encoding="ascii") as file:  # noqa: PTH123 (no need of pathlib here)
        mapped_bytes = int(file.read().split()[0]) * resource.getpagesize()
    _set_limit(resource.RLIMIT_AS, mapped_bytes + memory_mb * _MIB)
    return f"{memory_mb} MiB beyond {mapped_bytes // _MIB} MiB of libraries and input (RLIMIT_AS)"


def limit_time(cpu_s: int, wall_s: float) -> None:
    """End this process by SIGXCPU or, should its parent be gone, by SIGALRM."""
    spent_s = math.ceil(time.process_time())  # by the imports
    resource.setrlimit(resource.RLIMIT_CPU, (spent_s + cpu_s, spent_s + cpu_s + 1))
    signal.setitimer(signal.ITIMER_REAL, wall_s)


def peak_memory_mb() -> float:
    """Most physical memory this process ever had; of `getrusage` a child inherits its parent's."""
    with open("/proc/self/status", encoding="ascii") as file:  # noqa: PTH123 (as above)
        fields = dict(line.split(":", 1) for line in file)
    return round(int(fields["VmHWM"].split()[0]) / 1024, 1)


def _set_limit(which: int, value: int) -> None:
    resource.setrlimit(which, (value, value))


def _give_way() -> None:
    """Take a tenth of what others take: with SCHED_IDLE, a three-hundredth, a busy box starves us."""
    os.nice(_NICE)
    with contextlib.suppress(OSError):  # a container may forbid it; nice stays
        os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))
    # Our session is a group of its own, whose share of the CPU the two above don't lessen (sched(7), autogroup).
    _write_own("autogroup", str(_NICE))


def _write_own(name: str, value: str) -> None:
    with contextlib.suppress(OSError), open(f"/proc/self/{name}", "w", encoding="ascii") as file:  # noqa: PTH123
        file.write(value)


def _leave_network() -> str:
    ways = []
    if _libc.unshare(_CLONE_NEWNET) == 0 or _libc.unshare(_CLONE_NEWUSER | _CLONE_NEWNET) == 0:
        ways.append("network namespace")
    if _forbid_sockets():
        ways.append("seccomp")
    return f"none ({', '.join(ways)})" if ways else "not confined: this system permits neither namespace nor seccomp"


# seccomp(2): machine -> (AUDIT_ARCH, socket). io_uring_setup has one number everywhere.
_SOCKET = {"x86_64": (0xC000003E, 41), "aarch64": (0xC00000B7, 198)}
_IO_URING_SETUP = 425
_X32 = 0x4000_0000
_LOAD, _EQUAL, _AT_LEAST, _RETURN = 0x20, 0x15, 0x35, 0x06  # BPF_LD|W|ABS, BPF_JMP|JEQ|K, BPF_JMP|JGE|K, BPF_RET|K
_ALLOW, _KILL, _REFUSE = 0x7FFF_0000, 0x8000_0000, 0x0005_0000 | 13  # the last: fail with EACCES


def _forbid_sockets() -> bool:
    known = _SOCKET.get(platform.machine())
    if known is None:
        return False
    architecture, socket = known
    code = [
        (_LOAD, 0, 0, 4),  # seccomp_data.arch
        (_EQUAL, 1, 0, architecture),
        (_RETURN, 0, 0, _KILL),
        (_LOAD, 0, 0, 0),  # seccomp_data.nr
        (_AT_LEAST, 3, 0, _X32),
        (_EQUAL, 2, 0, socket),
        (_EQUAL, 1, 0, _IO_URING_SETUP),
        (_RETURN, 0, 0, _ALLOW),
        (_RETURN, 0, 0, _REFUSE),
    ]
    filters = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *one) for one in code))
    program = ctypes.create_string_buffer(struct.pack("HxxxxxxP", len(code), ctypes.addressof(filters)))
    return bool(_libc.prctl(_PR_SET_SECCOMP, 2, program, 0, 0) == 0)


# landlock(7): the numbers are the same on every architecture.
_CREATE_RULESET, _RESTRICT_SELF = 444, 446
_ASK_VERSION = 1
_EXECUTE, _WRITE_FILE, _REMOVE_DIR_TO_MAKE_SYM, _REFER, _TRUNCATE = 1, 1 << 1, 0x1FF << 4, 1 << 13, 1 << 14


def _forbid_writing() -> bool:
    version = _libc.syscall(_CREATE_RULESET, None, ctypes.c_size_t(0), _ASK_VERSION)
    if version < 1:
        return False
    refused = _EXECUTE | _WRITE_FILE | _REMOVE_DIR_TO_MAKE_SYM
    refused |= (_REFER if version >= 2 else 0) | (_TRUNCATE if version >= 3 else 0)
    ruleset = _libc.syscall(_CREATE_RULESET, ctypes.byref(ctypes.c_uint64(refused)), ctypes.c_size_t(8), 0)
    if ruleset < 0:
        return False
    try:
        return bool(_libc.syscall(_RESTRICT_SELF, ruleset, 0) == 0)
    finally:
        os.close(ruleset)
