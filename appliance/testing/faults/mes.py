"""The example MES as a process beside the appliance, and what it holds: read from its own database, nowhere else."""

import contextlib
import json
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from appliance.config import ApplianceConfig

PROGRAM = Path(__file__).parents[3] / "examples" / "mes" / "mes.py"
CONSUMER = "mes"
_LOCK_PATIENCE_S = 1.0


class Mes:
    """Follows the result lane, stores every result once, acknowledges; a context manager.

    Attributes:
        rows: Records as stored so far, in order of their coming, each with its epoch and seq.
    """

    def __init__(self, config: ApplianceConfig, database: Path) -> None:
        recorder = config.recorder
        self._argv = [sys.executable, str(PROGRAM), "--simulated", "--consumer", CONSUMER, "--database", str(database)]
        self._argv += ["--endpoint", recorder.result_endpoint, "--replay", recorder.replay_endpoint]
        self.rows: list[dict[str, Any]] = []
        self._last_rowid = 0
        self._path = database
        self._database: sqlite3.Connection | None = None
        self._process = subprocess.Popen(self._argv)  # noqa: S603 (our own argv)

    def kill(self) -> None:
        """Kill it where it is, and start it again."""
        self._process.kill()
        self._process.wait()
        self._process = subprocess.Popen(self._argv)  # noqa: S603 (our own argv)

    def freeze(self) -> None:
        """Stop it where it is."""
        self._process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let it go on."""
        self._process.send_signal(signal.SIGCONT)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.kill()
        self._process.wait()
        if self._database is not None:
            self._database.close()

    def read(self) -> list[dict[str, Any]]:
        """Take in what it has stored since the last call; gives the new rows.

        Raises:
            AssertionError: It ended by itself: a result came twice, or the appliance refused it.
        """
        assert self._process.poll() is None, f"the MES ended with {self._process.returncode}"
        known = len(self.rows)
        with contextlib.suppress(sqlite3.OperationalError):  # it is making its tables, or writes for too long
            if self._database is None:
                self._database = sqlite3.connect(f"file:{self._path}?mode=ro", uri=True, timeout=_LOCK_PATIENCE_S)
            query = "SELECT rowid, body FROM results WHERE rowid > ? ORDER BY rowid"
            for rowid, body in self._database.execute(query, (self._last_rowid,)).fetchall():
                self._last_rowid = rowid
                self.rows.append(json.loads(body))
        return self.rows[known:]

    def gaps(self) -> list[tuple[Any, ...]]:
        """What it was told that it will never get: (epoch, first_seq, last_seq, why)."""
        assert self._database is not None, "it never made its tables"
        return self._database.execute("SELECT epoch, first_seq, last_seq, why FROM gaps").fetchall()
