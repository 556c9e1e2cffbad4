"""A client in a process of its own that asks for rows again and again, so that every death hits a replay under way.

`python -m appliance.testing.faults.replayer ENDPOINT LOG SEED` is the process. Its log holds one JSON object a line:
{"rows": so many were read} or {"changed": seq} for a row that is not what it was before.
"""

import hashlib
import json
import os
import random
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from appliance.errors import PeerSilent
from appliance.stage import die_with_parent
from appliance.wire.replay import JournalHead, Rows
from appliance.wire.replay_client import ReplayClient

_WINDOW_ROWS = 1500
_PAUSE_S = 0.1
_PATIENCE_S = 0.5


class Replayer:
    """The process and what it found so far; a context manager."""

    def __init__(self, endpoint: str, log: Path, *, seed: int = 1) -> None:
        log.touch()
        self._log = log
        argv = [sys.executable, "-m", __name__, endpoint, str(log), str(seed)]
        self._process = subprocess.Popen(argv)  # noqa: S603 (our own argv)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.kill()
        self._process.wait()

    def findings(self) -> tuple[int, list[int]]:
        """Rows read so far, and the seqs that changed between two readings."""
        lines = [json.loads(line) for line in self._log.read_text().splitlines()]
        return sum(line.get("rows", 0) for line in lines), [line["changed"] for line in lines if "changed" in line]


def read_rows(
    client: ReplayClient, epoch: str, first_seq: int, last_seq: int, patience_s: float = _PATIENCE_S
) -> list[tuple[int, bytes]]:
    """Read rows page by page; ends early where the journal ends or answers otherwise."""
    found: list[tuple[int, bytes]] = []
    while first_seq <= last_seq:
        answer = client.get(epoch, first_seq, last_seq, patience_s)
        if not isinstance(answer, Rows) or not answer.rows:
            break
        found += answer.rows
        first_seq = answer.rows[-1][0] + 1
    return found


def replay_for_ever(endpoint: str, log: Path, seed: int) -> None:
    """Read windows of the journal and compare them with earlier readings, until killed."""
    die_with_parent()
    chance = random.Random(seed)
    known: dict[tuple[str, int], bytes] = {}
    with ReplayClient(endpoint) as client, log.open("a", buffering=1) as file:

        def note(**what: Any) -> None:
            print(json.dumps(what), file=file)

        while True:
            try:
                _read_window(client, chance, known, note)
            except PeerSilent:
                continue  # killed, or stopped
            time.sleep(_PAUSE_S)


def _read_window(
    client: ReplayClient,
    chance: random.Random,
    known: dict[tuple[str, int], bytes],
    note: Callable[..., None],
) -> None:
    head: JournalHead = client.head(_PATIENCE_S)
    first = chance.randint(max(head.oldest_seq, 1), max(head.head_seq, 1))
    rows = read_rows(client, head.epoch, first, min(first + _WINDOW_ROWS, head.head_seq))
    for seq, body in rows:
        digest = hashlib.sha256(body).digest()
        if known.setdefault((head.epoch, seq), digest) != digest:
            note(changed=seq)
    note(rows=len(rows))


if __name__ == "__main__":
    os.nice(5)
    replay_for_ever(sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]))
