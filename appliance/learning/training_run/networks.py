"""The networks that can be trained, and who trains them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from appliance.errors import ConfigError

Backend = Literal["appliance", "libreyolo"]


@dataclass(frozen=True)
class Network:
    """One network.

    Attributes:
        backend: The trainer: this project's own, or libreyolo, each in an environment of its own.
        title: In a few words, for people.
        anchors: How many it has; 0: none.
        is_square: Whether its input must be as wide as high: libreyolo exports no other YOLOX.
    """

    name: str
    backend: Backend
    title: str
    anchors: int = 0
    is_square: bool = False


NETWORKS: dict[str, Network] = {
    network.name: network
    for network in (
        Network("nano", "appliance", "anchor-free, strides 8 and 16, ReLU: small, and quick in INT8"),
        Network("fine", "appliance", "the same with a third level at stride 4: for defects of a few px"),
        Network("small", "appliance", "the same, wider: for textures"),
        Network("yolov3-tiny", "appliance", "Darknet's layout, leaky ReLU", anchors=6),
        Network("yolov3-tiny-relu", "appliance", "Darknet's layout with ReLU: quicker in INT8", anchors=6),
        Network("yolox-nano", "libreyolo", "0.9 M parameters, depthwise, SiLU", is_square=True),
        Network("yolox-tiny", "libreyolo", "5 M parameters, SiLU", is_square=True),
        Network("yolox-s", "libreyolo", "9 M parameters, SiLU", is_square=True),
        Network("yolov9-t", "libreyolo", "2 M parameters, SiLU"),
        Network("yolov9-s", "libreyolo", "7 M parameters, SiLU"),
    )
}


def network_named(name: str) -> Network:
    """Find a network.

    Raises:
        ConfigError: There is none of that name; says which there are.
    """
    network = NETWORKS.get(name)
    if network is None:
        raise ConfigError(f"--network {name}: expected one of {', '.join(NETWORKS)}")
    return network
