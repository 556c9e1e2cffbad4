"""`python -m appliance.testing.faults --kills 1000 --seed 1`: a campaign of faults and its report."""

import argparse
import json
import logging
import os
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from appliance.testing.faults.campaign import run_campaign
from appliance.testing.faults.disks import Filler, LoopDisk, mount_obstacle
from appliance.testing.faults.fuzz import fuzz_appliance
from appliance.testing.faults.line import FaultedLine
from appliance.testing.faults.plan import make_plan
from appliance.testing.faults.power_cuts import run_power_cuts
from appliance.testing.faults.report import fuzz_report, report

_DISK_MB = 256
_MEMORY = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None  # noqa: S108 (a directory of our own is made in it)
"""Where the runtime directory is, as on the box; the disk that faults are done to is a real one."""


def main() -> int:
    """Run, print one line for each fault, then the report; 0 when every promise was kept."""
    options = _options()
    logging.disable(logging.WARNING)  # that killed processes end is no news here
    obstacle = mount_obstacle()
    if options.power_cuts and obstacle is not None:
        print(f"power can't be cut: {obstacle}", file=sys.stderr)
        return 1
    with ExitStack() as resources:
        on_disk = Path(resources.enter_context(tempfile.TemporaryDirectory(prefix="faults-")))
        folder = Path(resources.enter_context(tempfile.TemporaryDirectory(prefix="faults-", dir=_MEMORY)))
        disk = None
        if obstacle is None:
            disk = resources.enter_context(LoopDisk(on_disk / "disk.img", on_disk / "disk", _DISK_MB))
        else:
            print(f"the disk is never filled: {obstacle}")
        document = _run(folder, on_disk, disk, options)
    text = json.dumps(document, indent=1)
    if options.report is not None:
        options.report.write_text(text + "\n")
    print(text)
    return 0 if document["is_kept"] else 1


def _run(folder: Path, on_disk: Path, disk: LoopDisk | None, options: argparse.Namespace) -> dict[str, Any]:
    state_dir = (disk.folder if disk is not None else on_disk) / "state"
    filler = Filler(disk.folder) if disk is not None else None
    seed = options.seed

    def tell(text: str) -> None:
        print(text, flush=True)

    with FaultedLine(folder, state_dir, filler=filler, line_hz=options.line_hz) as line:
        if options.fuzz:
            return fuzz_report(fuzz_appliance(line, options.fuzz, seed=seed), seed=seed)
        if disk is not None and options.power_cuts:
            return report(run_power_cuts(line, disk, options.power_cuts, seed, tell), seed=seed)
        plan = make_plan(seed, options.kills, line.names)
        tell(f"seed {seed}: {len(plan)} faults, {sum(fault.deaths for fault in plan)} kills")
        return report(run_campaign(line, plan, tell), seed=seed)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m appliance.testing.faults", description=__doc__)
    parser.add_argument("--kills", type=int, default=1000, help="processes to kill")
    parser.add_argument("--power-cuts", type=int, default=0, help="cut the power so many times instead")
    parser.add_argument("--fuzz", type=int, default=0, help="send so many messages of nonsense instead")
    parser.add_argument("--seed", type=int, default=1, help="of the plan: the same one draws the same faults")
    parser.add_argument("--line-hz", type=float, default=25.0, help="parts a second")
    parser.add_argument("--report", type=Path, help="file for the report")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
