"""Everything that the journal holds, as replay gives it to a consumer."""

import json
from typing import Any

from appliance.testing.patience import PATIENCE_S
from appliance.wire.replay import Rows
from appliance.wire.replay_client import ReplayClient


def replayed_rows(endpoint: str) -> list[dict[str, Any]]:
    """Fetch every row, page by page.

    Raises:
        AssertionError: The recorder gives something else than rows.
    """
    rows: list[dict[str, Any]] = []
    with ReplayClient(endpoint) as client:
        head = client.head(PATIENCE_S)
        first = max(head.oldest_seq, 1)
        while first <= head.head_seq:
            answer = client.get(head.epoch, first, head.head_seq, PATIENCE_S)
            assert isinstance(answer, Rows), answer
            rows += [json.loads(body) for _, body in answer.rows]
            first = answer.rows[-1][0] + 1
    return rows
