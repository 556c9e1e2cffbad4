"""What each set of rules offers; `METHODS` in the package's `__init__` is the table of them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from appliance.errors import DatasetError
from appliance.learning.datasets import LabelledImage, read_image
from appliance.learning.rules.candidate import Called, detections
from appliance.learning.rules.parameter import RuleParameters
from appliance.modelling import Detections
from appliance.modelling.pixels import to_pixel_format


class Method(Protocol):
    """Rules of one kind, in three steps, so that a tuning repeats only what a parameter changes.

    Attributes:
        name: As options and files call it. title: For people.
        knows: What it is given beyond the image, and what follows for a comparison.
        kinds: The classes that it tells apart.
        parameters: All that is set by hand.
    """

    name: str
    title: str
    knows: str
    kinds: tuple[str, ...]
    parameters: type[RuleParameters]

    def can_judge(self, image: LabelledImage) -> bool:
        """Whether it has what it needs for this image."""
        ...

    def view(self, pixels: NDArray[np.uint8], image: LabelledImage) -> Any:
        """Do the work on pixels that no parameter changes.

        Args:
            pixels: (H, W) uint8. image: Where they come from; its labels are none of the rules' business.
        """
        ...

    def candidates(self, view: Any, find: Any) -> Sequence[Any]:
        """Find what may be a defect and measure it; `find` is that group of the parameters."""
        ...

    def called(self, candidates: Sequence[Any], limits: Any) -> Iterable[Called]:
        """Name candidates and hold them against their limits."""
        ...


@dataclass(frozen=True)
class Rules:
    """A method with its parameters, ready to judge images of known classes.

    Attributes:
        class_names: In whose order class ids are given: a model's. renamed: The method's name of a class to these.
    """

    method: Method
    parameters: RuleParameters
    class_names: tuple[str, ...]
    renamed: dict[str, str]

    def detect(self, pixels: NDArray[np.uint8], image: LabelledImage) -> Detections:
        """Find defects in one image, from its pixels to boxes."""
        view = self.method.view(pixels, image)
        candidates = self.method.candidates(view, self.parameters.find)
        return self.judged(candidates, self.parameters, pixels.shape[::-1])

    def judged(self, candidates: Sequence[Any], parameters: RuleParameters, size_px: tuple[int, ...]) -> Detections:
        """Hold measured candidates against limits."""
        margin_px: float = getattr(parameters.limits, "box_margin_px", 0.0)
        called = self.method.called(candidates, parameters.limits)
        named = (Called(self.renamed.get(one.kind, one.kind), one.box, one.excess) for one in called)
        return detections(named, self.class_names, (size_px[0], size_px[1]), margin_px)

    @classmethod
    def of(
        cls,
        method: Method,
        class_names: Sequence[str],
        renamed: dict[str, str] | None = None,
        parameters: RuleParameters | None = None,
    ) -> Rules:
        """Fit a method to a model's classes.

        Raises:
            DatasetError: It knows none of them, or `renamed` names a class that isn't there.
        """
        names = dict(renamed or {})
        if strange := sorted(set(names) - set(method.kinds)) or sorted(set(names.values()) - set(class_names)):
            raise DatasetError(
                f"rules {method.name}: --kind {strange[0]}: expected RULES_CLASS=MODEL_CLASS; the rules tell "
                f"{', '.join(method.kinds)}, the model {', '.join(class_names)}"
            )
        if not {names.get(kind, kind) for kind in method.kinds} & set(class_names):
            raise DatasetError(
                f"rules {method.name}: they tell {', '.join(method.kinds)}, the model {', '.join(class_names)}: "
                f"none in common; --kind {method.kinds[0]}={class_names[0]} names the model's class"
            )
        return cls(method, parameters or method.parameters.model_validate({}), tuple(class_names), names)


def grey(path: Path) -> NDArray[np.uint8]:
    """Read an image as (H, W) uint8.

    Raises:
        DatasetError: It can't be read.
    """
    return to_pixel_format(*read_image(path), "Mono8")
