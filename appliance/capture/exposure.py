"""What a camera says of its exposure time and gain, for whoever wants to know how a picture was taken."""

from appliance.capture.features import Nodes
from appliance.errors import FeatureRefused

_FEATURES = {
    "exposure_time_us": ("ExposureTime", "ExposureTimeAbs"),  # the second: before SFNC 2.0
    "gain": ("Gain", "GainRaw"),
}
"""By word of the status: the feature's names, of which the first counts that the camera has. Gain is mostly in dB."""


class Exposure:
    """Follows both; only the owner of the node map may call `read` and `read_next`.

    Attributes:
        values: As last read; None where the camera has no such feature.
    """

    def __init__(self) -> None:
        self.values: dict[str, float | None] = dict.fromkeys(_FEATURES)
        self._turn = 0

    def read(self, nodes: Nodes) -> None:
        """Read both.

        Raises:
            SourceLost: The camera went away.
        """
        for word in _FEATURES:
            self.values[word] = _read(nodes, word)

    def read_next(self, nodes: Nodes) -> None:
        """Read one of them, in turn: automatics may move them while the camera runs; errors as `read`."""
        word = list(_FEATURES)[self._turn % len(_FEATURES)]
        self._turn += 1
        self.values[word] = _read(nodes, word)


def _read(nodes: Nodes, word: str) -> float | None:
    name = next((name for name in _FEATURES[word] if nodes.access(name).startswith("R")), None)
    if name is None:
        return None
    try:
        return round(float(nodes.read(name)), 6)
    except (FeatureRefused, ValueError):  # not now, or no number: nothing that a frame should wait for
        return None
