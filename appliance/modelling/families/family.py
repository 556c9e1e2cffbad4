"""What a decode family is: how its exports are recognised, what a bundle must say of them, how they are decoded."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError

from appliance.config import ConfinedModel, explain
from appliance.errors import ModelContractMismatch
from appliance.modelling.detections import Detections
from appliance.modelling.placement import Placement

if TYPE_CHECKING:
    from appliance.modelling.bundle import ModelBundle
    from appliance.modelling.importer.facts import Claim, GraphFacts

_Options = TypeVar("_Options", bound=ConfinedModel)

OutputShapes = Mapping[str, Sequence[int | str | None]]
"""A session's outputs: name to shape, where a free dimension is a name or None."""


class Decoder(Protocol):
    """Called by the inspector once after each session run, on its own thread."""

    def decode(
        self,
        outputs: Sequence[NDArray[np.float32]],
        placements: Sequence[Placement],
        *,
        score: float,
        nms_iou: float,
        max_detections: int = 100,
    ) -> list[Detections]:
        """Return one item for each placement, in the same order.

        Args:
            outputs: The session's outputs, float32, in its order. Borrowed: not kept.
            placements: How each of the N frames lies in the model input.
            score: Candidates below it are dropped; NaN or infinite candidates always are.
            nms_iou: Of two boxes of one class that overlap more (in model input), the better one stays.
            max_detections: At most so many for each frame, the best ones.

        Raises:
            ModelContractMismatch: An output's shape or dtype differs from what the family promises.
        """
        ...


class NoOptions(ConfinedModel):
    """The `[decode]` table of a family that needs none."""


@dataclass(frozen=True)
class Family:
    """One row of the table of families.

    Attributes:
        name: As `family` in model.toml.
        task: What its detections mean.
        options: Model of the bundle's `[decode]` table.
        decoder: Checks a session's outputs against the bundle and makes the decoder; raises ModelContractMismatch.
        recognise: Looks at a foreign network; None: not of this family.
    """

    name: str
    task: Literal["detect", "anomaly"]
    options: type[ConfinedModel]
    decoder: Callable[[ModelBundle, OutputShapes], Decoder]
    recognise: Callable[[GraphFacts], Claim | None]


def options_of(bundle: ModelBundle, options: type[_Options]) -> _Options:
    """Read a bundle's `[decode]` table as the options of its family.

    Raises:
        ModelContractMismatch: A key is missing, unknown or has a value that the family doesn't know.
    """
    try:
        return options.model_validate(bundle.decode)
    except ValidationError as error:
        raise ModelContractMismatch(
            f"model {bundle.name}: family {bundle.family}: {explain(error, Path('model.toml [decode]'))}"
        ) from error
