"""The machine that a figure comes from."""

import os
import platform
from pathlib import Path
from typing import Any


def machine() -> dict[str, Any]:
    """Describe processor, cores this process may use, kernel and Python."""
    return {
        "cpu": _cpu(),
        "cores": len(os.sched_getaffinity(0)),
        "kernel": f"{platform.system()} {platform.release()} {platform.machine()}",
        "python": platform.python_version(),
    }


def _cpu() -> str:
    # x86 says "model name"; many Arm kernels only have the device tree's model.
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    model = Path("/proc/device-tree/model")
    return model.read_text().strip("\0\n ") if model.exists() else platform.machine()
