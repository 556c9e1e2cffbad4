"""Models change for an hour's worth of parts, and something is killed around every change."""

import random
import time
from pathlib import Path

import pytest

from appliance.clock import NS_PER_MS
from appliance.testing.model_stand import ModelStand

pytestmark = [pytest.mark.soak, pytest.mark.timeout(0)]

CHANGES = 60
VICTIMS = ("publish", "inspect", None)


def test_no_part_is_lost_or_judged_by_the_wrong_model_whatever_is_killed_around_a_change(tmp_path: Path) -> None:
    """The kill comes at any moment from the request to long after the change, of either process or of none."""
    seed = time.time_ns() % 2**32
    print(f"seed {seed}")
    chance = random.Random(seed)
    with ModelStand(tmp_path) as stand:
        stand.parts(10)
        for number in range(CHANGES):
            model = ("two", "one")[number % 2]
            stand.client._client.socket.send_json(stand.activation(model))
            kill_at_ns = time.monotonic_ns() + round(chance.uniform(0, 600) * NS_PER_MS)
            stand.until(lambda at_ns=kill_at_ns: time.monotonic_ns() >= at_ns)  # type: ignore[misc]
            victim = VICTIMS[number % len(VICTIMS)]
            if victim is not None:
                stand.kill(victim)
            stand.parts(5)
            while stand.moments()[-1][0] != model:  # the request died with its publisher: the operator asks again
                assert stand.activate(model)["status"] in {"ok", "duplicate"}
            stand.parts(5)
        stand.drain()
        stand.assert_each_trigger_has_one_verdict()
        stand.assert_models_change_at_their_moments()
        reasons = {verdict["reason"] for verdict in stand.verdicts}
        assert reasons <= {None, "late", "ring_full", "inspector_down"}, "no part was without a model"
