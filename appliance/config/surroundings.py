"""What the environment tells a process. The only reader of environment variables."""

import os
from pathlib import Path
from typing import Literal

from appliance.config.confined import ConfinedModel


class Surroundings(ConfinedModel):
    """What the environment tells a process.

    Attributes:
        notify_socket: Where systemd, or `appliance run`, listens for READY=1 and WATCHDOG=1.
        watchdog_usec: How long it may be silent, microseconds.
        gentl_path: GENICAM_GENTL64_PATH, where other software looks for GenTL producers; "" when it isn't set.
    """

    notify_socket: str | None
    watchdog_usec: int | None
    gentl_path: str


def surroundings() -> Surroundings:
    """Read the environment variables that the appliance heeds."""
    usec = os.environ.get("WATCHDOG_USEC", "")
    return Surroundings(
        notify_socket=os.environ.get("NOTIFY_SOCKET") or None,
        watchdog_usec=int(usec) if usec.isdigit() else None,
        gentl_path=os.environ.get("GENICAM_GENTL64_PATH", ""),
    )


def default_directory(purpose: Literal["runtime", "state"]) -> Path:
    """Choose where files go when the configuration doesn't say: the service's directory as root, the user's else.

    Source: systemd's file-hierarchy(7); XDG base directory specification.
    """
    service = {"runtime": Path("/run/appliance"), "state": Path("/var/lib/appliance")}[purpose]
    if os.access(service, os.W_OK):
        return service
    if purpose == "state":
        return Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local/state") / "appliance"
    if runtime := os.environ.get("XDG_RUNTIME_DIR"):
        return Path(runtime) / "appliance"
    return Path(f"/dev/shm/appliance-{os.getuid()}")  # noqa: S108 (a tmpfs; made 0700, and its owner is checked)
