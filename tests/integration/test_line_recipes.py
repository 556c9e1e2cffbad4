"""Switching recipes at a named trigger: a scripted inspector for each answer, a real one for the whole way."""

import json
import os
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from appliance.box.process_table import process_table
from appliance.box.supervisor import Supervisor
from appliance.config import load
from appliance.testing.line_stand import LineStand, recipe_text
from appliance.testing.patience import PATIENCE_S
from appliance.testing.whole_appliance import REPOSITORY
from appliance.wire.control_lane import ControlClient
from appliance.wire.verdict_lane import VerdictSubscriber

pytestmark = pytest.mark.timeout(360)  # many processes are started and waited for

RECIPES = {"a": recipe_text("a"), "b": recipe_text("b", score=0.9)}


@pytest.fixture
def stand(tmp_path: Path) -> Iterator[LineStand]:
    with LineStand(tmp_path, recipes=RECIPES) as stand:
        stand.connect()
        yield stand


def at_id(trigger_id: int) -> dict[str, Any]:
    return {"trigger": {"camera": "cam0", "trigger_id": trigger_id}}


def select(stand: LineStand, recipe: str, bind: dict[str, Any]) -> dict[str, Any]:
    """Ask, and play the inspector meanwhile."""
    stand.client._client.socket.send_json({"request": "recipe.select", "recipe": recipe, "from": bind})
    end = time.monotonic() + PATIENCE_S
    while (frames := stand.client._client.receive(0.02)) is None:
        assert time.monotonic() < end
        stand.hear_publisher()
    answer: dict[str, Any] = json.loads(frames[-1])
    return answer


def passes(stand: LineStand, *recipes: str) -> dict[str, Any]:
    """A part passes; the inspector judges it by these recipes."""
    trigger = stand.announce()
    for recipe in recipes:
        stand.find("cam0", trigger, recipe=recipe)
    return stand.verdict_of(trigger)


def test_a_switch_holds_from_its_trigger_on_and_through_restarts(stand: LineStand) -> None:
    next_id = stand.pens["cam0"].next_trigger_id
    assert select(stand, "b", at_id(next_id + 2))["status"] == "ok"
    a, b = stand.reference("a"), stand.reference("b")
    assert stand.recipes_told == [[a["sha256"], b["sha256"]]]
    assert stand.status_of("recipe.select", recipe="b", **{"from": at_id(next_id + 2)}) == "duplicate"
    assert stand.status_of("recipe.select", recipe="a", **{"from": at_id(next_id + 2)}) == "conflict"
    used = [passes(stand, "a", "b")["recipe"] for _ in range(2)]
    stand.kill()
    stand.start()
    stand.connect()
    stand.until(lambda: stand.hear_publisher() or len(stand.recipes_told) == 2)
    assert stand.recipes_told[-1] == stand.recipes_told[0], "a restarted publisher tells a new inspector again"
    used += [passes(stand, "b", "a")["recipe"] for _ in range(2)]
    assert used == [a, a, b, b]
    stand.until(lambda: stand.hear_publisher() or stand.recipes_told[-1] == [b["sha256"]])
    verdict = passes(stand, "a")
    assert (verdict["verdict"], verdict["reason"]) == ("UNKNOWN", "not_ready"), "judged by the wrong recipe alone"
    stand.inspector.close()
    stand.connect()
    stand.until_state(ready=False, not_ready_because=["the inspector hasn't loaded recipe b"])
    stand.until(lambda: stand.hear_publisher() or stand.states[-1]["ready"])
    assert passes(stand, "b")["recipe"] == b


def test_what_can_not_be_switched_is_refused_clearly(stand: LineStand) -> None:
    def ask(recipe: str, bind: dict[str, Any]) -> tuple[str, str]:
        answer = stand.ask("recipe.select", recipe=recipe, **{"from": bind})
        return answer["status"], answer["message"]

    passed = passes(stand, "a")["views"][0]["trigger_id"]
    assert ask("c", at_id(passed + 5)) == ("unknown", "no recipe 'c' in the configuration; it has a, b")
    assert ask("b", at_id(passed))[0] == "late"
    stand.announce_seen()
    status, message = ask("b", at_id(passed + 1))
    assert status == "late"
    assert "name a later one" in message
    assert ask("b", {"controller_count": 9})[0] == "unknown"
    status, message = ask("b", at_id(passed + 5))  # the inspector says nothing
    assert status == "refused"
    assert "not loaded recipe b in time" in message
    assert passes(stand, "a")["recipe"]["name"] == "a"


def test_a_part_expected_with_another_recipe_is_not_judged_by_this_one(stand: LineStand) -> None:
    next_id = stand.pens["cam0"].next_trigger_id
    assert stand.status_of("part.set", bind=at_id(next_id), part_id="A", recipe="b") == "ok"
    verdict = passes(stand, "a")
    assert (verdict["verdict"], verdict["reason"], verdict["part_id"]) == ("UNKNOWN", "not_ready", "A")
    assert stand.status_of("part.set", bind=at_id(next_id + 1), part_id="B", recipe="a") == "ok"
    assert passes(stand, "a")["verdict"] == "OK"


CONFIG = """
line = "line1"
station = "tabs"
recipe = "{repository}/examples/recipes/deeppcb.toml"
recipes = ["strict.toml"]
models_dir = "{repository}/models"
runtime_dir = "run"
state_dir = "state"
[delivery]
verdict_endpoint = "ipc://{folder}/verdicts"
control_endpoint = "ipc://{folder}/control"
[recorder]
result_endpoint = "ipc://{folder}/results"
replay_endpoint = "ipc://{folder}/replay"
warn_free_mb = 3
evict_free_mb = 2
stop_free_mb = 1
[[cameras]]
name = "cam0"
source = {{ kind = "folder", images = "{repository}/examples/deeppcb", frame_rate_hz = 20 }}
"""


def test_a_real_inspector_changes_its_rules_at_the_very_trigger(tmp_path: Path) -> None:
    """By the strict recipe every class needs a score that no detection has: parts with defects become OK."""
    main = (REPOSITORY / "examples/recipes/deeppcb.toml").read_text()
    lenient = main.replace('name = "deeppcb"', 'name = "lenient"')
    lenient = re.sub(r"score = 0\.\d+", "score = 0.9999", lenient)
    (tmp_path / "strict.toml").write_text(lenient)
    path = tmp_path / "appliance.toml"
    path.write_text(CONFIG.format(repository=REPOSITORY, folder=tmp_path))
    config = load(path)
    lines: list[str] = []
    supervisor = Supervisor(
        process_table(config, path, os.getpid()),
        config.runtime_dir,
        config_path=path,
        environment=os.environ,
        show=lambda name, line: lines.append(f"{name}: {line}"),
    )
    verdicts: list[dict[str, Any]] = []
    with (
        VerdictSubscriber(config.delivery.verdict_endpoint) as lane,
        ControlClient(config.delivery.control_endpoint) as client,
    ):

        def follow(until: int) -> None:
            end = time.monotonic() + PATIENCE_S
            while sum(verdict["verdict"] != "UNKNOWN" for verdict in verdicts) < until:
                assert time.monotonic() < end, f"{len(verdicts)} verdicts; {lines[-5:]}"
                supervisor.step()
                received = lane.receive(0.02)
                if received is not None:
                    verdicts.append(json.loads(received[1]))

        try:
            supervisor.start()
            follow(until=5)
            switch_at = verdicts[-1]["views"][0]["trigger_id"] + 12
            answer = client.ask({"request": "recipe.select", "recipe": "lenient", "from": at_id(switch_at)}, 5)
            assert answer["status"] == "ok", answer
            follow(until=45)
        finally:
            supervisor.close()
    by_id = {verdict["views"][0]["trigger_id"]: verdict for verdict in verdicts}
    before = [by_id[number] for number in sorted(by_id) if number < switch_at]
    after = [by_id[number] for number in sorted(by_id) if number >= switch_at]
    assert {verdict["recipe"]["name"] for verdict in before} == {"deeppcb"}
    assert {verdict["recipe"]["name"] for verdict in after} == {"lenient"}
    assert "NG" in {verdict["verdict"] for verdict in before}
    assert "NG" not in {verdict["verdict"] for verdict in after}
    assert "not_ready" not in {verdict["reason"] for verdict in verdicts}, "no part was judged by the wrong recipe"
