"""The health process beside a whole appliance, asked as monitoring asks it."""

import json
import os
import signal
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from appliance.testing.patience import PATIENCE_S
from appliance.testing.ports import free_port
from appliance.testing.whole_appliance import WholeAppliance

pytestmark = pytest.mark.timeout(360)  # many processes are started and waited for

PROCESSES = {"grab-cam0", "health", "inspect", "publish", "record"}
Samples = dict[tuple[str, *tuple[str, ...]], float]


def get(whole: WholeAppliance, page: str) -> tuple[int, str]:
    url = f"http://127.0.0.1:{whole.config.health.port}{page}"
    try:
        with urllib.request.urlopen(url, timeout=PATIENCE_S) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as refusal:
        with refusal:
            return refusal.code, refusal.read().decode()


def ask(whole: WholeAppliance, page: str) -> tuple[int, dict[str, Any]]:
    status, body = get(whole, page)
    return status, json.loads(body)


def scrape(whole: WholeAppliance) -> Samples:
    status, body = get(whole, "/metrics")
    assert status == 200
    families = text_string_to_metric_families(body)
    return {(sample.name, *sample.labels.values()): sample.value for family in families for sample in family.samples}


def test_monitoring_sees_what_is_there_what_is_killed_and_what_comes_back(tmp_path: Path) -> None:
    health = f"\n[health]\nenabled = true\nport = {free_port()}\n"
    with WholeAppliance(tmp_path, more=health) as whole:
        whole.follow(lambda: get(whole, "/healthz")[0] == get(whole, "/readyz")[0] == 200)
        assert_metrics_are_what_the_files_say(whole)
        assert_a_camera_that_is_gone_ends_readiness(whole)
        assert_a_killed_recorder_is_told_until_it_is_back(whole)
        others = {name: whole.pid(name) for name in PROCESSES - {"health"}}
        whole.kill("health", judged_again=1)
        whole.follow(lambda: get(whole, "/healthz")[0] == 200)
        assert {name: whole.pid(name) for name in others} == others


def assert_metrics_are_what_the_files_say(whole: WholeAppliance) -> None:
    whole.follow(lambda: scrape(whole).get(("appliance_journal_rows_total",), 0) >= 5)
    before, found, after = whole.counts(), scrape(whole), whole.counts()
    assert before.triggers <= found["appliance_triggers_total", "cam0"] <= after.triggers
    assert before.ok <= found["appliance_verdicts_total", "cam0", "OK"] <= after.ok
    assert before.ng <= found["appliance_verdicts_total", "cam0", "NG"] <= after.ng
    up = {labels[0]: value for (name, *labels), value in found.items() if name == "appliance_process_up"}
    assert up == dict.fromkeys(PROCESSES, 1)
    assert (found["appliance_line_ready",], found["appliance_line_error_id",]) == (1, 0)
    assert 0 < found["appliance_verdict_latency_seconds", "cam0", "0.5"] < 1
    assert found["appliance_process_resident_memory_bytes", "health"] > 1e6
    assert found["appliance_disk_level", "ok"] == 1
    assert found["appliance_journal_head_seq",] >= 5


def assert_a_camera_that_is_gone_ends_readiness(whole: WholeAppliance) -> None:
    camera = whole.camera()
    try:
        camera.inject("disconnect", value=4000)
        whole.follow(lambda: "camera cam0 is lost" in ask(whole, "/readyz")[1]["not_ready_because"])
        assert get(whole, "/healthz")[0] == 200
        whole.follow(lambda: get(whole, "/readyz")[0] == 200)
    finally:
        camera.close()


def assert_a_killed_recorder_is_told_until_it_is_back(whole: WholeAppliance) -> None:
    victim = whole.pid("record")
    assert victim is not None
    os.kill(victim, signal.SIGKILL)
    patient_until = time.monotonic() + PATIENCE_S
    while get(whole, "/healthz")[0] == 200:  # the kernel takes a moment; nobody restarts it while we don't supervise
        assert time.monotonic() < patient_until
    assert ask(whole, "/healthz") == (503, {"healthy": False, "down": ["record"]})
    assert ask(whole, "/readyz") == (200, {"ready": True, "not_ready_because": [], "error_id": 0})
    found = scrape(whole)
    assert (found["appliance_process_up", "record"], found["appliance_process_up", "publish"]) == (0, 1)
    assert ("appliance_journal_head_seq",) not in found
    whole.follow(lambda: ask(whole, "/healthz") == (200, {"healthy": True, "down": []}))
    whole.follow(lambda: scrape(whole)["appliance_process_restarts_total", "record"] == 1)
