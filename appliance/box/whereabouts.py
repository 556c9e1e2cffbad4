"""Which configuration a command means when it names none."""

from pathlib import Path

from appliance.box.status import read_status
from appliance.config import default_directory
from appliance.errors import NotRunning

SERVICE_CONFIG = Path("/etc/appliance/appliance.toml")


def find_config(given: Path | None) -> Path:
    """Choose the configuration: the given one; else the running appliance's; else the service's.

    Raises:
        NotRunning: None given, none running, none installed.
    """
    if given is not None:
        return given
    supervisor = read_status(default_directory("runtime"), "supervisor")
    if supervisor is not None:
        return Path(supervisor["config"])
    if SERVICE_CONFIG.is_file():
        return SERVICE_CONFIG
    raise NotRunning(f"no appliance runs and {SERVICE_CONFIG} doesn't exist; name a configuration with --config FILE")
