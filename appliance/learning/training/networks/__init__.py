"""The networks that can be trained here, by name. Each file has one: layers, loss, what is exported."""

from __future__ import annotations

from collections.abc import Callable

from appliance.learning.training.networks import nano, yolov3_tiny
from appliance.learning.training.networks.network import Network
from appliance.learning.training.plan import Plan

__all__ = ["NETWORKS", "Network"]

NETWORKS: dict[str, Callable[[Plan], Network]] = {
    "nano": nano.build,
    "fine": nano.build_fine,
    "small": nano.build_small,
    "yolov3-tiny": yolov3_tiny.build,
    "yolov3-tiny-relu": yolov3_tiny.build_relu,
}
