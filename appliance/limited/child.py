"""The limited child: `python -P -s -B -m appliance.limited.child MODULE:FUNCTION PAYLOAD_FD ANSWER_FD LIMITS`."""

import importlib
import json
import os
import sys
from dataclasses import replace

from appliance.limited.frames import write_frame
from appliance.limited.limits import COPIES, Limits
from appliance.limited.payload import Job, read_payload
from appliance.limited.rights import Rights, give_up_rights, limit_memory, limit_time, peak_memory_mb

_MIB = 1 << 20
_OUT_OF_MEMORY = ("Failed to allocate memory", "bad_alloc", "bad allocation")
"""How ONNX Runtime words it."""


def main(name: str, payload_fd: int, answer_fd: int, limits: Limits) -> None:
    """Confine this process, run the function, answer."""
    rights = give_up_rights(uses_devices=limits.uses_devices, gives_way=limits.gives_way)
    module, _, function = name.partition(":")
    job: Job = getattr(importlib.import_module(module), function)
    request, blobs = read_payload(payload_fd)
    rights = _limited(rights, limits, sum(len(blob) for blob in blobs))
    write_frame(answer_fd, b"S", rights.told())
    try:
        answer, out = job(request, blobs, lambda told: write_frame(answer_fd, b"P", told))
    except Exception as error:  # every error is the parent's to tell
        write_frame(answer_fd, b"E", {"error": type(error).__name__, "message": _message(error, limits)})
        return
    for blob in out:
        write_frame(answer_fd, b"B", blob)
    write_frame(answer_fd, b"R", {"answer": answer, "peak_mb": peak_memory_mb()})


def _limited(rights: Rights, limits: Limits, input_bytes: int) -> Rights:
    limit_time(limits.cpu_s, limits.wall_s + 5)
    if limits.uses_devices:
        return replace(rights, memory="not limited: the device's driver maps more than any limit")
    return replace(rights, memory=limit_memory(limits.memory_mb + COPIES * input_bytes // _MIB))


def _message(error: Exception, limits: Limits) -> str:
    words = " ".join(str(error).split())
    if isinstance(error, MemoryError):
        return f"out of memory: more than {limits.memory_mb} MiB asked for"
    if any(sign in words for sign in _OUT_OF_MEMORY):
        return f"{words}; it was limited to {limits.memory_mb} MiB"
    return words


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), Limits(**json.loads(sys.argv[4])))
    # Threads of a library that hang or crash in its tear-down would only hide the answer.
    os._exit(0)
