"""Which recipe and model a part is inspected by: those in use at its first trigger. Pure; the publisher's loop owns it.

A switch names a trigger. It takes effect with the first trigger of that camera that is the named one or a later one;
for other cameras from the moment of that exposure on. The inspector judges each frame by every recipe that may still
matter and the publisher takes the finding of the right one: nobody has to know the moment in advance. Where recipes
differ in their models, that would run two models on every frame: then only frames near the moment are judged by both.
"""

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from appliance.clock import NS_PER_S
from appliance.config import ApplianceConfig, Recipe, load_recipe, recipe_reference
from appliance.delivery.approach import Approach
from appliance.delivery.assembly import PartPlan, part_plan
from appliance.delivery.models import ModelBook
from appliance.errors import ConfigError
from appliance.messages import ModelRef, Trigger, TriggerFlag
from appliance.messages.binding import Binding
from appliance.messages.plan import ALWAYS, JudgingPlan, Span

MAX_PENDING = 8
"""Switches that may wait for their trigger."""
_REMEMBERED = 8
_GRACE_NS = NS_PER_S  # beyond its deadline nobody needs a finding by the old recipe


@dataclass(frozen=True)
class Switch:
    """A recipe that is used from a trigger on."""

    recipe: str
    bind: Binding


@dataclass(frozen=True)
class Switched:
    """A switch whose trigger came."""

    recipe: str
    camera: str
    trigger_id: int
    exposed_ns: int

    def concerns(self, camera: str, trigger: Trigger) -> bool:
        """Whether a trigger belongs to the time after the switch."""
        if camera == self.camera:
            return trigger.trigger_id >= self.trigger_id
        return trigger.exposed_ns >= self.exposed_ns


@dataclass(frozen=True)
class RecipeShelf:
    """All recipes of the configuration.

    Attributes:
        main: The one that is used until another is selected.
        plans: By name.
        recipes: By name, as they were read.
    """

    main: str
    plans: Mapping[str, PartPlan]
    recipes: Mapping[str, Recipe] = field(default_factory=dict)


def load_recipes(config: ApplianceConfig) -> RecipeShelf:
    """Read the recipes that the configuration names.

    Raises:
        ConfigError: One can't be used, or two have the same name.
    """
    cameras = [camera.name for camera in config.cameras]
    plans: dict[str, PartPlan] = {}
    recipes: dict[str, Recipe] = {}
    for path in (config.recipe, *config.recipes):
        recipe = load_recipe(path)
        if recipe.name in plans:
            raise ConfigError(f"{path}: name: recipe '{recipe.name}' is in another file too; give each its own name")
        plans[recipe.name] = part_plan(recipe, recipe_reference(path, recipe), cameras, config.delivery.send_margin_ms)
        recipes[recipe.name] = recipe
    return RecipeShelf(next(iter(plans)), plans, recipes)


class RecipeBook:
    """The recipe in use, those that follow, and those that were; and the models of each.

    Attributes:
        models: Which model is in use for which recipe, over time.
    """

    def __init__(self, shelf: RecipeShelf) -> None:
        self.shelf = shelf
        self.models = ModelBook()
        self._approach = Approach()
        self._with_model: dict[tuple[str, ModelRef], PartPlan] = {}
        self._pending: list[Switch] = []
        self._switched: deque[Switched] = deque(maxlen=_REMEMBERED)

    @property
    def current(self) -> PartPlan:
        """The plan of a part whose first trigger comes now, and its newest model."""
        return self.newest(self._switched[-1].recipe if self._switched else self.shelf.main)

    @property
    def pending(self) -> list[Switch]:
        """Switches whose trigger hasn't come."""
        return self._pending

    @property
    def switched(self) -> list[Switched]:
        """Switches whose trigger came, oldest first."""
        return list(self._switched)

    def select(self, switch: Switch) -> None:
        """Expect a switch; its trigger has not come."""
        self._pending.append(switch)

    def restore(self, switched: Switched) -> None:
        """Take over what a predecessor saw happen."""
        self._switched.append(switched)
        fired = next((one for one in self._pending if one.recipe == switched.recipe), None)
        self._pending = [one for one in self._pending if one is not fired]

    def see(self, camera: str, trigger: Trigger, trigger_id_of: Mapping[Switch, int | None]) -> list[Switched]:
        """Look whether a trigger makes switches happen; gives those.

        Args:
            trigger_id_of: For each switch bound to the controller's count, the trigger of this camera it means.
        """
        self._approach.see(camera, trigger)
        due = [switch for switch in self._pending if _has_come(switch, camera, trigger, trigger_id_of.get(switch))]
        happened = [Switched(switch.recipe, camera, trigger.trigger_id, trigger.exposed_ns) for switch in due]
        self._switched.extend(happened)
        self._pending = [switch for switch in self._pending if switch not in due]
        return happened

    def plan(self, camera: str, trigger: Trigger) -> PartPlan:
        """Give the plan of a part whose first trigger this is, or was."""
        name = self.shelf.main
        for switched in reversed(self._switched):
            if switched.concerns(camera, trigger):
                name = switched.recipe
                break
        if self.models.newest(name) is None:
            return self.shelf.plans[name]
        return self.plan_with(name, self.models.at(name, trigger.exposed_ns))

    def newest(self, name: str) -> PartPlan:
        """A recipe's plan with the model that it was given last."""
        newest = self.models.newest(name)
        return self.shelf.plans[name] if newest is None else self.plan_with(name, newest.model)

    def plan_with(self, name: str, model: ModelRef) -> PartPlan:
        """A recipe's plan with a model."""
        key = name, model
        if key not in self._with_model:
            self._with_model[key] = replace(self.shelf.plans[name], model=model)
        return self._with_model[key]

    def wanted(self, now_ns: int) -> tuple[PartPlan, ...]:
        """Recipes that matter: the one in use first, those to come, those just left."""
        names = [self.current.name, *(switch.recipe for switch in self._pending)]
        before = self.shelf.main
        for switched in self._switched:
            if not self._is_over(before, switched.exposed_ns, now_ns):
                names.append(before)
            before = switched.recipe
        return tuple(self.newest(name) for name in dict.fromkeys(names))

    def judging(self, now_ns: int, counted_ids: Mapping[Switch, tuple[str, int]]) -> list[JudgingPlan]:
        """Which frames the inspector must judge by which recipe and model, most wanted first.

        Args:
            counted_ids: For switches bound to the controller's count, camera and trigger that it means.
        """
        found: dict[tuple[str, ModelRef], list[Span]] = {}
        for plan in self.wanted(now_ns):
            assert plan.model is not None, "every recipe has a model before anybody judges"
            spans = found.setdefault((plan.name, plan.model), [])
            if any(one.recipe == plan.name and self._is_near(one, counted_ids.get(one)) for one in self._pending):
                spans += ALWAYS
            for first_ns, end_ns in self._recipe_spans(plan.name):
                for model, (from_ns, until_ns) in self.models.spans(plan.name):
                    span = _common((first_ns, end_ns), (from_ns, until_ns))
                    if span is not None and not (span[1] is not None and self._is_over(plan.name, span[1], now_ns)):
                        found.setdefault((plan.name, model), []).append(_with_views(span, plan))
        shares_one_model = len({model for _, model in found}) == 1
        return [
            JudgingPlan(
                self.shelf.plans[name].sha256, model, ALWAYS if shares_one_model else tuple(dict.fromkeys(spans))
            )
            for (name, model), spans in found.items()
        ]

    def _recipe_spans(self, name: str) -> list[Span]:
        """Exposures of the first triggers of parts that are inspected by a recipe."""
        starts = [(self.shelf.main, None), *((one.recipe, one.exposed_ns) for one in self._switched)]
        ends = [*(one.exposed_ns for one in self._switched), None]
        return [(start_ns, end_ns) for (recipe, start_ns), end_ns in zip(starts, ends, strict=True) if recipe == name]

    def _is_over(self, name: str, end_ns: int, now_ns: int) -> bool:
        """Whether no part is open any more whose first trigger was exposed before then."""
        return now_ns >= end_ns + self.shelf.plans[name].deadline_ns + _GRACE_NS

    def _is_near(self, switch: Switch, counted: tuple[str, int] | None) -> bool:
        bind = switch.bind
        if bind.trigger is not None:
            return self._approach.is_near(bind.trigger.camera, bind.trigger.trigger_id)
        if bind.encoder is not None:
            return self._approach.is_encoder_near(bind.encoder.camera, bind.encoder.count - bind.encoder.tolerance)
        return counted is not None and self._approach.is_near(*counted)


def _common(one: Span, other: Span) -> Span | None:
    """Moments that lie in both spans; None where there is none."""
    first = max((start for start, _ in (one, other) if start is not None), default=None)
    end = min((end for _, end in (one, other) if end is not None), default=None)
    return None if first is not None and end is not None and first >= end else (first, end)


def _with_views(span: Span, plan: PartPlan) -> Span:
    """The exposures of all views of parts whose first triggers lie in a span."""
    first, end = span
    return (
        None if first is None else first - plan.earliest_view_ns,
        None if end is None else end + plan.latest_view_ns,
    )


def _has_come(switch: Switch, camera: str, trigger: Trigger, counted_id: int | None) -> bool:
    bind = switch.bind
    if bind.trigger is not None:
        return camera == bind.trigger.camera and trigger.trigger_id >= bind.trigger.trigger_id
    if bind.encoder is not None:
        is_counted = TriggerFlag.COUNTED in trigger.flags and camera == bind.encoder.camera
        return is_counted and trigger.encoder_count >= bind.encoder.count - bind.encoder.tolerance
    return counted_id is not None and trigger.trigger_id >= counted_id
