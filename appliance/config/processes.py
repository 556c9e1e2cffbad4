"""What configures the processes behind the cameras."""

import ipaddress
from typing import Literal, Self

from pydantic import Field, model_validator

from appliance.config.confined import ConfinedModel, Name


class InspectorConfig(ConfinedModel):
    """The inspector process."""

    execution_provider: Literal[
        "CPUExecutionProvider", "OpenVINOExecutionProvider", "CUDAExecutionProvider", "TensorrtExecutionProvider"
    ] = "CPUExecutionProvider"
    provider_options: dict[str, str] = Field(
        default={}, description='ONNX Runtime\'s options for the provider, e.g. device_type = "GPU" for OpenVINO'
    )
    intra_op_num_threads: int | None = Field(
        default=None, ge=1, le=256, description="threads of ONNX Runtime; default: all cores but one"
    )
    max_batch: int = Field(default=4, ge=1, le=64)
    max_wait_ms: float = Field(default=4.0, ge=0, le=10_000, description="longest wait for a batch to fill")


class DeliveryConfig(ConfinedModel):
    """The publisher process. An endpoint that other machines can reach needs keys (`appliance keys init`)."""

    verdict_endpoint: str = Field(
        default="tcp://127.0.0.1:5571", description="ZeroMQ endpoint that the verdict lane binds"
    )
    control_endpoint: str = Field(
        default="tcp://127.0.0.1:5572", description="ZeroMQ endpoint for requests: part.set, recipe.select, line.…"
    )
    send_margin_ms: float = Field(
        default=10.0, ge=0, le=10_000, description="a verdict is handed to ZeroMQ this long before its deadline"
    )
    spool_max_mb: int = Field(
        default=256, ge=1, le=65_536, description="most memory for records that the recorder has not journalled yet"
    )
    count_tolerance_ms: float = Field(
        default=1000.0, gt=0, le=60_000, description="longest wait for our trigger count to agree with the controller's"
    )


class RecorderConfig(ConfinedModel):
    """The recorder process: journal, images, result lane, retention."""

    result_endpoint: str = Field(
        default="tcp://127.0.0.1:5573", description="ZeroMQ endpoint that the result lane binds"
    )
    replay_endpoint: str = Field(
        default="tcp://127.0.0.1:5574", description="ZeroMQ endpoint for replay and acknowledgements"
    )
    required_consumers: tuple[Name, ...] = Field(
        default=(), description="consumers whose acknowledgement a record waits for before retention may take it"
    )
    group_rows: int = Field(default=16, ge=1, le=1024, description="rows that one durable commit waits for")
    group_ms: float = Field(default=5.0, ge=0, le=1000, description="longest wait for such a group to fill")
    partition_minutes: int = Field(default=60, ge=1, le=1440, description="time span of one journal file")
    image_format: Literal["png", "raw"] = Field(
        default="png", description="lossless both: PNG, or uncompressed PGM/PPM"
    )
    thumbnail_px: int = Field(default=320, ge=64, le=2048, description="longer side of the annotated thumbnail")
    image_queue_mb: int = Field(
        default=64, ge=1, le=65_536, description="pixels that may wait for their encoding; beyond it images are skipped"
    )
    warn_free_mb: int = Field(default=2048, ge=1, description="free disk space below which status and log warn")
    evict_free_mb: int = Field(default=1024, ge=1, description="free disk space below which old data is evicted")
    stop_free_mb: int = Field(default=128, ge=1, description="free disk space below which nothing is written any more")

    @model_validator(mode="after")
    def _levels_descend(self) -> Self:
        if not self.warn_free_mb > self.evict_free_mb > self.stop_free_mb:
            levels = (self.warn_free_mb, self.evict_free_mb, self.stop_free_mb)
            raise ValueError(f"warn_free_mb, evict_free_mb, stop_free_mb must descend, got {levels}")
        return self


class ModbusConfig(ConfinedModel):
    """The Modbus TCP gateway for PLCs; Modbus knows no security."""

    enabled: bool = False
    host: str = Field(default="127.0.0.1", description="IP address to listen on")
    port: int = Field(default=5020, ge=1, le=65_535)
    allow_remote: bool = Field(default=False, description="permits a host that other machines can reach")
    allow_remote_writes: bool = Field(default=False, description="other machines may also give commands")
    show_simulated: bool = Field(default=False, description="show simulated results in place of the line's real ones")
    max_connections: int = Field(default=8, ge=1, le=256, description="masters at a time; further ones are hung up on")
    idle_timeout_s: float = Field(default=60.0, ge=1, le=86_400, description="a master silent so long is hung up on")

    @model_validator(mode="after")
    def _remote_on_purpose(self) -> Self:
        _check_host("Modbus", self.host, allow_remote=self.allow_remote)
        return self


class HealthConfig(ConfinedModel):
    """The health process: plain HTTP for monitoring, to be read only."""

    enabled: bool = False
    host: str = Field(default="127.0.0.1", description="IP address to listen on")
    port: int = Field(default=9570, ge=1, le=65_535)
    allow_remote: bool = Field(default=False, description="permits a host that other machines can reach")

    @model_validator(mode="after")
    def _remote_on_purpose(self) -> Self:
        _check_host("plain HTTP", self.host, allow_remote=self.allow_remote)
        return self


class DriftConfig(ConfinedModel):
    """The drift watcher: compares the newest parts with the model's training pictures and with last week."""

    enabled: bool = True
    window_parts: int = Field(default=500, ge=20, le=1_000_000, description="fewest parts that are compared at a time")
    window_minutes: float = Field(default=15.0, gt=0, le=1440, description="shortest time that these parts span")
    reference_days: int = Field(default=7, ge=1, le=60, description="how much of the past is the reference")
    reference_gap_hours: int = Field(
        default=24, ge=1, le=720, description="the last so many hours are not part of it, so that slow drift is seen"
    )
    reference_hours_min: int = Field(default=24, ge=1, le=720, description="fewest hours with parts of a reference")
    reference_parts_min: int = Field(default=2000, ge=20, description="fewest parts of a reference")
    distance_limit: float = Field(
        default=0.3, gt=0, le=1, description="Kolmogorov-Smirnov distance from last week that matters"
    )
    outside_share_limit: float = Field(
        default=0.2, gt=0, le=1, description="share of parts outside the training pictures' range that matters"
    )
    rate_factor: float = Field(default=2.0, gt=1, le=100, description="ratio of a rate to last week's that matters …")
    rate_difference_min: float = Field(default=0.01, gt=0, le=1, description="… where they differ at least by this")
    clear_at: float = Field(default=0.7, gt=0, le=1, description="share of its limit at which an alarm ends")
    not_ready_on_alarm: bool = Field(default=False, description="/readyz says 503 while an alarm stands")


def _check_host(protocol: str, host: str, *, allow_remote: bool) -> None:
    """Nobody leaves loopback by accident with a protocol that can't tell its clients apart."""
    try:
        is_loopback = ipaddress.ip_address(host).is_loopback
    except ValueError:
        raise ValueError("host must be an IP address, e.g. 127.0.0.1") from None
    if not is_loopback and not allow_remote:
        raise ValueError(
            f"{protocol} has no keys: host {host} lets every machine in; use 127.0.0.1, or set allow_remote = true"
        )
