from appliance.delivery.assembly import Exposure, PartPlan
from appliance.delivery.models import ModelBook, ModelChange
from appliance.delivery.recipes import RecipeBook, RecipeShelf, Switch
from appliance.messages import ModelRef, Trigger
from appliance.messages.binding import Binding
from appliance.messages.plan import ALWAYS, JudgingPlan

MS = 1_000_000
ONE, TWO = ModelRef("one", "1" * 64), ModelRef("two", "2" * 64)


def plan(name: str, exposures: tuple[Exposure, ...] = ()) -> PartPlan:
    reference = {"name": name, "version": 1, "sha256": f"sha-{name}"}
    return PartPlan(reference, 300 * MS, 10 * MS, exposures=exposures, window_ns=5 * MS)


def change(model: ModelRef, from_ms: int, revision: int, recipe: str = "a") -> ModelChange:
    return ModelChange(recipe, model, from_ms * MS, revision, is_told=True)


def book(*changes: ModelChange, exposures: tuple[Exposure, ...] = ()) -> RecipeBook:
    recipes = RecipeBook(RecipeShelf("a", {name: plan(name, exposures) for name in "ab"}))
    for each in (change(ONE, 0, 0), change(ONE, 0, 0, "b"), *changes):
        recipes.models.restore(each)
    return recipes


def at(trigger_id: int, exposed_ms: int) -> Trigger:
    return Trigger(trigger_id, exposed_ms * MS)


def test_the_model_in_use_at_the_first_exposure_counts() -> None:
    recipes = book(change(TWO, 1000, 1))
    assert [recipes.plan("cam0", at(1, ms)).model for ms in (999, 1000, 1001)] == [ONE, TWO, TWO]


def test_a_moment_may_be_moved_until_somebody_has_heard_of_it() -> None:
    models = ModelBook()
    models.restore(change(ONE, 0, 0))
    models.restore(ModelChange("a", TWO, 1000 * MS, 1))
    assert [one.from_ns for one in models.untold()] == [1000 * MS]
    models.restore(ModelChange("a", TWO, 1500 * MS, 1))
    assert models.at("a", 1200 * MS) == ONE
    assert models.told("a").is_told
    assert models.untold() == []
    assert [one.from_ns for one in models.changes()] == [0, 1500 * MS]


def test_every_frame_is_judged_by_one_model_and_the_old_one_is_let_go_after_its_parts() -> None:
    recipes = book(change(TWO, 1000, 1))
    assert recipes.judging(1100 * MS, {}) == [
        JudgingPlan("sha-a", TWO, ((1000 * MS, None),)),
        JudgingPlan("sha-a", ONE, ((None, 1000 * MS),)),
    ]
    assert recipes.judging(9000 * MS, {}) == [JudgingPlan("sha-a", TWO, ALWAYS)]


def test_views_of_parts_around_the_moment_are_judged_by_both_models() -> None:
    views = (Exposure("cam0", 0, ("top",)), Exposure("cam1", 60 * MS, ("side",)))
    new, old = book(change(TWO, 1000, 1), exposures=views).judging(1100 * MS, {})
    assert new.spans == (((1000 - 10) * MS, None),)
    assert old.spans == ((None, (1000 + 60 + 10) * MS),)
    assert [one.covers(1030 * MS) for one in (new, old)] == [True, True]


def test_recipes_that_share_a_model_are_judged_all_the_time() -> None:
    recipes = book()
    recipes.select(Switch("b", Binding.model_validate({"trigger": {"camera": "cam0", "trigger_id": 900}})))
    assert recipes.judging(0, {}) == [JudgingPlan("sha-a", ONE, ALWAYS), JudgingPlan("sha-b", ONE, ALWAYS)]


def test_a_recipe_with_another_model_is_judged_only_near_its_trigger() -> None:
    recipes = book(change(TWO, 0, 0, "b"))
    recipes.select(Switch("b", Binding.model_validate({"trigger": {"camera": "cam0", "trigger_id": 40}})))
    spans = {}
    for number in range(1, 42):
        recipes.see("cam0", at(number, 100 * number), {})
        spans[number] = {one.model: one.spans for one in recipes.judging(100 * number * MS, {})}
    assert spans[1][TWO] == ALWAYS, "nobody knows how fast the line is"
    assert spans[2][TWO] == ()
    assert spans[36][TWO] == ()
    assert spans[37][TWO] == ALWAYS, "250 ms before it"
    assert (spans[41][ONE], spans[41][TWO]) == (((None, 4000 * MS),), ((4000 * MS, None),))
