"""The ledger of judgements: what was acknowledged stays, whatever is killed; the last word counts, history stays."""

import json
import os
import resource
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from appliance.errors import ReviewError
from appliance.learning.review.ledger import FILE, ReviewLedger
from appliance.testing.review_writer import judgement


def test_the_last_judgement_counts_and_the_others_are_history(tmp_path: Path) -> None:
    ledger = ReviewLedger(tmp_path)
    assert ledger.read().judgements == ()
    for one in (judgement(1), judgement(2), judgement(1, "wrong", drawn=False)):
        assert ledger.append([one]) == [one]
    history = ledger.read()
    assert [(one.part.seq, one.answer) for one in history.judgements] == [(1, "right"), (2, "right"), (1, "wrong")]
    assert {key[1]: one.answer for key, one in history.latest().items()} == {1: "wrong", 2: "right"}
    assert {key[1] for key in history.drawn()} == {1, 2}
    assert history.corrections() == 1
    assert all(json.loads(line) for line in (tmp_path / FILE).read_text().splitlines())


def test_the_same_judgement_again_changes_no_byte(tmp_path: Path) -> None:
    ledger = ReviewLedger(tmp_path)
    ledger.append([judgement(1), judgement(2), judgement(1)])
    before = (tmp_path / FILE).read_bytes()
    assert ledger.append([judgement(2), judgement(1)]) == []
    assert (tmp_path / FILE).read_bytes() == before
    assert before.count(b"\n") == 2


def test_what_a_killed_writer_left_half_is_cut_off_by_the_next(tmp_path: Path) -> None:
    ledger = ReviewLedger(tmp_path)
    ledger.append([judgement(1)])
    whole = (tmp_path / FILE).read_bytes()
    for tail in (b'{"id":"12', whole[:-1], b"\0" * 700):
        (tmp_path / FILE).write_bytes(whole + tail)
        assert [one.part.seq for one in ledger.read().judgements] == [1]
        ledger.append([judgement(2)])
        assert [one.part.seq for one in ledger.read().judgements] == [1, 2]
        assert ledger.read().damaged_lines == ()


def test_a_damaged_line_is_told_and_hides_no_other(tmp_path: Path) -> None:
    ledger = ReviewLedger(tmp_path)
    ledger.append([judgement(1), judgement(2), judgement(3)])
    lines = (tmp_path / FILE).read_bytes().splitlines(keepends=True)
    (tmp_path / FILE).write_bytes(lines[0] + lines[1].replace(b"right", b"rihgt") + lines[2])
    history = ledger.read()
    assert [one.part.seq for one in history.judgements] == [1, 3]
    assert history.damaged_lines == (2,)


def test_a_failed_write_leaves_the_ledger_as_it_was(tmp_path: Path) -> None:
    ledger = ReviewLedger(tmp_path)
    ledger.append([judgement(1)])
    before = (tmp_path / FILE).read_bytes()
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(before) + 100, hard))
    try:
        with pytest.raises(ReviewError, match=r"reviews\.jsonl: can't be written: File too large"):
            ledger.append([judgement(2)])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert (tmp_path / FILE).read_bytes() == before


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_missing_rights_are_one_clear_line(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(ReviewError, match="Permission denied; check disk and rights"):
        ReviewLedger(tmp_path / "state").append([judgement(1)])


def test_two_writers_killed_at_any_time_lose_nothing_that_they_acknowledged(tmp_path: Path) -> None:
    """Both append as fast as they can; each line they print was acknowledged before it was printed."""
    state = tmp_path / "state"
    writers = {name: _start(state, name) for name in ("Li", "Wei")}
    acknowledged: dict[str, int] = {}
    for name, victim in writers.items():
        assert victim.stdout is not None
        for _ in range(25):
            acknowledged[name] = int(victim.stdout.readline())
        victim.send_signal(signal.SIGKILL)
        rest = victim.stdout.read().split()
        acknowledged[name] = int(rest[-1]) if rest else acknowledged[name]
        victim.stdout.close()
        assert victim.wait() == -signal.SIGKILL
    history = ReviewLedger(state).read()
    assert history.damaged_lines == ()
    for name, count in acknowledged.items():
        kept = [one.part.seq for one in history.judgements if one.by == name]
        assert kept == list(range(1, len(kept) + 1))
        assert len(kept) in (count, count + 1)  # the last one may be on the disk and not yet acknowledged
    assert ReviewLedger(state).append([judgement(7, by="next")])
    assert len(ReviewLedger(state).read().judgements) == len(history.judgements) + 1


def _start(state: Path, name: str) -> "subprocess.Popen[str]":
    command = [sys.executable, "-m", "appliance.testing.review_writer", str(state), name]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
