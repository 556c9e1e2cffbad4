"""The recipes of the configuration, read once, with what it takes to judge by them."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from appliance.clock import NS_PER_MS
from appliance.config import ApplianceConfig, Recipe, load_recipe, recipe_reference
from appliance.inspection.judge import Region, lowest_score
from appliance.messages import DEFAULT_VIEW


@dataclass(frozen=True, eq=False)
class LoadedRecipe:
    """A recipe with what it takes to judge by it.

    Attributes:
        reference: Name, version, sha256, as records have it.
        score: Detections below it matter to no rule and to nobody.
        time_to_answer_ns: From exposure to the moment when the publisher needs the finding.
    """

    recipe: Recipe
    reference: dict[str, Any]
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


def load_recipes(config: ApplianceConfig) -> list[LoadedRecipe]:
    """Read all recipes of the configuration, the main one first.

    Raises:
        ConfigError: A recipe can't be read.
    """
    return [_load(config, path) for path in (config.recipe, *config.recipes)]


def _load(config: ApplianceConfig, path: Path) -> LoadedRecipe:
    recipe = load_recipe(path)
    send_margin_ms = min(config.delivery.send_margin_ms, recipe.deadline_ms / 2)  # as the publisher reckons
    return LoadedRecipe(
        recipe=recipe,
        reference=recipe_reference(path, recipe),
        score=lowest_score(recipe),
        time_to_answer_ns=round((recipe.deadline_ms - send_margin_ms) * NS_PER_MS),
    )
