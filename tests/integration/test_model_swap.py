"""Models change on a running line: between two frames, whatever is killed meanwhile."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from appliance.rollout import read_audit, read_choices
from appliance.testing.model_stand import ModelStand, part_image, recipe_text, white_image

pytestmark = pytest.mark.timeout(360)  # many processes are started and waited for

FAILING = {"one": {}, "two": {"fails_on_white": True}}


@pytest.fixture
def stand(tmp_path: Path) -> Iterator[ModelStand]:
    with ModelStand(tmp_path) as stand:
        yield stand


def assert_exact(stand: ModelStand) -> None:
    stand.drain()
    stand.assert_each_trigger_has_one_verdict()
    stand.assert_models_change_at_their_moments()
    assert {verdict["reason"] for verdict in stand.verdicts} <= {None, "late", "ring_full"}


def test_a_model_takes_over_between_two_frames_and_goes_back(stand: ModelStand) -> None:
    stand.parts(10)
    answer = stand.activate("two")
    assert answer["status"] == "ok", answer
    stand.until_judged_by("two")
    assert stand.activate("two")["status"] == "duplicate"
    choice = read_choices(stand.config.state_dir).recipes["a"]
    assert (choice.model.ref, choice.previous.ref if choice.previous else None) == (stand.ref("two"), stand.ref("one"))
    assert stand.activate("one", is_rollback=True)["status"] == "ok"
    stand.until_judged_by("one")
    assert_exact(stand)
    assert [name for name, _ in stand.moments()] == ["one", "two", "one"]
    assert {verdict["model"]["name"] for verdict in stand.verdicts} == {"one", "two"}
    told = [(entry.by, entry.what, (entry.new or {})["name"]) for entry in read_audit(stand.config.state_dir)]
    assert told == [("test", "activated", "two"), ("test", "rolled_back", "one")]
    events = [record for record in stand.records() if record["kind"] == "model_event"]
    assert [(event["event"], event["old_model"]["name"], event["model"]["name"]) for event in events] == [
        ("activated", "one", "two"),
        ("rolled_back", "two", "one"),
    ]


@pytest.mark.parametrize("victim", ["publish", "inspect"])
def test_kill_9_after_a_change_leaves_the_new_model_in_use(stand: ModelStand, victim: str) -> None:
    stand.parts(5)
    assert stand.activate("two")["status"] == "ok"
    stand.kill(victim)
    stand.until_judged_by("two")
    stand.parts(10)
    stand.drain()
    stand.assert_each_trigger_has_one_verdict()
    stand.assert_models_change_at_their_moments()
    assert [name for name, _ in stand.moments()] == ["one", "two"]


def test_an_inspector_killed_while_it_loads_is_asked_again(stand: ModelStand) -> None:
    stand.parts(5)
    stand.client._client.socket.send_json(stand.activation("two"))
    stand.kill("inspect")
    stand.parts(5)
    stand.until(lambda: stand.moments()[-1][0] == "two")
    stand.until_judged_by("two")
    stand.drain()
    stand.assert_each_trigger_has_one_verdict()
    stand.assert_models_change_at_their_moments()


def test_a_bundle_that_can_not_be_loaded_changes_nothing_and_says_why(stand: ModelStand) -> None:
    stand.parts(5)
    request = stand.activation("two") | {"contract_sha256": "0" * 64}
    answer = stand.ask(request)
    assert answer["status"] == "refused"
    assert "is not the bundle that was activated" in answer["message"]
    assert "\n" not in answer["message"]
    assert stand.ask(stand.activation("two", "b"))["status"] == "unknown"
    stand.parts(5)
    assert_exact(stand)
    assert {verdict["model"]["name"] for verdict in stand.verdicts} == {"one"}
    assert not list(read_audit(stand.config.state_dir))


@pytest.mark.parametrize("is_approved", [True, False])
def test_a_model_that_fails_gives_way_only_where_its_recipe_allows_it(tmp_path: Path, is_approved: bool) -> None:
    top = f"fall_back_to_previous_model = {str(is_approved).lower()}\nmodel_errors_to_fail = 2"
    with ModelStand(tmp_path, recipes={"a": recipe_text("a", "one", top=top)}, models=FAILING) as stand:
        stand.parts(5)
        assert stand.activate("two")["status"] == "ok"
        stand.parts(3)
        stand.image = white_image
        if is_approved:
            stand.until(lambda: stand.moments()[-1][0] == "one")
            stand.parts(5)
            stand.until(lambda: read_choices(stand.config.state_dir).recipes["a"].model.name == "one")
            choice = read_choices(stand.config.state_dir).recipes["a"]
            assert choice.fell_back_from is not None
            assert (choice.fell_back_from.name, choice.previous) == ("two", None)
        else:
            stand.until(lambda: not stand.states[-1]["ready"])
            assert stand.states[-1]["error_id"] == 8
            assert "model two of recipe a fails" in stand.states[-1]["not_ready_because"][0]
            stand.image = part_image
            stand.until(lambda: stand.states[-1]["ready"])
        stand.drain()
        stand.assert_each_trigger_has_one_verdict()
        stand.assert_models_change_at_their_moments()
        assert {verdict["reason"] for verdict in stand.verdicts} <= {None, "late", "ring_full", "model_error"}
        events = [record["event"] for record in stand.records() if record["kind"] == "model_event"]
        assert events == ["activated", "failed", "fell_back"][: 3 if is_approved else 2]
        stand.until(lambda: [entry.what for entry in read_audit(stand.config.state_dir)] == events)


VIEWS = """
assembly_window_ms = 10
[[views]]
name = "top"
camera = "cam0"
[[views]]
name = "side"
camera = "cam1"
offset_ms = 60
"""


def test_parts_that_straddle_the_moment_are_judged_by_one_model_in_all_views(tmp_path: Path) -> None:
    """The second view is exposed 60 ms after the first, parts come each 120 ms: every other change cuts through one."""
    recipes = {"a": recipe_text("a", "one", top=VIEWS)}
    with ModelStand(tmp_path, recipes=recipes, cameras=("cam0", "cam1"), period_s=0.12) as stand:
        stand.ages_ms = {"cam0": 60}
        for model in ("two", "one", "two", "one", "two", "one"):
            stand.parts(3)
            assert stand.activate(model)["status"] == "ok"
        stand.parts(5)
        stand.drain()
        stand.assert_each_trigger_has_one_verdict()
        stand.assert_models_change_at_their_moments()
        assert {len(verdict["views"]) for verdict in stand.verdicts if verdict["verdict"] != "UNKNOWN"} == {2}
        assert "not_ready" not in {verdict["reason"] for verdict in stand.verdicts}
        moments = [from_ns for _, from_ns in stand.moments()][1:]
        spans = [
            sorted(stand.triggers[view["camera"], view["trigger_id"]].exposed_ns for view in verdict["views"])
            for verdict in stand.verdicts
        ]
        assert any(span[0] < moment <= span[-1] for span in spans for moment in moments), "a part was cut through"


TWO_RECIPES = {"a": recipe_text("a", "one"), "b": recipe_text("b", "two")}


def test_a_recipe_with_another_model_is_used_from_its_very_trigger_on(tmp_path: Path) -> None:
    with ModelStand(tmp_path, recipes=TWO_RECIPES) as stand:
        for recipe in ("b", "a"):
            stand.parts(10)
            switch_at = stand.pens["cam0"].next_trigger_id + 100  # far enough not to be near at once
            bind = {"trigger": {"camera": "cam0", "trigger_id": switch_at}}
            assert stand.ask({"request": "recipe.select", "recipe": recipe, "from": bind})["status"] == "ok"
            stand.until(lambda number=switch_at: ("cam0", number + 20) in stand.triggers)  # type: ignore[misc]
            model = "two" if recipe == "b" else "one"
            stand.until(lambda name=model: stand.verdicts[-1]["model"]["name"] == name)  # type: ignore[misc]
            later = [one for one in stand.verdicts if one["views"][0]["trigger_id"] >= switch_at]
            earlier = [one for one in stand.verdicts if switch_at > one["views"][0]["trigger_id"] > switch_at - 100]
            assert {(one["recipe"]["name"], one["model"]["name"]) for one in later} == {(recipe, model)}
            assert recipe not in {one["recipe"]["name"] for one in earlier}
        stand.drain()
        stand.assert_each_trigger_has_one_verdict()
        assert {verdict["reason"] for verdict in stand.verdicts} <= {None, "late", "ring_full"}


def test_a_recipe_whose_model_can_not_be_had_is_not_selected(tmp_path: Path) -> None:
    with ModelStand(tmp_path, recipes=TWO_RECIPES, models={"one": {}}) as stand:
        stand.parts(3)
        bind = {"trigger": {"camera": "cam0", "trigger_id": stand.pens["cam0"].next_trigger_id + 500}}
        answer = stand.ask({"request": "recipe.select", "recipe": "b", "from": bind})
        assert answer["status"] == "refused"
        assert "no such folder" in answer["message"]
        stand.parts(3)
        assert_exact(stand)
