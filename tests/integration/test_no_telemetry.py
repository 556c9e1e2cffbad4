import subprocess
import sys
from pathlib import Path

LOAD = """
from pathlib import Path
from appliance.modelling import load_bundle
from appliance.modelling.detector import Detector
Detector(load_bundle(Path({bundle!r})))
print(sum("socket:" in str(one.readlink()) for one in Path("/proc/self/fd").iterdir() if one.exists()))
"""
BUNDLE = Path(__file__).parents[2] / "models" / "deeppcb-nano"


def test_running_a_model_tells_nobody_and_leaves_no_files(tmp_path: Path) -> None:
    said = subprocess.run(
        [sys.executable, "-c", LOAD.format(bundle=str(BUNDLE))],
        env={"HOME": str(tmp_path), "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert said.stdout.strip() == "0"
    assert list(tmp_path.rglob("*")) == []
