"""Cameras, the sources behind them, and their rings."""

from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from appliance.config.confined import ConfinedModel, Name

FeatureValue = bool | int | float | str


class SimulatorConfig(ConfinedModel):
    """A camera of the project's own GenTL producer, replaying a folder of images."""

    images: Path = Field(description="folder of equally sized images, replayed in order of name")
    line_hz: float = Field(default=0.0, ge=0, le=10_000, description="rate of the simulated trigger line; 0: none")
    transfer_ms: float = Field(default=0.2, ge=0, le=10_000, description="readout and transfer time of a frame")
    clock_drift_ppm: float = Field(default=0.0, ge=-1000, le=1000, description="drift of the camera's clock")


class GenicamSource(ConfinedModel):
    """A GenICam camera behind any GenTL producer."""

    kind: Literal["genicam"]
    serial: str = Field(min_length=1, description="DeviceSerialNumber of the camera")
    producer: Path | None = Field(default=None, description="GenTL producer (.cti); none with [simulator]")
    simulator: SimulatorConfig | None = None
    features: dict[str, FeatureValue] = Field(default={}, description="SFNC features to apply, by name")
    announce: Literal["auto", "ring", "producer"] = Field(
        default="auto",
        description="who owns the frame memory: the ring (zero copy), the producer (one copy), or try in this order",
    )
    transfer_ms: float = Field(
        default=5.0, ge=0, le=10_000, description="worst time from exposure to receipt, where the clock can't be mapped"
    )

    @model_validator(mode="after")
    def _one_producer(self) -> Self:
        if (self.producer is None) == (self.simulator is None):
            raise ValueError("give either producer = '….cti' or a [cameras.source.simulator] section")
        return self


class FolderSource(ConfinedModel):
    """Image files replayed without GenTL, free-running."""

    kind: Literal["folder"]
    images: Path = Field(description="folder of equally sized images, replayed in order of name")
    frame_rate_hz: float = Field(default=10.0, gt=0, le=10_000)
    loop: bool = Field(default=True, description="start over after the last image; else the source ends")


class RingConfig(ConfinedModel):
    """The shared-memory ring between grabber and readers."""

    slots: int = Field(default=32, ge=4, le=128)
    overflow: Literal["drop_newest", "drop_oldest"] = Field(
        default="drop_newest",
        description="what is lost when the inspector is at its quota: the new frame, or the oldest not yet lent",
    )
    lease_quota: int | None = Field(
        default=None,
        ge=1,
        le=126,
        description="most frames lent to the inspector at once; default: all but two, with drop_oldest half",
    )

    @property
    def effective_lease_quota(self) -> int:
        """The quota, chosen where it isn't given: frames must be able to wait for drop_oldest to mean anything."""
        if self.lease_quota is not None:
            return self.lease_quota
        return self.slots // 2 if self.overflow == "drop_oldest" else self.slots


class CameraConfig(ConfinedModel):
    """One camera and its ring."""

    name: Name
    source: Annotated[GenicamSource | FolderSource, Field(discriminator="kind")]
    ring: RingConfig = RingConfig()

    @property
    def replayed_folder(self) -> Path | None:
        """Folder of the images that this camera replays; None for a real camera."""
        if isinstance(self.source, FolderSource):
            return self.source.images
        return self.source.simulator.images if self.source.simulator is not None else None
