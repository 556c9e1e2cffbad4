"""`bench delivery`, short: it measures what it says, with the real processes, and leaves nothing behind."""

from pathlib import Path

from appliance.box.bench.delivery import bench_delivery
from appliance.config import load
from appliance.testing.whole_appliance import REPOSITORY


def test_delivery_is_measured_and_nothing_left(tmp_path: Path) -> None:
    config = load(REPOSITORY / "examples/demo-real.toml").model_copy(update={"runtime_dir": tmp_path / "run"})
    figures = bench_delivery(config, state_dir=tmp_path, rounds=1, seconds=1.0, settle_s=0.3)
    assert figures["durable_results_per_s"] > 0
    assert figures["journal_alone_rows_per_s"] > 0
    assert 0 < figures["commit_ms"]["p50"] <= figures["commit_ms"]["p99"]
    assert set(figures["added_verdict_latency_ms"]) == {"p50", "p99"}
    assert figures["record_bytes"] > 1000
    assert figures["load"]["verdicts"] > 0
    assert figures["load"]["images_stored"] + sum(figures["load"]["images_missing"].values()) > 0
    assert figures["disk"]["file_system"] != "unknown"
    assert figures["machine"]["cores"] > 0
    assert list(tmp_path.iterdir()) == []
