from dataclasses import dataclass, field

import pytest

from appliance.capture.exposure import Exposure
from appliance.config import FeatureValue
from appliance.errors import FeatureRefused, SourceLost


@dataclass
class PaperCamera:
    """A node map on paper; `trouble` is raised by every reading."""

    values: dict[str, FeatureValue]
    trouble: Exception | None = None
    reads: list[str] = field(default_factory=list)

    def access(self, name: str) -> str:
        return "RW" if name in self.values else "NI"

    def read(self, name: str) -> FeatureValue:
        self.reads.append(name)
        if self.trouble is not None:
            raise self.trouble
        return self.values[name]

    def write(self, name: str, value: FeatureValue) -> None:
        raise AssertionError("nothing is written")

    def entries(self, name: str) -> tuple[str, ...]:
        return ()


def test_exposure_time_and_gain_are_read_under_either_generation_of_names():
    for names in (("ExposureTime", "Gain"), ("ExposureTimeAbs", "GainRaw")):
        exposure = Exposure()
        exposure.read(PaperCamera(dict(zip(names, (250.0, 3), strict=True))))
        assert exposure.values == {"exposure_time_us": 250.0, "gain": 3.0}


def test_one_is_read_at_a_time_while_the_camera_runs():
    exposure, camera = Exposure(), PaperCamera({"ExposureTime": 200.0, "Gain": 0.0})
    for _ in range(4):
        exposure.read_next(camera)
    assert camera.reads == ["ExposureTime", "Gain"] * 2


def test_what_a_camera_has_not_or_will_not_say_is_none():
    exposure = Exposure()
    exposure.read(PaperCamera({"Gain": "high"}))
    assert exposure.values == {"exposure_time_us": None, "gain": None}
    exposure.read(PaperCamera({"ExposureTime": 1.0, "Gain": 1.0}, FeatureRefused("locked")))
    assert exposure.values == {"exposure_time_us": None, "gain": None}


def test_a_lost_camera_is_not_hidden():
    with pytest.raises(SourceLost):
        Exposure().read(PaperCamera({"Gain": 1.0}, SourceLost("gone")))
