import os
import socket
import time
from pathlib import Path

import pytest

from appliance.errors import ModelContractMismatch, ModelError
from appliance.limited import Limits, run_limited
from appliance.testing import limited_jobs as jobs
from appliance.testing.patience import PATIENCE_S

NONSENSE = {"no frame": "00" * 40, "an answer of the wrong form": "52" + "0000000000000002" + "7b7d"}


def test_request_and_blobs_go_there_and_back() -> None:
    told: list[dict[str, object]] = []
    blobs = [b"one", b"", bytes(3_000_000)]
    ran = run_limited(jobs.echo, {"size": 640}, blobs, where="model x", on_progress=told.append)
    assert (ran.answer, list(ran.blobs)) == ({"size": 640}, blobs)
    assert [one["step"] for one in told] == ["start", "echo"]
    assert 0 < ran.start_ms < 60_000
    assert ran.peak_mb > 1


def test_child_has_no_network_writes_nothing_and_knows_nothing_of_our_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SECRET_TOKEN", "hunter2")
    victim = tmp_path / "victim"
    victim.write_bytes(b"ours")
    with socket.create_server(("127.0.0.1", 0)):
        found = run_limited(jobs.try_everything, {"victim": str(victim)}, where="model x")
    environment = found.answer.pop("environment")
    assert "SECRET_TOKEN" not in environment
    assert victim.read_bytes() == b"ours" or "landlock" not in found.rights["files"]
    if found.rights["network"].startswith("none"):
        assert found.answer["open a socket"] == "PermissionError"
    if "namespace" in found.rights["network"]:
        assert found.answer["see a network"] == "ValueError"
    if "landlock" in found.rights["files"]:
        refused = ("start a program", "write a file", "make a file", "remove a file")
        assert {found.answer[name] for name in refused} == {"PermissionError"}
    assert "MiB" in found.rights["memory"]


def test_error_of_ours_keeps_its_class_and_says_where() -> None:
    with pytest.raises(ModelContractMismatch, match=r"^model x: output 'boxes' has no shape$"):
        run_limited(jobs.raise_ours, {}, where="model x")


def test_child_that_gives_way_has_a_low_priority() -> None:
    for gives_way, scheduler in ((True, os.SCHED_BATCH), (False, os.SCHED_OTHER)):
        found = run_limited(jobs.tell_priority, {}, where="model x", limits=Limits(gives_way=gives_way))
        assert found.answer["scheduler"] == scheduler
        assert found.answer["nice"] == (10 if gives_way else 0) + os.getpriority(os.PRIO_PROCESS, 0)


def test_memory_is_limited() -> None:
    limits = Limits(memory_mb=64)
    assert run_limited(jobs.allocate, {"mb": 16}, where="model x", limits=limits).answer == {"bytes": 16 << 20}
    with pytest.raises(ModelError, match="out of memory: more than 64 MiB"):
        run_limited(jobs.allocate, {"mb": 128}, where="model x", limits=limits)


@pytest.mark.parametrize(
    ("job", "limits", "words"),
    [
        (jobs.crash, Limits(), "crashed with SIGSEGV"),
        (jobs.be_killed, Limits(), "killed for lack of memory"),
        (jobs.leave, Limits(), "status 7 and no answer: I am off"),
        (jobs.compute, Limits(cpu_s=1), "step 'compute', took more than 1 s of CPU time"),
        (jobs.sleep, Limits(wall_s=0.3), r"not done after 0.3 s, of which it computed \d+\.\d s"),
    ],
    ids=["crashes", "is killed", "leaves", "computes for ever", "sleeps for ever"],
)
def test_child_that_gives_no_answer_ends_in_one_line(job: object, limits: Limits, words: str) -> None:
    with pytest.raises(ModelError, match=words) as raised:
        run_limited(job, {}, where="model x", limits=limits)  # type: ignore[arg-type]
    assert str(raised.value).startswith("model x: ")
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("garbage", NONSENSE.values(), ids=NONSENSE.keys())
def test_garbage_for_an_answer_is_refused(garbage: str) -> None:
    with pytest.raises(ModelError, match="answered what is no answer"):
        run_limited(jobs.talk_nonsense, {"hex": garbage}, where="model x")


def test_answer_may_not_be_endless() -> None:
    with pytest.raises(ModelError, match="more bytes than an answer may have"):
        run_limited(jobs.flood, {"mb": 3}, where="model x", limits=Limits(reply_mb=2))


def test_what_a_child_leaves_behind_is_killed() -> None:
    with pytest.raises(ModelError):
        run_limited(jobs.sleep, {}, where="model x", limits=Limits(wall_s=0.2))
    deadline = time.monotonic() + PATIENCE_S
    while any(b"limited_jobs:sleep" in line for line in _command_lines()):
        assert time.monotonic() < deadline
        time.sleep(0.01)


def _command_lines() -> list[bytes]:
    lines = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            lines.append(path.read_bytes())
        except OSError:
            continue
    return lines
