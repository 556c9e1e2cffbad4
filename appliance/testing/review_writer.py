"""Judgements to write down, and a process that writes them as fast as it can, to be killed: acknowledged, then printed.

python -m appliance.testing.review_writer STATE_DIR NAME
"""

import sys
from datetime import UTC, datetime
from pathlib import Path

from appliance.learning.review.judgement import JudgedPart, Judgement, identity
from appliance.learning.review.ledger import ReviewLedger
from appliance.testing.journal_records import inspection

_MOST = 100_000


def judgement(seq: int, answer: str = "right", *, by: str = "Li", drawn: bool = True, **more: object) -> Judgement:
    """What somebody said of NG part `seq`."""
    record = {**inspection(seq, verdict="NG"), "epoch": "ab" * 8, "seq": seq}
    said = {"at": datetime(2026, 11, 24, 8, tzinfo=UTC), "by": by, "via": "mark", "drawn": drawn, "answer": answer}
    name = identity(seq, answer, by, str(more))
    return Judgement.model_validate({"id": name, **said, "part": JudgedPart.of(record), **more})


if __name__ == "__main__":
    ledger = ReviewLedger(Path(sys.argv[1]))
    for number in range(1, _MOST):
        ledger.append([judgement(number, by=sys.argv[2], note="x" * (number % 500))])
        print(number, flush=True)
