"""`appliance doctor`: is everything there, and what to do where it isn't."""

import json
import sys
from dataclasses import asdict
from pathlib import Path

from rich.console import Console
from rich.text import Text

from appliance.box.check import Outcome
from appliance.box.whereabouts import find_config
from appliance.cli.options import ConfigOption, JsonOption
from appliance.config import surroundings
from appliance.errors import ConfigError, ExitCode, NotRunning

_STYLES = {Outcome.OK: "green", Outcome.WARN: "yellow", Outcome.FAIL: "bold red"}


def doctor(config: ConfigOption = None, as_json: JsonOption = False) -> None:
    """Check machine, cameras, model and configuration; one line each, with a fix where one is needed."""
    from appliance.box.doctor import examine  # noqa: PLC0415 (brings harvesters and OpenCV, which no other command needs)

    console = Console()
    results = []
    for result in examine(_config_path(config), surroundings().gentl_path):
        results.append(result)
        if not as_json:
            line = Text.assemble((f"{result.outcome:<5}", _STYLES[result.outcome]), f"{result.name}: {result.detail}")
            console.print(line, soft_wrap=True)
            if result.fix:
                console.print(f"      → {result.fix}", markup=False, highlight=False, soft_wrap=True)
    if as_json:
        print(json.dumps([asdict(result) for result in results], indent=2))
    if any(result.outcome is Outcome.FAIL for result in results):
        sys.exit(ExitCode.CHECK_FAILED)


def _config_path(given: Path | None) -> Path | None:
    try:
        return find_config(given)
    except (ConfigError, NotRunning):
        return None
