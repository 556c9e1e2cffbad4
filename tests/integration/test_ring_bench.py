import json
import subprocess
import sys

from appliance.testing.patience import PATIENCE_S


def test_the_ring_benchmark_measures_every_way_on_the_same_frames() -> None:
    # A process of its own: multiprocessing's resource tracker outlives the queue it was started for.
    command = [sys.executable, "-W", "error", "-m", "appliance.box.bench.ring", "4", "200000"]
    result = json.loads(subprocess.run(command, capture_output=True, check=True, timeout=PATIENCE_S).stdout)
    assert set(result) == {"machine", "frame_bytes", "frames", "handoff_ms", "others"}
    assert set(result["others"]) == {"multiprocessing.Queue", "pyzmq_ipc", "memcpy"}
    for figures in (result["handoff_ms"], *result["others"].values()):
        assert 0 < figures["p50"] <= figures["p99"]
