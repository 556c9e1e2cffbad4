"""Decode family `ssd`: for each prior a score of every class and a decoded box; the way of SSD and its kin.

    scores  [N, A, C], softmax over classes and a background column, or one sigmoid for each class
    boxes   [N, A, 4], already decoded from the priors

Each class is suppressed for itself, and one prior may name several classes.
Sources: Linzaer/Ultra-Light-Fast-Generic-Face-Detector-1MB run_video_face_detect_onnx.py (`predict`, `hard_nms`),
torchvision models/detection/ssd.py (`postprocess_detections`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from appliance.config import ConfinedModel
from appliance.modelling.detections import Detections
from appliance.modelling.families.candidates import BoxForm, best_in_frame, check_arrays, check_shapes, to_corners
from appliance.modelling.families.evidence import box_form, has_attention, is_probability, rows_sum_to_one
from appliance.modelling.families.family import Family, OutputShapes, options_of
from appliance.modelling.importer.facts import Claim, GraphFacts, Preprocessing
from appliance.modelling.placement import Placement

if TYPE_CHECKING:
    from appliance.modelling.bundle import ModelBundle

_Array = NDArray[np.float32]
_FEWEST_PRIORS = 200
_ULTRAFACE_PRIORS = (4420, 17640)  # of its inputs 320 x 240 and 640 x 480


class SsdOptions(ConfinedModel):
    """`[decode]` of the family `ssd`."""

    boxes: BoxForm
    activation: Literal["none", "softmax", "sigmoid"] = Field(
        default="none", description="what makes scores of outputs"
    )
    background: Literal["first", "last", "none"] = Field(description="score column that means no object")


class SsdDecoder:
    """Turn raw outputs of the `ssd` family into detections in frame pixels."""

    def __init__(self, options: SsdOptions, class_count: int, width_px: int, height_px: int) -> None:
        self.options = options
        self.class_count = class_count
        self._size_px = (width_px, height_px)

    @classmethod
    def for_bundle(cls, bundle: ModelBundle, output_shapes: OutputShapes) -> SsdDecoder:
        """Check a session's outputs against the bundle and make the decoder.

        Raises:
            ModelContractMismatch: Number of outputs, rank or columns aren't those of this family.
        """
        decoder = cls(options_of(bundle, SsdOptions), len(bundle.class_names), bundle.input.width, bundle.input.height)
        check_shapes(
            f"model {bundle.name}: family ssd with {decoder.class_count} classes",
            list(output_shapes.values()),
            decoder._shapes(None),
        )
        return decoder

    def decode(
        self,
        outputs: Sequence[NDArray[np.float32]],
        placements: Sequence[Placement],
        *,
        score: float,
        nms_iou: float,
        max_detections: int = 100,
    ) -> list[Detections]:
        """Decode one session run; as `Decoder.decode`."""
        check_arrays("ssd", outputs, self._shapes(len(placements)))
        found = []
        for raw, boxes, place in zip(*outputs, placements, strict=True):
            scores = self._class_scores(raw)
            priors, class_ids = np.nonzero(scores >= score)
            found.append(
                best_in_frame(
                    to_corners(boxes[priors], self.options.boxes, *self._size_px),
                    scores[priors, class_ids],
                    class_ids.astype(np.int64),
                    place,
                    score=score,
                    nms_iou=nms_iou,
                    max_detections=max_detections,
                )
            )
        return found

    def _shapes(self, count: int | None) -> tuple[tuple[int | None, ...], ...]:
        columns = self.class_count + (self.options.background != "none")
        return (count, None, columns), (count, None, 4)

    def _class_scores(self, raw: NDArray[np.float32]) -> NDArray[np.float32]:
        """Scores (A, C) of the named classes alone."""
        with np.errstate(over="ignore", invalid="ignore"):
            if self.options.activation == "sigmoid":
                raw = np.float32(1) / (np.float32(1) + np.exp(-raw))
            elif self.options.activation == "softmax":
                raised = np.exp(raw - raw.max(axis=1, keepdims=True))
                raw = np.asarray(raised / raised.sum(axis=1, keepdims=True), np.float32)
        return {"first": raw[:, 1:], "last": raw[:, :-1], "none": raw}[self.options.background]


def _recognise(facts: GraphFacts) -> Claim | None:
    """Look for many priors with scores of classes and background, and as many boxes."""
    found = _scores_and_boxes(facts)
    if found is None:
        return None
    (scores_name, scores), (boxes_name, boxes) = found
    columns, form = scores.shape[2], box_form(boxes)
    names = _without_background(facts.class_names)
    background, background_doubts = _background(facts, scores, len(names) if names else None)
    preprocessing, doubts = _preprocessing(facts, *scores.shape[1:])
    return Claim(
        family="ssd",
        seen=f"{scores.shape[1]} priors with {columns} score columns (background {background}) and boxes ({form})",
        decode={
            "boxes": form or "xyxy_normalised",
            "activation": "none" if is_probability(scores) else "softmax",
            "background": background,
        },
        class_count=columns - (background != "none"),
        class_names=names,
        preprocessing=preprocessing,
        score=0.5,
        nms_iou=0.5 if scores.shape[1] in _ULTRAFACE_PRIORS else 0.45,
        outputs=(scores_name, boxes_name),
        doubts=(*_box_doubts(facts, form), *background_doubts, *doubts),
    )


def _scores_and_boxes(facts: GraphFacts) -> tuple[tuple[str, _Array], tuple[str, _Array]] | None:
    """Return name and trial of the two outputs; None where there are others, or where a transformer made them."""
    if len(facts.outputs) != 2 or has_attention(facts) or "NonMaxSuppression" in facts.operators:
        return None
    both = [
        (output.name, np.asarray(array, np.float32)) for output, array in zip(facts.outputs, facts.trial, strict=True)
    ]
    both.sort(key=lambda one: (one[1].ndim == 3 and one[1].shape[2] == 4, "box" in one[0].lower()))
    scores, boxes = both[0][1], both[1][1]
    fits = scores.ndim == boxes.ndim == 3 and boxes.shape[2] == 4 and scores.shape[:2] == boxes.shape[:2]
    return (both[0], both[1]) if fits and scores.shape[1] >= _FEWEST_PRIORS else None


def _without_background(names: tuple[str, ...] | None) -> tuple[str, ...] | None:
    """Leave out the name that label files of SSD give to the background."""
    return tuple(name for name in names if name.lower() not in ("background", "__background__")) if names else None


def _background(facts: GraphFacts, scores: _Array, class_count: int | None) -> tuple[str, tuple[str, ...]]:
    """Find the column that wins nearly everywhere: on any picture most priors see nothing."""
    columns = scores.shape[2]
    wins = np.bincount(scores.argmax(axis=2).ravel(), minlength=columns) / scores[..., 0].size
    exclusive = rows_sum_to_one(scores) or not is_probability(scores)
    if exclusive and columns > 1 and class_count in (None, columns - 1):
        for name, column in (("first", 0), ("last", columns - 1)):
            if wins[column] > 0.5:
                return name, ()
    if not exclusive and class_count == columns:
        return "none", ()
    if "background" in facts.options.decode:
        return str(facts.options.decode["background"]), ()
    return "first", ('which score column means no object: pass --decode background=\'"first"\', "last" or "none"',)


def _box_doubts(facts: GraphFacts, form: str | None) -> tuple[str, ...]:
    if (form is not None and form.startswith("xyxy")) or "boxes" in facts.options.decode:
        return ()
    doubt = (
        "what the boxes are: no corners; offsets to priors can't be decoded without the priors, export with decoded "
        "boxes; for centres and sizes pass --decode boxes='\"cxcywh_normalised\"'"
    )
    return (doubt,)


def _preprocessing(facts: GraphFacts, priors: int, columns: int) -> tuple[Preprocessing, tuple[str, ...]]:
    if priors in _ULTRAFACE_PRIORS and columns == 2 and not facts.stem:
        return Preprocessing("RGB8", 1.0, (127.0,), (128.0,), fit="stretch"), ()
    plain = Preprocessing("RGB8", 255.0, fit="stretch")
    if facts.stem or facts.options.divisor is not None or facts.options.mean is not None:
        return plain, ()
    return plain, ("in which range it reads pixels: pass --divisor, or --mean and --std, as it was trained",)


FAMILY = Family("ssd", "detect", SsdOptions, SsdDecoder.for_bundle, _recognise)
