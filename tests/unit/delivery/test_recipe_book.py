from appliance.delivery.assembly import PartPlan
from appliance.delivery.recipes import RecipeBook, RecipeShelf, Switch, Switched
from appliance.messages import Trigger, TriggerFlag
from appliance.messages.binding import Binding

MS = 1_000_000


def plan(name: str) -> PartPlan:
    return PartPlan({"name": name, "version": 1, "sha256": f"sha-{name}"}, 300 * MS, 10 * MS)


def book() -> RecipeBook:
    return RecipeBook(RecipeShelf("a", {name: plan(name) for name in "abc"}))


def at(trigger_id: int, exposed_ms: int = 0, count: int | None = None) -> Trigger:
    flags = TriggerFlag.COUNTED if count is not None else TriggerFlag(0)
    return Trigger(trigger_id, exposed_ms * MS, encoder_count=count or 0, flags=flags)


def switch(recipe: str, **bind: object) -> Switch:
    return Switch(recipe, Binding.model_validate(bind))


def names(recipes: RecipeBook, now_ms: int) -> list[str]:
    return [one.name for one in recipes.wanted(now_ms * MS)]


def test_a_switch_takes_effect_at_its_trigger_and_stays() -> None:
    recipes = book()
    recipes.select(switch("b", trigger={"camera": "cam0", "trigger_id": 10}))
    assert recipes.see("cam0", at(9, 900), {}) == []
    assert recipes.current.name == "a"
    (switched,) = recipes.see("cam0", at(10, 1000), {})
    assert switched == Switched("b", "cam0", 10, 1000 * MS)
    assert [recipes.plan("cam0", at(number, 100 * number)).name for number in (9, 10, 11)] == ["a", "b", "b"]


def test_other_cameras_follow_from_the_moment_of_the_exposure_on() -> None:
    recipes = book()
    recipes.select(switch("b", trigger={"camera": "cam0", "trigger_id": 10}))
    assert recipes.see("cam1", at(50, 990), {}) == []
    recipes.see("cam0", at(10, 1000), {})
    assert [recipes.plan("cam1", at(50, ms)).name for ms in (999, 1000)] == ["a", "b"]


def test_a_trigger_that_left_no_frame_does_not_keep_the_switch_back() -> None:
    recipes = book()
    recipes.select(switch("b", encoder={"camera": "cam0", "count": 500}))
    assert recipes.see("cam0", at(1, 0, 499), {}) == []
    assert recipes.see("cam0", at(2, 0), {}) == []
    assert len(recipes.see("cam0", at(3, 0, 501), {})) == 1


def test_a_controller_count_switches_where_counts_agree() -> None:
    recipes = book()
    coming = switch("b", controller_count=70)
    recipes.select(coming)
    assert recipes.see("cam0", at(7, 0), {}) == []
    assert recipes.see("cam0", at(7, 0), {coming: None}) == []
    assert len(recipes.see("cam0", at(7, 0), {coming: 7})) == 1


def test_the_inspector_needs_the_old_recipe_a_little_longer_and_the_new_one_before() -> None:
    recipes = book()
    assert names(recipes, 0) == ["a"]
    recipes.select(switch("b", trigger={"camera": "cam0", "trigger_id": 10}))
    recipes.select(switch("c", trigger={"camera": "cam0", "trigger_id": 20}))
    assert names(recipes, 0) == ["a", "b", "c"]
    recipes.see("cam0", at(10, 1000), {})
    assert names(recipes, 1100) == ["b", "c", "a"]
    assert names(recipes, 9000) == ["b", "c"]
    recipes.see("cam0", at(20, 10_000), {})
    assert names(recipes, 10_100) == ["c", "b"]
    assert names(recipes, 19_000) == ["c"]


def test_a_successor_knows_what_was_switched_and_what_is_to_come() -> None:
    recipes = book()
    recipes.select(switch("b", trigger={"camera": "cam0", "trigger_id": 10}))
    recipes.select(switch("a", trigger={"camera": "cam0", "trigger_id": 20}))
    recipes.select(switch("b", trigger={"camera": "cam0", "trigger_id": 30}))
    recipes.restore(Switched("b", "cam0", 10, 1000 * MS))
    assert recipes.current.name == "b"
    assert [one.recipe for one in recipes.pending] == ["a", "b"]
