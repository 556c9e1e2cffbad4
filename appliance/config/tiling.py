"""How frames larger than the model's input are cut."""

from pydantic import Field

from appliance.config.confined import ConfinedModel


class Tiling(ConfinedModel):
    """Overlapping tiles; each is one run of the model, so a frame of six tiles costs six."""

    overlap_px: int = Field(ge=16, le=8192, description="neighbouring tiles share so much: the largest defect's size")
    width_px: int | None = Field(default=None, ge=32, le=16384, description="of a tile; default: the model input's")
    height_px: int | None = Field(default=None, ge=32, le=16384, description="of a tile; default: the model input's")
