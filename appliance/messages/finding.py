"""What the inspector found in one frame, on its way to the publisher."""

import json
from dataclasses import dataclass, field
from typing import Any

from appliance.messages.model import ModelIdentity
from appliance.messages.reason import Reason, VerdictWord

DEFAULT_VIEW = "whole"
"""The one view of a part when the recipe names none: the whole frame."""


@dataclass(frozen=True)
class Measurement:
    """A measured quantity of a defect.

    Attributes:
        name: What was measured.
        value: How much, in `unit`.
        limits: Lowest and highest value that is good; None where there is no limit.
        uncertainty: Expanded (k = 2), in `unit`; None when unknown.
    """

    name: str
    value: float
    unit: str
    limits: tuple[float | None, float | None] = (None, None)
    uncertainty: float | None = None


@dataclass(frozen=True)
class Defect:
    """One detection that a recipe's class rule counts.

    Attributes:
        class_name: As the model names it.
        score: 0..1.
        box_px: x1, y1, x2, y2 in pixels of the delivered frame, origin top-left, x2/y2 exclusive.
        defect_code: The recipe's code for the class, as the MES knows it.
        measurements: In real units, where the recipe knows the size of a pixel.
    """

    class_name: str
    score: float
    box_px: tuple[float, float, float, float]
    defect_code: str | None = None
    measurements: tuple[Measurement, ...] = ()


@dataclass(frozen=True)
class FrameEvidence:
    """What was measured in a frame before any model saw it.

    Attributes:
        mean_grey: 0..255.
        saturated_fraction: 0..1 of the samples that are white.
        sharpness: Mean absolute grey difference of horizontal neighbours.
    """

    mean_grey: float
    saturated_fraction: float
    sharpness: float


@dataclass(frozen=True)
class Finding:
    """The inspector's answer for one trigger.

    Attributes:
        camera: Camera name from the configuration.
        trigger_id: The trigger that is answered.
        verdict: What the judge says; the publisher may still be past the deadline.
        reason: Set when `verdict` is UNKNOWN.
        detail: Which check failed and by how much, for people; None when there is nothing to say.
        defects: Detections inside the recipe's rules, highest score first.
        near_misses: Detections that no rule counts, highest score first: for people and for the next training.
        region_px: The view: x1, y1, x2, y2 of the frame region that was inspected.
        stage_ms: Milliseconds per stage, in order of time.
        view: Which of the frame's views; the recipe names them.
        recipe_sha256: The recipe that was applied; None when none was.
        model: The model that was asked, also where the frame was doubted before; None when none was loaded.
        evidence: Of the whole frame, also where it was doubted for it; None when nothing was measured.
    """

    camera: str
    trigger_id: int
    verdict: VerdictWord
    reason: Reason = Reason.NONE
    detail: str | None = None
    defects: tuple[Defect, ...] = ()
    near_misses: tuple[Defect, ...] = ()
    region_px: tuple[int, int, int, int] | None = None
    stage_ms: dict[str, float] = field(default_factory=dict)
    view: str = DEFAULT_VIEW
    recipe_sha256: str | None = None
    model: ModelIdentity | None = None
    evidence: FrameEvidence | None = None

    def encode(self) -> bytes:
        """Encode as compact JSON."""
        # By hand: dataclasses.asdict copies deeply, which costs six times as much on the way of every frame.
        fields = vars(self) | {
            "defects": [_plain(defect) for defect in self.defects],
            "near_misses": [_plain(defect) for defect in self.near_misses],
            "model": vars(self.model) if self.model is not None else None,
            "evidence": vars(self.evidence) if self.evidence is not None else None,
        }
        return json.dumps(fields, separators=(",", ":")).encode()

    @classmethod
    def decode(cls, message: bytes) -> "Finding":
        """Decode what `encode` gave.

        Raises:
            ValueError: Not a finding (bad JSON, unknown or missing field).
        """
        try:
            fields: dict[str, Any] = json.loads(message)
            fields["verdict"] = VerdictWord(fields["verdict"])
            fields["reason"] = Reason(fields["reason"])
            for name in ("defects", "near_misses"):
                fields[name] = tuple(_defect(each) for each in fields[name])
            region = fields["region_px"]
            fields["region_px"] = tuple(region) if region is not None else None
            fields["model"] = ModelIdentity.decode(fields.get("model"))
            evidence = fields.get("evidence")
            fields["evidence"] = FrameEvidence(**evidence) if evidence is not None else None
            return cls(**fields)
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise ValueError(f"not a finding: {error}: {message[:120]!r}") from error


def _plain(defect: Defect) -> dict[str, Any]:
    if not defect.measurements:
        return vars(defect)
    return vars(defect) | {"measurements": [vars(measurement) for measurement in defect.measurements]}


def _defect(fields: dict[str, Any]) -> Defect:
    measured = tuple(Measurement(**(each | {"limits": tuple(each["limits"])})) for each in fields["measurements"])
    return Defect(**(fields | {"box_px": tuple(fields["box_px"]), "measurements": measured}))
