"""A TCP port for a server that has to be told one before it starts."""

import os
import random
import socket

_FIRST, _LAST = 15_000, 32_000
"""Below those that the kernel gives to clients and to whoever asks for any: those may be taken again at once."""


def free_port() -> int:
    """Find a port that nobody has; another process that looks at the same time finds another one, most likely."""
    chance = random.Random(f"{os.getpid()} {os.urandom(8).hex()}")
    while True:
        port = chance.randrange(_FIRST, _LAST)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        return port
