"""What a process costs, from /proc. Source: proc(5)."""

import os
import time
from dataclasses import dataclass
from pathlib import Path

_STATE, _UTIME, _STIME, _STARTTIME, _RSS = 0, 11, 12, 19, 21  # fields of /proc/<pid>/stat behind the name


@dataclass(frozen=True)
class ProcessUsage:
    """Cost of a living process.

    Attributes:
        rss_mb: Resident memory, shared pages (the frame ring) included, in 10^6 bytes.
        cpu_s: Processor time so far, user and system.
        cpu_percent: Processor time over its whole life; 100 is one core.
    """

    rss_mb: float
    cpu_s: float
    cpu_percent: float


def process_usage(pid: int) -> ProcessUsage | None:
    """Read the cost of a process; None when there is no living process of that id."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return None
    fields = text.rpartition(")")[2].split()
    if fields[_STATE] in "ZX":
        return None
    ticks_per_s = os.sysconf("SC_CLK_TCK")
    age_s = time.clock_gettime(time.CLOCK_BOOTTIME) - int(fields[_STARTTIME]) / ticks_per_s
    cpu_s = (int(fields[_UTIME]) + int(fields[_STIME])) / ticks_per_s
    return ProcessUsage(
        rss_mb=round(int(fields[_RSS]) * os.sysconf("SC_PAGESIZE") / 1e6, 1),
        cpu_s=cpu_s,
        cpu_percent=round(100 * cpu_s / max(age_s, 1 / ticks_per_s), 1),
    )
