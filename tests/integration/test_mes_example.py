"""The MES example as a process, killed again and again: each result in its database exactly once."""

import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from appliance.testing.patience import PATIENCE_S
from appliance.testing.result_stand import ServedStand, StandJournal

MES = Path(__file__).parents[2] / "examples" / "mes" / "mes.py"


@contextmanager
def mes(stand: ServedStand, database: Path, *more: str) -> Iterator["subprocess.Popen[str]"]:
    command = [sys.executable, str(MES), "--endpoint", stand.endpoint, "--replay", stand.replay_endpoint]
    command += ["--database", str(database), *more]
    process = subprocess.Popen(command, text=True, stderr=subprocess.PIPE)
    try:
        yield process
    finally:
        process.kill()
        process.wait()
        assert process.stderr is not None
        process.stderr.close()


def asked(database: Path, question: str) -> list[Any]:
    with closing(sqlite3.connect(database, timeout=PATIENCE_S)) as connection:
        return connection.execute(question).fetchall()


def wait_until(process: "subprocess.Popen[str]", is_so: Callable[[], bool]) -> None:
    end = time.monotonic() + PATIENCE_S
    while not is_so():
        assert process.poll() is None, process.stderr.read() if process.stderr else ""
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.01)


def stored(database: Path) -> int:
    try:
        return int(asked(database, "SELECT count(*) FROM results")[0][0])
    except sqlite3.OperationalError:  # not made yet
        return 0


def acknowledged(stand: ServedStand) -> int:
    with stand.held() as inside:
        return inside.journal.acknowledged.get("mes", 0)


def test_each_result_is_stored_once_whenever_the_mes_is_killed(tmp_path: Path) -> None:
    database = tmp_path / "mes.db"
    with ServedStand() as stand:
        stand.publish(300, is_lost=True)
        for number in range(4):
            with mes(stand, database) as process:
                before = stored(database)
                for _ in range(20):
                    stand.publish(7)
                    stand.publish(3, is_lost=True)
                if number % 2:  # killed while it starts, or in the middle of its work
                    wait_until(process, lambda: stored(database) > before)  # noqa: B023 (called before the loop goes on)
        stand.publish(10)
        with mes(stand, database) as process:
            wait_until(process, lambda: acknowledged(stand) == 1110)
            process.terminate()
            assert process.wait(PATIENCE_S) == 0
        with stand.held() as inside:
            published = [("e1", seq, body) for seq, body in inside.journal.bodies.items()]
    assert asked(database, "SELECT epoch, seq, body FROM results ORDER BY seq") == published
    assert asked(database, "SELECT * FROM gaps") == []
    assert asked(database, "SELECT * FROM cursor") == [("mes", "e1", 1110)]


def test_an_acknowledgement_that_died_with_the_mes_is_sent_at_its_next_start(tmp_path: Path) -> None:
    database = tmp_path / "mes.db"
    with ServedStand() as stand:
        stand.publish(3)
        with mes(stand, database) as process:
            wait_until(process, lambda: acknowledged(stand) == 3)
        with stand.held() as inside:
            inside.journal.acknowledged.clear()
        with mes(stand, database) as process:
            wait_until(process, lambda: acknowledged(stand) == 3)


def test_removed_ranges_and_a_new_journal_are_gaps(tmp_path: Path) -> None:
    database = tmp_path / "mes.db"
    with ServedStand() as stand:
        stand.publish(3)
        with mes(stand, database) as process:
            wait_until(process, lambda: stored(database) == 3)
        stand.publish(4)
        with stand.held() as inside:
            inside.journal.drop_before(6)
        with mes(stand, database) as process:
            wait_until(process, lambda: stored(database) == 5)
            with stand.held() as inside:
                inside.journal = StandJournal(epoch="e2")
            stand.publish(2)
            wait_until(process, lambda: stored(database) == 7)
    assert asked(database, "SELECT * FROM gaps ORDER BY epoch, first_seq") == [
        ("e1", 4, 5, "removed"),
        ("e1", 8, None, "journal made anew"),
    ]
    numbers = [("e1", 1), ("e1", 2), ("e1", 3), ("e1", 6), ("e1", 7), ("e2", 1), ("e2", 2)]
    assert asked(database, "SELECT epoch, seq FROM results ORDER BY epoch, seq") == numbers


def test_simulated_results_come_on_request_only(tmp_path: Path) -> None:
    with ServedStand() as stand:
        stand.publish(2, is_simulated=True)
        stand.publish(1)
        for name, more, wanted in (("plain.db", (), [(3, 0)]), ("all.db", ("--simulated",), [(1, 1), (2, 1), (3, 0)])):
            with mes(stand, tmp_path / name, *more) as process:
                wait_until(process, lambda: acknowledged(stand) == 3)
            assert asked(tmp_path / name, "SELECT seq, is_simulated FROM results ORDER BY seq") == wanted
            with stand.held() as inside:
                inside.journal.acknowledged.clear()


def test_a_missing_key_file_is_one_line(tmp_path: Path) -> None:
    with ServedStand() as stand, mes(stand, tmp_path / "mes.db", "--keys", str(tmp_path / "none")) as process:
        assert process.wait(PATIENCE_S) == 1
        assert process.stderr is not None
        (line,) = process.stderr.read().splitlines()
        assert line.startswith("mes: ")
        assert "none" in line
