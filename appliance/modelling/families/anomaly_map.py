"""Decode family `anomaly_map`: how unusual each pixel is, as anomalib exports it; regions of it become detections.

    anomaly_map [N, 1, h, w] or [N, h, w], and where the network gives one: pred_score [N] or [N, 1]

Scores are brought to 0..1 with the threshold at 0.5 as anomalib does: (raw - threshold) / (maximum - minimum) + 0.5.
anomalib 2 does that inside the graph; raw maps need their three numbers in `[decode]`. A region is a set of touching
pixels at or above the score threshold; its score is its maximum. `image_score` is the network's own, else the map's
maximum.
Sources: anomalib post_processing/post_processor.py (`_normalize`), 0.x and 1.x metadata.json.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Literal, Self

import cv2
import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from appliance.config import ConfinedModel
from appliance.modelling.detections import Detections, in_frame
from appliance.modelling.families.anomaly_map_claim import recognise
from appliance.modelling.families.candidates import check_arrays, check_shapes
from appliance.modelling.families.family import Family, OutputShapes, options_of
from appliance.modelling.placement import Placement

if TYPE_CHECKING:
    from appliance.modelling.bundle import ModelBundle

_Array = NDArray[np.float32]


class Scale(ConfinedModel):
    """Brings raw scores to 0..1 with `threshold` at 0.5."""

    threshold: float
    minimum: float
    maximum: float

    @model_validator(mode="after")
    def _has_a_range(self) -> Self:
        if not self.maximum > self.minimum:
            raise ValueError("maximum must be greater than minimum")
        return self

    def applied(self, raw: _Array) -> _Array:
        """Return normalised scores, cut to 0..1."""
        centred = (raw - np.float32(self.threshold)) / np.float32(self.maximum - self.minimum)
        scores: _Array = np.clip(centred + np.float32(0.5), np.float32(0), np.float32(1))
        return scores


class AnomalyMapOptions(ConfinedModel):
    """`[decode]` of the family `anomaly_map`."""

    map_axes: Literal[3, 4] = Field(description="axes of the map output: (N, h, w) or (N, 1, h, w)")
    score_axes: Literal[0, 1, 2] = Field(default=0, description="axes of the image score output; 0: there is none")
    map_scale: Scale | None = Field(default=None, description="for raw maps; absent: the map is in 0..1 already")
    score_scale: Scale | None = Field(default=None, description="for raw image scores; absent: as map_scale")
    crop_px: tuple[int, int] | None = Field(
        default=None, description="width and height of the middle of the model input that the map covers; absent: all"
    )
    smallest_region: int = Field(default=1, ge=1, description="pixels of the map; smaller regions are left out")


class AnomalyMapDecoder:
    """Turn anomaly maps into regions in frame pixels, and a score of the whole frame."""

    def __init__(self, options: AnomalyMapOptions, width_px: int, height_px: int) -> None:
        self.options = options
        covered = options.crop_px or (width_px, height_px)
        self._covered_px = np.array(covered * 2, np.float32)
        self._corner_px = np.array([(width_px - covered[0]) // 2, (height_px - covered[1]) // 2] * 2, np.float32)

    @classmethod
    def for_bundle(cls, bundle: ModelBundle, output_shapes: OutputShapes) -> AnomalyMapDecoder:
        """Check a session's outputs against the bundle and make the decoder.

        Raises:
            ModelContractMismatch: Number or rank of the outputs isn't that of this family, or there are classes.
        """
        options = options_of(bundle, AnomalyMapOptions)
        decoder = cls(options, bundle.input.width, bundle.input.height)
        check_shapes(f"model {bundle.name}: family anomaly_map", list(output_shapes.values()), decoder._shapes(None))
        return decoder

    def decode(
        self,
        outputs: Sequence[NDArray[np.float32]],
        placements: Sequence[Placement],
        *,
        score: float,
        nms_iou: float,  # noqa: ARG002 (the protocol's; regions never overlap)
        max_detections: int = 100,
    ) -> list[Detections]:
        """Decode one session run; as `Decoder.decode`, but regions can't overlap, so `nms_iou` is not used.

        Each item has its `image_score`. A map with NaN has image score NaN and no regions: finite scores alone are
        evidence.
        """
        check_arrays("anomaly_map", outputs, self._shapes(len(placements)))
        maps = self._scaled(outputs[0].reshape(len(placements), *outputs[0].shape[-2:]), self.options.map_scale)
        image_scores = maps.max(axis=(1, 2)) if len(outputs) == 1 else self._image_scores(outputs[1])
        found = []
        for one, image_score, place in zip(maps, image_scores, placements, strict=True):
            if np.isfinite(one).all():
                regions = self._regions(one, place, score, max_detections)
                found.append(replace(regions, image_score=float(image_score)))
            else:
                found.append(replace(Detections.none(), image_score=float("nan")))
        return found

    def _shapes(self, count: int | None) -> tuple[tuple[int | None, ...], ...]:
        one_map = (count, None, None) if self.options.map_axes == 3 else (count, 1, None, None)
        scores = {0: (), 1: ((count,),), 2: ((count, 1),)}[self.options.score_axes]
        return one_map, *scores

    @staticmethod
    def _scaled(raw: _Array, scale: Scale | None) -> _Array:
        return raw if scale is None else scale.applied(raw)

    def _image_scores(self, raw: _Array) -> _Array:
        return self._scaled(raw.reshape(len(raw)), self.options.score_scale or self.options.map_scale)

    def _regions(self, scores: _Array, place: Placement, score: float, max_detections: int) -> Detections:
        """Find the connected regions of one map (h, w)."""
        unusual = (scores >= score).astype(np.uint8)  # NaN compares false
        count, labels, stats, _ = cv2.connectedComponentsWithStats(unusual, connectivity=8)
        large = [one for one in range(1, count) if stats[one, cv2.CC_STAT_AREA] >= self.options.smallest_region]
        if not large:
            return Detections.none()
        highest: _Array = np.zeros(count, np.float32)
        np.maximum.at(highest, labels.astype(np.intp).ravel(), scores.ravel())
        order = sorted(large, key=lambda one: -highest[one])[:max_detections]
        left_top = stats[order, :2].astype(np.float32)
        corners = np.concatenate([left_top, left_top + stats[order, 2:4]], axis=1)
        share = np.array([scores.shape[1], scores.shape[0]] * 2, np.float32)
        boxes = corners * (self._covered_px / share) + self._corner_px
        return in_frame(boxes, highest[order], np.zeros(len(order), np.int64), place)


FAMILY = Family("anomaly_map", "anomaly", AnomalyMapOptions, AnomalyMapDecoder.for_bundle, recognise)
