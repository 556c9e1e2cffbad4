"""The systemd units are what the process table is."""

import shutil
import subprocess
from pathlib import Path

import pytest

UNITS = Path(__file__).parents[3] / "systemd"
SERVICES = sorted(UNITS.glob("*.service"))


@pytest.mark.parametrize("unit", SERVICES, ids=lambda path: path.name)
def test_unit_notifies_is_watched_and_never_gives_up(unit: Path) -> None:
    lines = unit.read_text().splitlines()
    assert {"Type=notify", "NotifyAccess=main", "Restart=always", "StartLimitIntervalSec=0"} <= set(lines)
    assert any(line.startswith("WatchdogSec=") for line in lines)


@pytest.mark.parametrize("unit", SERVICES, ids=lambda path: path.name)
def test_unit_depends_on_no_other_process(unit: Path) -> None:
    for line in unit.read_text().splitlines():
        assert not line.startswith(("Requires=", "BindsTo=", "Requisite=", "RuntimeDirectory="))


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="no systemd here")
def test_systemd_finds_nothing_to_complain_about(tmp_path: Path) -> None:
    for unit in [*SERVICES, UNITS / "appliance.target"]:
        # The command is not installed on the machine that tests; systemd would only say so.
        text = unit.read_text().replace("/opt/appliance/.venv/bin/appliance", "/bin/true")
        (tmp_path / unit.name.replace("@", "@cam0")).write_text(text)
    command = ["systemd-analyze", "verify", "--man=no", *map(str, sorted(tmp_path.iterdir()))]
    said = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (said.returncode, said.stderr) == (0, "")
