"""Let one thread step back behind everything else on the machine: CPU by nice, disk by I/O priority."""

import ctypes
import logging
import os
import platform
import threading

log = logging.getLogger(__name__)

_IOPRIO_SET = {"x86_64": 251, "aarch64": 30}  # no wrapper in libc: include/uapi/asm-generic/unistd.h, syscall_64.tbl
_WHO_PROCESS = 1
_BEST_EFFORT_LOWEST = 2 << 13 | 7  # not the idle class: a busy disk could starve it for ever, and the row waits for it


def lower_priority(nice: int) -> None:
    """Lower the calling thread's priorities, as far as the system allows; Linux keeps both per thread."""
    try:
        thread = threading.get_native_id()
        os.setpriority(os.PRIO_PROCESS, thread, max(nice, os.getpriority(os.PRIO_PROCESS, thread)))
    except OSError as error:
        log.info("thread %s keeps its CPU priority: %s", threading.current_thread().name, error.strerror)
    number = _IOPRIO_SET.get(platform.machine())
    if number is None:
        return
    libc = ctypes.CDLL(None, use_errno=True)
    arguments = (ctypes.c_long(number), ctypes.c_int(_WHO_PROCESS), ctypes.c_int(0), ctypes.c_int(_BEST_EFFORT_LOWEST))
    if libc.syscall(*arguments):
        reason = os.strerror(ctypes.get_errno())
        log.info("thread %s keeps its I/O priority: %s", threading.current_thread().name, reason)
