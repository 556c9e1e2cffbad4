"""The judge: detections and a recipe in, a verdict with its defects out. Pure functions."""

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from appliance.config import Recipe
from appliance.errors import ConfigError, ModelContractMismatch
from appliance.messages import Defect, Measurement, Reason, VerdictWord
from appliance.modelling.detections import Detections

Region = tuple[int, int, int, int]
"""x1, y1, x2, y2 in px of the frame, x2/y2 exclusive."""


class NamesClasses(Protocol):
    """The part of a model bundle that a recipe is checked against."""

    @property
    def name(self) -> str:
        """The bundle's name."""
        ...

    @property
    def class_names(self) -> Sequence[str]:
        """In the order of the model's class ids."""
        ...


@dataclass(frozen=True)
class Judgement:
    """What the judge says of one view.

    Attributes:
        verdict: OK or NG; UNKNOWN when the detections can't be trusted.
        reason: Set when `verdict` is UNKNOWN.
        detail: For people; None when there is nothing to say.
        defects: The detections that make it NG, highest score first.
        near_misses: Detections that no rule counts, highest score first.
    """

    verdict: VerdictWord
    reason: Reason = Reason.NONE
    detail: str | None = None
    defects: tuple[Defect, ...] = ()
    near_misses: tuple[Defect, ...] = ()


def check_recipe(recipe: Recipe, bundle: NamesClasses) -> None:
    """Make sure that every class of the model has a rule, and every rule a class.

    Raises:
        ConfigError: The recipe names a class that the model doesn't know.
        ModelContractMismatch: The model can find a class that the recipe has no rule for.
    """
    where = f"recipe {recipe.name} version {recipe.version}, model {bundle.name}"
    if strange := sorted(set(recipe.classes) - set(bundle.class_names)):
        raise ConfigError(
            f"{where}: the model knows no class {_listed(strange)}; it has {_listed(bundle.class_names)}; "
            f"correct the names under [classes]"
        )
    if without_rule := [name for name in bundle.class_names if name not in recipe.classes]:
        raise ModelContractMismatch(
            f"{where}: no rule for class {_listed(without_rule)}; add [classes.{without_rule[0]}] to the recipe"
        )


def _listed(names: Sequence[str]) -> str:
    return ", ".join(f"'{name}'" for name in names)


def lowest_score(recipe: Recipe) -> float:
    """Give the score below which no rule and no person needs a detection."""
    return min(recipe.near_miss_score, *(rule.score for rule in recipe.classes.values()))


def outside(region: Region, width_px: int, height_px: int) -> Judgement | None:
    """Answer a view that its frame doesn't show whole; None when it does."""
    if region[2] <= width_px and region[3] <= height_px:
        return None
    told = f"the view {list(region)} doesn't lie inside the frame of {width_px}x{height_px} px; correct region_px"
    return Judgement(VerdictWord.UNKNOWN, Reason.IMAGE_INVALID, told)


def judge(detections: Detections, class_names: Sequence[str], recipe: Recipe, region: Region) -> Judgement:
    """Apply the recipe's rules to the detections of one view.

    Args:
        detections: Of the whole frame; those whose centre lies outside `region` belong to another view.
        class_names: In the order of the model's class ids; each has a rule (`check_recipe`).
        recipe: The rules.
        region: The view that is judged.
    """
    found = _found(detections, class_names, recipe)
    if not all(_is_finite(defect) for defect in found):
        return Judgement(VerdictWord.UNKNOWN, Reason.MODEL_ERROR, "the model gave a score or box that is not finite")
    in_view = [defect for defect in found if _lies_in(defect, region)]
    fitting = Counter(defect.class_name for defect in in_view if _fits(defect, recipe))
    convicted = {name for name, count in fitting.items() if count >= recipe.classes[name].min_count}
    defects: list[Defect] = []
    near_misses: list[Defect] = []
    for defect in sorted(in_view, key=lambda one: -one.score):
        counts = defect.class_name in convicted and _fits(defect, recipe)
        (defects if counts else near_misses).append(defect)
    return Judgement(
        verdict=VerdictWord.NG if defects else VerdictWord.OK,
        defects=tuple(defects),
        near_misses=tuple(miss for miss in near_misses if miss.score >= recipe.near_miss_score),
    )


def _found(detections: Detections, class_names: Sequence[str], recipe: Recipe) -> list[Defect]:
    """Give each detection a name; rounded first, so that rules judge the very numbers that are published."""
    rows = zip(
        detections.boxes_in_image.tolist(), detections.scores.tolist(), detections.class_ids.tolist(), strict=True
    )
    return [
        Defect(
            class_name=class_names[class_id],
            score=round(score, 4),
            box_px=(round(x1, 2), round(y1, 2), round(x2, 2), round(y2, 2)),
            defect_code=recipe.classes[class_names[class_id]].defect_code,
            measurements=_measured((x1, y1, x2, y2), recipe, class_names[class_id]),
        )
        for (x1, y1, x2, y2), score, class_id in rows
    ]


def _is_finite(defect: Defect) -> bool:
    return math.isfinite(defect.score) and all(map(math.isfinite, defect.box_px))


def _lies_in(defect: Defect, region: Region) -> bool:
    x1, y1, x2, y2 = defect.box_px
    centre_x, centre_y = (x1 + x2) / 2, (y1 + y2) / 2
    return region[0] <= centre_x <= region[2] and region[1] <= centre_y <= region[3]


def _fits(defect: Defect, recipe: Recipe) -> bool:
    rule = recipe.classes[defect.class_name]
    x1, y1, x2, y2 = defect.box_px
    size_px = min(x2 - x1, y2 - y1)
    if defect.score < rule.score or size_px < rule.min_size_px:
        return False
    if recipe.mm_per_px is not None and size_px * recipe.mm_per_px < rule.min_size_mm:
        return False
    x, y = (x1 + x2) / 2, (y1 + y2) / 2
    if rule.zones and not any(recipe.zones[zone].holds(x, y) for zone in rule.zones):
        return False
    return not any(recipe.zones[zone].holds(x, y) for zone in rule.outside_zones)


def _measured(box_px: tuple[float, float, float, float], recipe: Recipe, class_name: str) -> tuple[Measurement, ...]:
    if recipe.mm_per_px is None:
        return ()
    x1, y1, x2, y2 = box_px
    size_mm = min(x2 - x1, y2 - y1) * recipe.mm_per_px
    limit_mm = recipe.classes[class_name].min_size_mm or None
    return (Measurement("shorter_side", round(size_mm, 4), "mm", (None, limit_mm)),)
