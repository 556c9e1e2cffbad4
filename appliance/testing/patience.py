"""How long tests wait for what is certain to come: long, for it costs time only where it doesn't come."""

import time
from collections.abc import Callable
from pathlib import Path

_REPOSITORY = Path(__file__).parents[2]

PATIENCE_S = 60.0
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


def patient_recipe(path: Path, deadline_ms: float) -> None:
    """Write the example's recipe with a deadline that holds on a machine with other work."""
    lines = (_REPOSITORY / "examples/recipes/deeppcb.toml").read_text(encoding="utf-8").splitlines()
    patient = [f"deadline_ms = {deadline_ms}" if line.startswith("deadline_ms") else line for line in lines]
    path.write_text("\n".join(patient), encoding="utf-8")
