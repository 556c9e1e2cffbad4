"""When a detection counts as a defect: score, size, place, number."""

from typing import Self

from pydantic import Field, model_validator

from appliance.config.confined import ConfinedModel, Name

Point = tuple[float, float]


class ClassRule(ConfinedModel):
    """When detections of one class count as defects: all that is given must hold."""

    score: float = Field(gt=0, lt=1, description="detections at or above it count")
    min_size_px: float = Field(default=0.0, ge=0, description="shorter box side must reach it")
    min_size_mm: float = Field(default=0.0, ge=0, description="the same in mm; needs the recipe's mm_per_px")
    min_count: int = Field(default=1, ge=1, description="so many detections make the part NG")
    zones: tuple[Name, ...] = Field(default=(), description="its centre lies in one of these; default: anywhere")
    outside_zones: tuple[Name, ...] = Field(default=(), description="its centre lies in none of these")
    defect_code: str | None = Field(default=None, description="the MES's code for this class")


class Zone(ConfinedModel):
    """A named area of the frame: a region, or a polygon."""

    region_px: tuple[float, float, float, float] | None = Field(default=None, description="x1, y1, x2, y2 in the frame")
    polygon_px: tuple[Point, ...] = Field(default=(), description="corners [x, y] in the frame, at least three")

    @model_validator(mode="after")
    def _is_one_area(self) -> Self:
        if (self.region_px is None) == (not self.polygon_px):
            raise ValueError("a zone is either region_px or polygon_px")
        if self.region_px is not None:
            x1, y1, x2, y2 = self.region_px
            if not (x1 < x2 and y1 < y2):
                raise ValueError(f"region_px must be x1 < x2, y1 < y2, got {self.region_px}")
        elif len(self.polygon_px) < 3:
            raise ValueError(f"polygon_px needs at least three corners, got {len(self.polygon_px)}")
        return self

    def holds(self, x: float, y: float) -> bool:
        """Whether a point of the frame, in px, lies in the zone."""
        if self.region_px is not None:
            x1, y1, x2, y2 = self.region_px
            return x1 <= x < x2 and y1 <= y < y2
        is_inside = False  # even-odd rule: a ray to the right crosses the outline an odd number of times
        for (ax, ay), (bx, by) in zip(self.polygon_px, (*self.polygon_px[1:], self.polygon_px[0]), strict=True):
            if (ay > y) != (by > y) and x < (bx - ax) * (y - ay) / (by - ay) + ax:
                is_inside = not is_inside
        return is_inside
