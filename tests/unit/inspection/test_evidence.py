from dataclasses import dataclass

import numpy as np
import pytest
from numpy.typing import NDArray

from appliance.config import EvidenceLimits
from appliance.inspection.evidence import Doubt, EvidenceChecker, doubt_image, measure
from appliance.messages import Reason, Trigger

LIMITS = EvidenceLimits(
    mean_grey_min=20,
    mean_grey_max=235,
    saturated_fraction_max=0.2,
    sharpness_min=2,
    dead_row_fraction_max=0.1,
    freshness_window=3,
)


def noise(seed: int = 0, height: int = 96, width: int = 64) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(40, 200, (height, width), np.uint8)


def as_format(grey: NDArray[np.uint8], pixel_format: str) -> NDArray[np.uint8] | NDArray[np.uint16]:
    if pixel_format == "Mono16":
        return grey.astype(np.uint16) << 8
    if pixel_format == "RGB8":
        return np.stack([grey] * 3, axis=2)
    return grey


def flat(value: int) -> NDArray[np.uint8]:
    return np.full((96, 64), value, np.uint8)


def cut_off(rows: int) -> NDArray[np.uint8]:
    image = noise()
    image[-rows:] = 0
    return image


def soft() -> NDArray[np.uint8]:
    return np.tile(np.linspace(60, 120, 64).astype(np.uint8), (96, 1))


def overexposed() -> NDArray[np.uint8]:
    image = noise()
    image[:, :24] = 255
    return image


@dataclass(frozen=True)
class ImageCase:
    name: str
    image: NDArray[np.uint8]
    check: str | None


IMAGES = [
    ImageCase("good", noise(), None),
    ImageCase("black", flat(0), "mean_grey"),
    ImageCase("white", flat(255), "mean_grey"),
    ImageCase("partly_saturated", overexposed(), "saturation"),
    ImageCase("truncated", cut_off(40), "truncation"),
    ImageCase("barely_truncated", cut_off(8), None),
    ImageCase("out_of_focus", soft(), "sharpness"),
]


@pytest.mark.parametrize("pixel_format", ["Mono8", "Mono16", "RGB8", "BayerRG8"])
@pytest.mark.parametrize("case", IMAGES, ids=lambda case: case.name)
def test_each_bad_image_fails_its_own_check(case: ImageCase, pixel_format: str) -> None:
    doubt = doubt_image(measure(as_format(case.image, pixel_format), pixel_format), LIMITS)
    assert (doubt.check if doubt else None) == case.check
    assert doubt is None or doubt.reason is Reason.IMAGE_INVALID


def test_detail_tells_measured_value_and_limit() -> None:
    assert doubt_image(measure(flat(3), "Mono8"), LIMITS) == Doubt(
        "mean_grey", Reason.IMAGE_INVALID, "mean grey 3 is below the limit 20"
    )


def test_measures_are_on_one_grey_scale() -> None:
    grey = noise(height=720)
    in_mono8, in_mono16, in_rgb8 = (measure(as_format(grey, name), name) for name in ("Mono8", "Mono16", "RGB8"))
    assert in_mono16.mean_grey == pytest.approx(in_mono8.mean_grey)
    assert in_rgb8.sharpness == pytest.approx(in_mono8.sharpness)
    sampled = grey[7::8].astype(int)
    assert in_mono8.mean_grey == pytest.approx(sampled.mean())
    assert in_mono8.sharpness == pytest.approx(np.abs(np.diff(sampled, axis=1)).mean())


def test_left_aligned_twelve_bits_saturate() -> None:
    assert measure(np.full((16, 16), 0xFFF0, np.uint16), "Mono16").saturated_fraction == 1


def test_bayer_mosaic_of_a_flat_scene_is_not_taken_for_sharpness() -> None:
    mosaic = np.empty((90, 64), np.uint8)
    mosaic[0::2, 0::2], mosaic[0::2, 1::2], mosaic[1::2, 0::2], mosaic[1::2, 1::2] = 200, 100, 100, 20
    evidence = measure(mosaic, "BayerRG8")
    assert evidence.sharpness == 0
    assert evidence.mean_grey == pytest.approx((200 + 100 + 100 + 20) / 4)


def test_last_row_is_always_looked_at() -> None:
    for height in range(60, 77):
        image = noise(height=height)
        image[-1] = 0
        assert measure(image, "Mono8").dead_row_fraction > 0


def test_dead_rows_are_counted_from_the_end_only() -> None:
    image = noise()
    image[:40] = 0
    assert measure(image, "Mono8").dead_row_fraction == 0
    assert measure(flat(7), "Mono8").dead_row_fraction == 1


def test_tiny_images_can_be_measured() -> None:
    assert measure(np.zeros((1, 1), np.uint8), "Mono8").sharpness == 0
    assert measure(np.zeros((2, 2), np.uint8), "BayerRG8").dead_row_fraction == 1


def check(checker: EvidenceChecker, seed: int, frame_id: int, stream_epoch: int = 1) -> str | None:
    trigger = Trigger(trigger_id=1, exposed_ns=0, frame_id=frame_id, stream_epoch=stream_epoch)
    doubt = checker.check(noise(seed), "Mono8", trigger)
    assert doubt is None or doubt.reason is Reason.STALE_FRAME
    return doubt.check if doubt else None


def test_frozen_picture_is_stale_for_as_long_as_it_stays() -> None:
    checker = EvidenceChecker(LIMITS)
    told = [check(checker, seed=5, frame_id=frame_id) for frame_id in range(1, 8)]
    assert told == [None] + ["pixels_repeated"] * 6


def test_old_picture_is_known_within_the_window_only() -> None:
    checker = EvidenceChecker(LIMITS)
    seeds = [1, 2, 3, 1, 4, 5, 6, 2]
    told = [check(checker, seed=seed, frame_id=number) for number, seed in enumerate(seeds, start=1)]
    assert told == [None, None, None, "pixels_repeated", None, None, None, None]


def test_stale_detail_tells_how_long_ago() -> None:
    checker = EvidenceChecker(LIMITS)
    for frame_id in (1, 2):
        check(checker, seed=frame_id, frame_id=frame_id)
    doubt = checker.check(noise(1), "Mono8", Trigger(trigger_id=3, exposed_ns=0, frame_id=3))
    assert doubt is not None
    assert doubt.detail == "the same pixels as 2 frames before, limit: none of the last 3"


def test_frame_id_may_not_come_twice_in_one_stream() -> None:
    checker = EvidenceChecker(LIMITS)
    assert check(checker, seed=1, frame_id=9) is None
    assert check(checker, seed=2, frame_id=9) == "frame_id_repeated"


def test_new_stream_may_count_from_the_start_but_not_show_the_old_picture() -> None:
    checker = EvidenceChecker(LIMITS)
    assert check(checker, seed=1, frame_id=1, stream_epoch=1) is None
    assert check(checker, seed=2, frame_id=1, stream_epoch=2) is None
    assert check(checker, seed=2, frame_id=2, stream_epoch=2) == "pixels_repeated"


def test_camera_without_frame_ids_is_judged_by_pixels_alone() -> None:
    checker = EvidenceChecker(LIMITS)
    assert [check(checker, seed=seed, frame_id=0) for seed in (1, 2, 2)] == [None, None, "pixels_repeated"]


def test_frozen_black_frame_is_called_invalid_not_stale() -> None:
    checker = EvidenceChecker(LIMITS)
    for frame_id in (1, 2):
        doubt = checker.check(flat(0), "Mono8", Trigger(trigger_id=1, exposed_ns=0, frame_id=frame_id))
        assert doubt is not None
        assert doubt.reason is Reason.IMAGE_INVALID
