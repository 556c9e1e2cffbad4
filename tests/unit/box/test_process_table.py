import subprocess
import sys
from pathlib import Path

from appliance.box.process_table import process_table
from appliance.box.process_usage import process_usage
from appliance.config import load

ROOT = Path(__file__).parents[3]


def test_table_has_one_grabber_a_camera_that_stops_before_everything_else_and_the_recorder_last() -> None:
    config_path = ROOT / "examples/full.toml"
    table = process_table(load(config_path), config_path, supervisor_pid=7, options=("--verbose",))
    names = ["publish", "record", "inspect", "grab-cam0", "grab-cam1", "shadow", "drift"]
    assert [spec.name for spec in table] == names
    assert [spec.stop_rank for spec in table] == [2, 3, 1, 0, 0, 0, 0]
    assert [spec.name for spec in table if spec.only_while is not None] == ["shadow"]
    assert [spec.name for spec in table if spec.is_optional] == ["shadow", "drift"]
    assert table[3].argv[1:] == (
        *("-m", "appliance", "stage", "grab", "cam0"),
        *("--config", str(config_path), "--supervisor-pid", "7", "--verbose"),
    )


def test_cost_of_a_living_process_is_read_and_a_dead_one_has_none() -> None:
    code = "import time; print('here', flush=True); time.sleep(60)"
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        usage = process_usage(process.pid)
        assert usage is not None
        assert usage.rss_mb > 0.5
        process.kill()
    assert process_usage(process.pid) is None
