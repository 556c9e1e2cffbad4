"""A recipe: what makes a part of one product good."""

import hashlib
from pathlib import Path
from typing import Any, Self

from pydantic import Field, model_validator

from appliance.config.class_rule import ClassRule, Zone
from appliance.config.confined import ConfinedModel, Name
from appliance.config.tiling import Tiling
from appliance.config.toml import read_toml, validate


class EvidenceLimits(ConfinedModel):
    """What an image must show before OK may be said; measured on a subsample of rows."""

    mean_grey_min: float = Field(ge=0, le=255)
    mean_grey_max: float = Field(ge=0, le=255)
    saturated_fraction_max: float = Field(default=1.0, ge=0, le=1, description="pixels at 255")
    sharpness_min: float = Field(ge=0, description="mean absolute grey difference of horizontal neighbours")
    dead_row_fraction_max: float = Field(default=1.0, ge=0, le=1, description="trailing rows of one single grey value")
    freshness_window: int = Field(default=4, ge=1, le=64, description="a frame may not repeat any of so many before it")


class ViewRule(ConfinedModel):
    """One view of a part: a region of one exposure of one camera."""

    name: Name
    camera: Name
    offset_ms: float = Field(
        default=0.0, ge=0, le=600_000, description="exposure after the part's first one, e.g. a second light"
    )
    region_px: tuple[int, int, int, int] | None = Field(
        default=None, description="x1, y1, x2, y2 in the frame, x2/y2 exclusive; default: all of it"
    )

    @model_validator(mode="after")
    def _region_has_area(self) -> Self:
        if self.region_px is not None:
            x1, y1, x2, y2 = self.region_px
            if not (0 <= x1 < x2 and 0 <= y1 < y2):
                raise ValueError(f"region_px must be x1 < x2, y1 < y2, none negative, got {self.region_px}")
        return self


class Recipe(ConfinedModel):
    """What makes a part good: model, limits and rules for one product."""

    name: Name
    version: int = Field(ge=1)
    model: Name = Field(description="bundle folder under models_dir")
    deadline_ms: float = Field(gt=0, le=600_000, description="from exposure to the verdict's expiry")
    near_miss_score: float = Field(default=0.1, gt=0, lt=1, description="detections kept for people below the rules")
    evidence: EvidenceLimits
    classes: dict[str, ClassRule] = Field(min_length=1)
    zones: dict[Name, Zone] = Field(default={}, description="areas of the frame that class rules name")
    mm_per_px: float | None = Field(default=None, gt=0, le=1000, description="size of a pixel on the part")
    tiling: Tiling | None = Field(default=None, description="cut frames into tiles; default: fit them to the model")
    ok_image_rate: float = Field(default=0.01, ge=0, le=1, description="share of OK parts whose images are kept")
    stop_after_rejects: int = Field(
        default=0, ge=0, le=10_000, description="NG or UNKNOWN verdicts in a row that ask the line to stop; 0: never"
    )
    model_errors_to_fail: int = Field(
        default=3, ge=1, le=1000, description="model errors in a row by which a model counts as failed"
    )
    fall_back_to_previous_model: bool = Field(
        default=False, description="a failed model gives way to the one before it, by itself; else the line isn't ready"
    )
    views: tuple[ViewRule, ...] = Field(
        default=(), max_length=32, description="a part's views; default: each trigger is a part of its own"
    )
    assembly_window_ms: float = Field(
        default=20.0, gt=0, le=60_000, description="views of one part lie this close, their offsets taken off"
    )
    complete_within_ms: float | None = Field(
        default=None, gt=0, le=600_000, description="a view that is missing so long after the first is UNKNOWN"
    )

    @model_validator(mode="after")
    def _rules_have_what_they_need(self) -> Self:
        for name, rule in self.classes.items():
            if strange := [zone for zone in (*rule.zones, *rule.outside_zones) if zone not in self.zones]:
                known = ", ".join(self.zones) or "none"
                raise ValueError(f"class {name} names zone '{strange[0]}', which isn't under [zones] (there: {known})")
            if rule.min_size_mm and self.mm_per_px is None:
                raise ValueError(f"class {name} has min_size_mm; set mm_per_px too, measured with a scale in the image")
        return self

    @model_validator(mode="after")
    def _view_names_differ(self) -> Self:
        names = [view.name for view in self.views]
        if len(set(names)) != len(names):
            raise ValueError(f"view names must differ, got {names}")
        return self


def load_recipe(path: Path) -> Recipe:
    """Read a recipe.

    Raises:
        ConfigError: As `load`.
    """
    return validate(Recipe, read_toml(path), path)


def recipe_reference(path: Path, recipe: Recipe) -> dict[str, Any]:
    """Name a recipe as records do: `name`, `version` and the `sha256` of its file."""
    return {
        "name": recipe.name,
        "version": recipe.version,
        "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
    }
