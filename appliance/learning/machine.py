"""Which machine a training ran on, in words. Imports nothing that a training environment might lack."""

from __future__ import annotations

import platform
from pathlib import Path


def machine_in_words(threads: int, device: str) -> str:
    """Name processor, architecture, threads and GPU.

    Args:
        device: "cpu", or what PyTorch calls the GPU.
    """
    lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    model = next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), "unknown CPU")
    return f"{model}, {platform.machine()}, {threads} threads, {'no GPU' if device == 'cpu' else device}"
