"""The recipes that frames are judged by: usually one; while a switch is coming, the old one and the new one.

The publisher says which, by their sha256. It alone knows from which trigger on a recipe counts, and takes the finding
of the right one; here every frame is judged by all of them, which costs no second run of the model.
"""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from appliance.clock import NS_PER_MS
from appliance.config import ApplianceConfig, Recipe, load_recipe, recipe_reference
from appliance.errors import ConfigError, ModelContractMismatch
from appliance.inspection.judge import Region, check_recipe, lowest_score
from appliance.messages import DEFAULT_VIEW
from appliance.modelling import ModelBundle

log = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class LoadedRecipe:
    """A recipe with what it takes to judge by it.

    Attributes:
        reference: Name, version, sha256, as records have it.
        refusal: Why it can't be used with the model that is loaded; None when it can.
        score: Detections below it matter to no rule and to nobody.
        time_to_answer_ns: From exposure to the moment when the publisher needs the finding.
    """

    recipe: Recipe
    reference: dict[str, Any]
    refusal: str | None
    score: float
    time_to_answer_ns: int

    @property
    def sha256(self) -> str:
        """The recipe's identity."""
        sha256: str = self.reference["sha256"]
        return sha256

    def views(self, camera: str) -> list[tuple[str, Region | None]]:
        """Name and region of each view that a frame of this camera may show; None: the whole frame.

        A camera that is exposed several times for a part has them all: the publisher knows which exposure it was.
        """
        named = [(view.name, view.region_px) for view in self.recipe.views if view.camera == camera]
        return named or [(DEFAULT_VIEW, None)]


class RecipeSet:
    """All recipes of the configuration, and those in use.

    Attributes:
        main: The one to start with.
        in_use: At least one; the first is the one that most parts need now.
    Raises:
        ConfigError: A recipe can't be read, or the main one names a class that the model doesn't know.
        ModelContractMismatch: The model can find a class that the main one has no rule for.
    """

    def __init__(self, config: ApplianceConfig, bundle: ModelBundle) -> None:
        self.main = _load(config, config.recipe, None)
        check_recipe(self.main.recipe, bundle)
        further = [
            _load(config, path, lambda recipe: _refusal(recipe, self.main.recipe, bundle)) for path in config.recipes
        ]
        self._known = {one.sha256: one for one in (self.main, *further)}
        self.in_use: tuple[LoadedRecipe, ...] = (self.main,)

    @property
    def time_to_answer_ns(self) -> int:
        """The most generous of the recipes in use."""
        return max(one.time_to_answer_ns for one in self.in_use)

    def use(self, sha256s: Sequence[str]) -> list[str]:
        """Judge by these from now on, as far as they are known and usable; gives those in use."""
        wanted = [self._known[sha256] for sha256 in sha256s if sha256 in self._known]
        usable = tuple(one for one in wanted if one.refusal is None)
        if usable:
            self.in_use = usable
            log.info("judging by recipe %s", ", ".join(one.recipe.name for one in usable))
        return self.in_use_sha256s

    @property
    def in_use_sha256s(self) -> list[str]:
        """Of the recipes in use, the first one first."""
        return [one.sha256 for one in self.in_use]

    def introduction(self) -> dict[str, Any]:
        """What the publisher is told of recipes."""
        return {
            "recipe": self.main.reference,
            "recipes": [one.reference | {"refusal": one.refusal} for one in self._known.values()],
        }


def _load(config: ApplianceConfig, path: Path, refusal: Callable[[Recipe], str | None] | None) -> LoadedRecipe:
    recipe = load_recipe(path)
    send_margin_ms = min(config.delivery.send_margin_ms, recipe.deadline_ms / 2)  # as the publisher reckons
    return LoadedRecipe(
        recipe=recipe,
        reference=recipe_reference(path, recipe),
        refusal=refusal(recipe) if refusal is not None else None,
        score=lowest_score(recipe),
        time_to_answer_ns=round((recipe.deadline_ms - send_margin_ms) * NS_PER_MS),
    )


def _refusal(recipe: Recipe, main: Recipe, bundle: ModelBundle) -> str | None:
    if recipe.model != main.model:
        return f"it needs model {recipe.model}, {main.model} is loaded"
    try:
        check_recipe(recipe, bundle)
    except (ConfigError, ModelContractMismatch) as error:
        return str(error)
    return None
