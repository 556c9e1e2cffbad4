"""Which recipe a part is inspected by: the one in use at its first trigger. Pure; one owner, the publisher's loop.

A switch names a trigger. It takes effect with the first trigger of that camera that is the named one or a later one;
for other cameras from the moment of that exposure on. The inspector judges each frame by every recipe that may still
matter and the publisher takes the finding of the right one: nobody has to know the moment in advance.
"""

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass

from appliance.clock import NS_PER_S
from appliance.config import ApplianceConfig, load_recipe, recipe_reference
from appliance.delivery.assembly import PartPlan, part_plan
from appliance.errors import ConfigError
from appliance.messages import Trigger, TriggerFlag
from appliance.messages.binding import Binding

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
        refusals: Why a recipe can't be used, by name.
    """

    main: str
    plans: Mapping[str, PartPlan]
    refusals: dict[str, str]


def load_recipes(config: ApplianceConfig) -> RecipeShelf:
    """Read the recipes that the configuration names.

    Raises:
        ConfigError: One can't be used, or two have the same name.
    """
    cameras = [camera.name for camera in config.cameras]
    plans: dict[str, PartPlan] = {}
    refusals: dict[str, str] = {}
    main, model = "", ""
    for path in (config.recipe, *config.recipes):
        recipe = load_recipe(path)
        main, model = main or recipe.name, model or recipe.model
        if recipe.name in plans:
            raise ConfigError(f"{path}: name: recipe '{recipe.name}' is in another file too; give each its own name")
        plans[recipe.name] = part_plan(recipe, recipe_reference(path, recipe), cameras, config.delivery.send_margin_ms)
        if recipe.model != model:
            refusals[recipe.name] = f"it needs model {recipe.model}, {model} is loaded; restart with it as `recipe`"
    return RecipeShelf(main, plans, refusals)


class RecipeBook:
    """The recipe in use, those that follow, and those that were."""

    def __init__(self, shelf: RecipeShelf) -> None:
        self.shelf = shelf
        self._pending: list[Switch] = []
        self._switched: deque[Switched] = deque(maxlen=_REMEMBERED)

    @property
    def current(self) -> PartPlan:
        """The plan of a part whose first trigger comes now."""
        return self.shelf.plans[self._switched[-1].recipe if self._switched else self.shelf.main]

    @property
    def was_changed(self) -> bool:
        """Whether any recipe but the main one plays a part."""
        return bool(self._pending or self._switched)

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
        due = [switch for switch in self._pending if _has_come(switch, camera, trigger, trigger_id_of.get(switch))]
        happened = [Switched(switch.recipe, camera, trigger.trigger_id, trigger.exposed_ns) for switch in due]
        self._switched.extend(happened)
        self._pending = [switch for switch in self._pending if switch not in due]
        return happened

    def plan(self, camera: str, trigger: Trigger) -> PartPlan:
        """Give the plan of a part whose first trigger this is, or was."""
        for switched in reversed(self._switched):
            if switched.concerns(camera, trigger):
                return self.shelf.plans[switched.recipe]
        return self.shelf.plans[self.shelf.main]

    def wanted(self, now_ns: int) -> tuple[PartPlan, ...]:
        """Recipes that the inspector must judge by: the one in use first, those to come, those just left."""
        names = [self.current.name, *(switch.recipe for switch in self._pending)]
        before = self.shelf.main
        for switched in self._switched:
            old = self.shelf.plans[before]
            if now_ns < switched.exposed_ns + old.deadline_ns + _GRACE_NS:
                names.append(before)
            before = switched.recipe
        return tuple(self.shelf.plans[name] for name in dict.fromkeys(names))


def _has_come(switch: Switch, camera: str, trigger: Trigger, counted_id: int | None) -> bool:
    bind = switch.bind
    if bind.trigger is not None:
        return camera == bind.trigger.camera and trigger.trigger_id >= bind.trigger.trigger_id
    if bind.encoder is not None:
        is_counted = TriggerFlag.COUNTED in trigger.flags and camera == bind.encoder.camera
        return is_counted and trigger.encoder_count >= bind.encoder.count - bind.encoder.tolerance
    return counted_id is not None and trigger.trigger_id >= counted_id
