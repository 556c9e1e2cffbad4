"""What goes to a limited child: one sealed memfd with the request and its blobs.

Byte map: 8 bytes length of the head (big endian), the head (JSON: request, lengths of the blobs), then the blobs.
The seals keep anybody from changing the bytes once the child looks at them.
"""

import contextlib
import fcntl
import json
import mmap
import os
import struct
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

Blob = bytes | memoryview
Job = Callable[
    [dict[str, Any], list[memoryview], Callable[[dict[str, Any]], None]], tuple[dict[str, Any], Sequence[Blob]]
]
"""What runs in a child: (request, blobs, tell) -> (answer, blobs); request, answer and what is told are JSON-ready."""
_LENGTH = struct.Struct(">Q")
_SEALS = fcntl.F_SEAL_WRITE | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_SEAL


@contextlib.contextmanager
def sealed_payload(request: Mapping[str, Any], blobs: Sequence[Blob]) -> Iterator[int]:
    """Write the memfd; gives its descriptor, which is closed at the end."""
    flat = [memoryview(blob).cast("B") for blob in blobs]
    head = json.dumps({"request": dict(request), "blobs": [len(blob) for blob in flat]}).encode()
    fd = os.memfd_create("limited", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    try:
        for part in (memoryview(_LENGTH.pack(len(head)) + head), *flat):
            rest = part
            while rest:
                rest = rest[os.write(fd, rest) :]
        fcntl.fcntl(fd, fcntl.F_ADD_SEALS, _SEALS)
        yield fd
    finally:
        os.close(fd)


def read_payload(fd: int) -> tuple[dict[str, Any], list[memoryview]]:
    """Map the memfd; gives the request and read-only views of the blobs, which live as long as the process."""
    content = memoryview(mmap.mmap(fd, 0, mmap.MAP_SHARED, mmap.PROT_READ))
    start = _LENGTH.size + _LENGTH.unpack_from(content)[0]
    head = json.loads(bytes(content[_LENGTH.size : start]))
    blobs = []
    for length in head["blobs"]:
        blobs.append(content[start : start + length])
        start += length
    return head["request"], blobs
