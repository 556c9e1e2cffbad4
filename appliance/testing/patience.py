"""How long tests wait for what is certain to come: long, for it costs time only where it doesn't come."""

import time
from collections.abc import Callable

PATIENCE_S = 30.0
"""A machine with other work may stand still for seconds."""


def wait_for(is_true: Callable[[], object], patience_s: float = PATIENCE_S, *, what: str = "") -> None:
    """Look until something is true.

    Raises:
        AssertionError: It did not become true.
    """
    end = time.monotonic() + patience_s
    while not is_true():
        assert time.monotonic() < end, f"waited {patience_s:g} s in vain" + f" for {what}" * bool(what)
        time.sleep(0.005)
