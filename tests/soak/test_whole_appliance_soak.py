"""The whole appliance for minutes: random kills, stops and camera faults, then the books are compared with the camera.

APPLIANCE_SOAK_MINUTES (default 5) and APPLIANCE_SOAK_SEED make it longer, and repeatable.
"""

import os
import random
import signal
import time
from collections import Counter
from pathlib import Path

import pytest

from appliance.testing.whole_appliance import WholeAppliance

MINUTES = float(os.environ.get("APPLIANCE_SOAK_MINUTES", "5"))
SEED = int(os.environ.get("APPLIANCE_SOAK_SEED", "1"))
PROCESSES = ("grab-cam0", "inspect", "publish")
FAULTS = ("incomplete", "lost", "skip", "black", "frozen", "truncated", "wrong_size", "duplicate_frame_id")

pytestmark = [pytest.mark.soak, pytest.mark.timeout(0)]


def rss_bytes(pid: int | None) -> int:
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGESIZE")


def test_books_and_camera_agree_after_minutes_of_harm(tmp_path: Path) -> None:
    chance = random.Random(SEED)
    harm: Counter[str] = Counter()
    recovery_s: list[float] = []
    with WholeAppliance(tmp_path, line_hz=15) as whole:
        camera = whole.camera()
        end = time.monotonic() + 60 * MINUTES
        while time.monotonic() < end:
            kind = chance.choice(("kill", "kill", "stop", "fault"))
            victim = chance.choice(PROCESSES)
            began = time.monotonic()
            if kind == "kill":
                whole.kill(victim)
                recovery_s.append(time.monotonic() - began)
            elif kind == "stop":
                stop_for_a_while(whole, victim, chance.uniform(0.1, 1.5))
            else:
                victim = chance.choice(FAULTS)
                camera.inject(victim, count=chance.randint(1, 5))
            harm[f"{kind} {victim}"] += 1
            seen = len(whole.verdicts)
            whole.follow(lambda seen=seen: len(whole.verdicts) >= seen + chance.randint(5, 20))
            assert whole.counts().invariant_holds
        whole.follow(lambda: whole.supervisor.is_up and whole.last_verdict() in {"OK", "NG"})
        last = max(view["encoder_count"] or 0 for verdict in whole.verdicts for view in verdict["views"])
        counts = whole.counts()
        camera.close()
    print(f"{dict(harm)}; {counts}; recovery at worst {max(recovery_s, default=0):.2f} s")
    final = whole.counts()
    assert final.open == 0
    assert final.invariant_holds
    assert final.triggers >= last - 1, "a pulse the camera counted is not in the books"
    triggers = Counter(view["trigger_id"] for verdict in whole.verdicts for view in verdict["views"])
    assert max(triggers.values()) == 1
    assert all(verdict["published_at"] < verdict["deadline_at"] for verdict in whole.verdicts)


def stop_for_a_while(whole: WholeAppliance, name: str, seconds: float) -> None:
    pid = whole.pid(name)
    assert pid is not None
    os.kill(pid, signal.SIGSTOP)
    try:
        until = time.monotonic() + seconds
        whole.follow(lambda: time.monotonic() > until)
    finally:
        os.kill(pid, signal.SIGCONT)


def test_memory_stays_flat(tmp_path: Path) -> None:
    with WholeAppliance(tmp_path, line_hz=20) as whole:
        judged = whole.judged()
        whole.follow(lambda: whole.judged() >= judged + 300, patience_s=120)
        before = {name: rss_bytes(whole.pid(name)) for name in PROCESSES}
        end = time.monotonic() + 60 * MINUTES
        whole.follow(lambda: time.monotonic() > end, patience_s=120 * MINUTES)
        after = {name: rss_bytes(whole.pid(name)) for name in PROCESSES}
        assert whole.counts().invariant_holds
    growth = {name: (after[name] - before[name]) / 1e6 for name in PROCESSES}
    print(f"growth in MB over {MINUTES:g} minutes: {growth}")
    assert max(growth.values()) < 10
