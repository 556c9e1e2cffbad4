"""The two clocks: CLOCK_MONOTONIC for every duration and deadline, wall time for people.

CLOCK_MONOTONIC is one clock for all processes of a boot, so a reading taken in the grabber can be compared
in the publisher. It means nothing after a reboot: whoever stores it stores the boot id beside it.
"""

import time
from datetime import UTC, datetime
from pathlib import Path

NS_PER_MS = 1_000_000
NS_PER_S = 1_000_000_000

_BOOT_ID_FILE = Path("/proc/sys/kernel/random/boot_id")


def wall_from_monotonic(monotonic_ns: int) -> str:
    """Express a CLOCK_MONOTONIC reading as RFC 3339 UTC with microseconds, by today's offset between the clocks."""
    return rfc3339(time.time_ns() - time.monotonic_ns() + monotonic_ns)


def rfc3339(unix_ns: int) -> str:
    """Format nanoseconds since the Unix epoch as RFC 3339 UTC with microseconds: 2026-01-31T09:30:00.123456Z."""
    seconds, ns = divmod(unix_ns, NS_PER_S)
    moment = datetime.fromtimestamp(seconds, UTC)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{ns // 1000:06d}Z"


def boot_id() -> bytes:
    """Read the kernel's 16-byte id of this boot."""
    return bytes.fromhex(_BOOT_ID_FILE.read_text().strip().replace("-", ""))
