"""Features applied in order, read back, watched."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.capture.features import apply_features, find_drift, in_order, is_same
from appliance.config import FeatureValue
from appliance.errors import FeatureRefused


@dataclass
class PaperCamera:
    """A node map on paper: values, access modes, entries; remembers what was written."""

    values: dict[str, FeatureValue]
    modes: Mapping[str, str] = field(default_factory=dict)
    offered: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    rounding: Mapping[str, FeatureValue] = field(default_factory=dict)
    written: list[tuple[str, FeatureValue]] = field(default_factory=list)

    def access(self, name: str) -> str:
        return self.modes.get(name, "RW") if name in self.values else "NI"

    def read(self, name: str) -> FeatureValue:
        return self.values[name]

    def write(self, name: str, value: FeatureValue) -> None:
        self.written.append((name, value))
        self.values[name] = self.rounding.get(name, value)

    def entries(self, name: str) -> tuple[str, ...]:
        return self.offered.get(name, ())


FACTS_ORDER = [
    "UserSetSelector", "UserSetLoad", "DeviceLinkThroughputLimit", "GevSCPSPacketSize", "BinningHorizontal",
    "PixelFormat", "Width", "Height", "OffsetX", "OffsetY", "ExposureAuto", "GainAuto", "ExposureMode", "ExposureTime",
    "Gain", "BlackLevel", "Gamma", "AcquisitionMode", "AcquisitionFrameRateEnable", "AcquisitionFrameRate",
    "TriggerSelector", "TriggerSource", "TriggerActivation", "TriggerMode", "LineSelector", "LineMode",
    "EncoderResolution", "CounterEventSource", "ChunkModeActive", "ChunkSelector", "ChunkEnable", "PtpEnable", "Vendor",
]  # fmt: skip


@given(st.permutations(FACTS_ORDER))
def test_any_order_in_the_file_becomes_the_camera_order(names: list[str]) -> None:
    ordered = [name for name, _ in in_order(dict.fromkeys(names, 1))]
    free = {"Width", "Height"}, {"OffsetX", "OffsetY"}, {"ExposureAuto", "GainAuto"}, {"LineMode", "EncoderResolution"}

    def canonical(found: list[str]) -> list[int]:
        return [FACTS_ORDER.index(name) for name in found]

    groups_alike = {name: min(FACTS_ORDER.index(other) for other in group) for group in free for name in group}
    ranks = [groups_alike.get(name, canonical([name])[0]) for name in ordered]
    loose = {"DeviceLinkThroughputLimit", "GevSCPSPacketSize", "ExposureTime", "Gain", "BlackLevel", "Gamma"}
    loose |= {"TriggerSource", "TriggerActivation", "LineMode", "EncoderResolution", "CounterEventSource"}
    strict = [rank for rank, name in zip(ranks, ordered, strict=True) if name not in loose]
    assert strict == sorted(strict)


def _with_user_sets() -> PaperCamera:
    return PaperCamera(
        {"UserSetSelector": "UserSet1", "UserSetLoad": False, "Gain": 1.0},
        {"UserSetLoad": "WO"},
        {"UserSetSelector": ("Default", "UserSet1")},
    )


def test_what_an_earlier_configuration_left_is_cleared_first() -> None:
    camera = _with_user_sets()

    apply_features(camera, {"Gain": 2.0}, "cam")

    assert camera.written == [("UserSetSelector", "Default"), ("UserSetLoad", True), ("Gain", 2.0)]


@pytest.mark.parametrize("wish", [{"UserSetLoad": False}, {"UserSetSelector": "UserSet1", "UserSetLoad": True}])
def test_a_configuration_may_choose_its_own_user_set(wish: dict[str, FeatureValue]) -> None:
    camera = _with_user_sets()

    apply_features(camera, wish, "cam")

    assert ("UserSetSelector", "Default") not in camera.written


def test_offsets_are_zeroed_before_the_size_changes() -> None:
    camera = PaperCamera({"Width": 100, "Height": 100, "OffsetX": 40, "OffsetY": 0})

    apply_features(camera, {"OffsetX": 8, "Width": 120}, "cam")

    assert camera.written == [("OffsetX", 0), ("OffsetY", 0), ("Width", 120), ("OffsetX", 8)]


def test_automatics_are_switched_off_first_unless_asked_for() -> None:
    camera = PaperCamera({"ExposureAuto": "Continuous", "ExposureTime": 10.0, "GainAuto": "Once", "Gain": 0.0})

    apply_features(camera, {"ExposureTime": 50.0, "Gain": 1.0, "GainAuto": "Continuous"}, "cam")

    assert camera.written.index(("ExposureAuto", "Off")) < camera.written.index(("ExposureTime", 50.0))
    assert ("GainAuto", "Off") not in camera.written


def test_a_legacy_name_is_used_where_the_camera_has_only_that() -> None:
    camera = PaperCamera({"ExposureTimeAbs": 10.0})

    applied = apply_features(camera, {"ExposureTime": 50.0}, "cam")

    assert camera.values["ExposureTimeAbs"] == 50.0
    assert applied[0].key == "ExposureTime"


def test_a_selector_is_set_before_its_feature() -> None:
    camera = PaperCamera({"LineSelector": "Line0", "LineMode": "Input"}, offered={"LineSelector": ("Line0", "Line1")})

    apply_features(camera, {"LineMode[Line1]": "Output"}, "cam")

    assert camera.written == [("LineSelector", "Line1"), ("LineMode", "Output")]


@dataclass(frozen=True)
class Refusal:
    """A wish that must be refused, and what the message must name."""

    name: str
    camera: PaperCamera
    wish: dict[str, FeatureValue]
    named: str


REFUSALS = (
    Refusal("unknown", PaperCamera({}), {"Exposuretime": 1}, "cam: Exposuretime: no such feature"),
    Refusal("unavailable", PaperCamera({"Gain": 1.0}, {"Gain": "NA"}), {"Gain": 1.0}, "not available"),
    Refusal(
        "read-only", PaperCamera({"SensorWidth": 640}, {"SensorWidth": "RO"}), {"SensorWidth": 800}, "expected 800.*640"
    ),
    Refusal("rounded", PaperCamera({"Width": 1}, rounding={"Width": 96}), {"Width": 100}, "expected 100, got 96"),
    Refusal(
        "no-such-value",
        PaperCamera({"PixelFormat": "Mono8"}, offered={"PixelFormat": ("Mono8", "RGB8")}),
        {"PixelFormat": "Mono12p"},
        "expected one of Mono8, RGB8, got 'Mono12p'",
    ),
    Refusal("no-entry", PaperCamera({"LineMode": "x"}), {"LineMode[Line9]": "Output"}, "no entry 'Line9'"),
    Refusal("no-selector", PaperCamera({"Width": 1}), {"Width[Region1]": 3}, "no selector is known for Width"),
)


@pytest.mark.parametrize("refusal", REFUSALS, ids=lambda refusal: refusal.name)
def test_a_refusal_names_camera_feature_and_values(refusal: Refusal) -> None:
    with pytest.raises(FeatureRefused, match=refusal.named):
        apply_features(refusal.camera, refusal.wish, "cam")


def test_a_read_only_feature_that_fits_is_fine() -> None:
    camera = PaperCamera({"SensorWidth": 640}, {"SensorWidth": "RO"})

    apply_features(camera, {"SensorWidth": 640}, "cam")

    assert camera.written == []


def test_cameras_may_round_numbers_a_little() -> None:
    camera = PaperCamera({"ExposureTime": 1.0}, rounding={"ExposureTime": 99.2})

    applied = apply_features(camera, {"ExposureTime": 100}, "cam")[0]

    assert applied.got == 99.2
    assert find_drift(camera, applied) is None


def test_drift_is_seen_and_named() -> None:
    camera = PaperCamera({"ExposureTime": 1.0})
    applied = apply_features(camera, {"ExposureTime": 100.0}, "cam")[0]
    camera.values["ExposureTime"] = 40.0

    assert find_drift(camera, applied) == "ExposureTime: was 100.0, is 40.0"


@pytest.mark.parametrize(
    ("expected", "got", "same"),
    [
        (1, 1, True),
        (1, 2, False),
        (1, 1.005, True),
        (1.0, 1.05, False),
        ("On", "On", True),
        ("On", "Off", False),
        (True, True, True),
        ("1", 1.0, False),
        (0.0, 0.0, True),
    ],
)
def test_same_means_equal_or_two_percent(expected: FeatureValue, got: FeatureValue, same: bool) -> None:
    assert is_same(expected, got) is same
