import os
from pathlib import Path

import numpy as np
import pytest

from appliance.config import Tiling
from appliance.inspection.gather import Gatherer
from appliance.messages import FrameGeometry, Trigger
from appliance.modelling import ModelInput
from appliance.modelling.pixels import to_mono8
from appliance.ring import FrameLease, Generation, RingReader
from appliance.ring.memory import RingLayout, RingMemory

SLOTS = 8


class SmallRing:
    """A ring's memory filled with different noise in each slot, and leases on it."""

    def __init__(self, width: int, height: int, pixel_format: str = "Mono8", tail_bytes: int = 0) -> None:
        self.geometry = FrameGeometry(width, height, pixel_format)
        memory = RingMemory(RingLayout.plan(self.geometry, SLOTS, tail_bytes=tail_bytes))
        noise = np.random.default_rng(0)
        for slot in range(SLOTS):
            memory.writable(slot)[:] = noise.integers(0, 256, memory.layout.stride_bytes, np.uint8)
        self.generation = Generation(1, memory.layout, os.dup(memory.fd))
        self.reader = RingReader(Path("/nonexistent"))
        memory.close()

    def leases(self, *slots: int) -> list[FrameLease]:
        return [FrameLease(self.reader, self.generation, slot, Trigger(slot + 1, 0)) for slot in slots]


def model_input(width: int = 64, height: int = 48, fit: str = "letterbox") -> ModelInput:
    return ModelInput.model_validate(
        {
            "name": "images",
            "layout": "NCHW",
            "dtype": "uint8",
            "pixel_format": "Mono8",
            "height": height,
            "width": width,
            "fit": fit,
        }
    )


def address_of(array: np.ndarray) -> int:
    return int(array.__array_interface__["data"][0])


@pytest.mark.parametrize("slots", [(0,), (5,), (2, 3, 4), (6, 7)])
def test_neighbouring_slots_are_a_batch_without_a_copy(slots: tuple[int, ...]) -> None:
    leases = SmallRing(64, 48).leases(*slots)
    batch = Gatherer(model_input(), max_batch=4).gather(leases)
    assert batch.copies == 0
    assert batch.pixels.shape == (len(slots), 1, 48, 64)
    assert address_of(batch.pixels) == address_of(leases[0].pixels)
    assert not batch.pixels.flags.writeable
    assert all(row.placement.is_identity for row in batch.rows)


@pytest.mark.parametrize("slots", [(0, 2), (7, 0), (3, 2)], ids=["gap", "wrap", "backwards"])
def test_scattered_slots_are_copied_once_in_their_order(slots: tuple[int, ...]) -> None:
    leases = SmallRing(64, 48).leases(*slots)
    batch = Gatherer(model_input(), max_batch=4).gather(leases)
    assert batch.copies == 1
    assert batch.pixels.flags.c_contiguous
    for image, lease in zip(batch.pixels, leases, strict=True):
        assert np.array_equal(image[0], lease.pixels)


def test_padded_ring_gives_one_frame_without_a_copy_but_no_batch() -> None:
    ring = SmallRing(50, 30, tail_bytes=16)
    gatherer = Gatherer(model_input(50, 30), max_batch=4)
    assert gatherer.gather(ring.leases(3)).copies == 0
    assert gatherer.gather(ring.leases(3, 4)).copies == 1


@pytest.mark.parametrize("pixel_format", ["Mono16", "RGB8", "BayerRG8"])
def test_other_formats_are_converted(pixel_format: str) -> None:
    leases = SmallRing(64, 48, pixel_format).leases(1, 2)
    batch = Gatherer(model_input(), max_batch=4).gather(leases)
    assert batch.copies == 1
    assert np.array_equal(batch.pixels[1, 0], to_mono8(leases[1].pixels, pixel_format))


def test_frames_of_another_size_are_letterboxed_with_their_placement() -> None:
    batch = Gatherer(model_input(128, 128), max_batch=4).gather(SmallRing(64, 48).leases(0, 1))
    assert batch.copies == 1
    assert batch.pixels.shape == (2, 1, 128, 128)
    assert {row.placement.scale_x for row in batch.rows} == {2.0}


def test_frame_is_cut_once_for_each_tiling_that_is_asked_of_it() -> None:
    ring, gatherer = SmallRing(160, 48), Gatherer(model_input(), max_batch=2)
    leases = ring.leases(0, 1)
    batch = gatherer.gather(leases, [(Tiling(overlap_px=16),), (None, Tiling(overlap_px=16))])
    assert [(row.frame, row.tiling is None, row.tile.x1) for row in batch.rows] == [
        (0, False, 0),
        (0, False, 48),
        (0, False, 96),
        (1, True, 0),
        (1, False, 0),
        (1, False, 48),
        (1, False, 96),
    ]
    assert np.array_equal(batch.pixels[1, 0], leases[0].pixels[:, 48:112])
    assert batch.pixels.shape == (7, 1, 48, 64)


def test_tiles_may_be_exact_where_the_frame_is_not() -> None:
    gatherer = Gatherer(model_input(fit="exact"), max_batch=2)
    large = FrameGeometry(160, 112, "Mono8")
    assert gatherer.refusal(large) is not None
    assert gatherer.refusal(large, [Tiling(overlap_px=16)]) is None
    told = gatherer.refusal(large, [Tiling(overlap_px=16), Tiling(overlap_px=60)])
    assert told is not None
    assert "expected 0 to 47 px, got 60" in told


def test_next_batch_reuses_the_buffer() -> None:
    ring, gatherer = SmallRing(64, 48), Gatherer(model_input(), max_batch=4)
    first = gatherer.gather(ring.leases(0, 2))
    assert address_of(gatherer.gather(ring.leases(7, 5, 3)).pixels) == address_of(first.pixels)


def test_shape_that_an_exact_model_cannot_take_is_refused_with_the_reason() -> None:
    gatherer = Gatherer(model_input(fit="exact"), max_batch=4)
    assert gatherer.refusal(FrameGeometry(64, 48, "RGB8")) is None
    told = gatherer.refusal(FrameGeometry(65, 48, "Mono8"))
    assert told is not None
    assert "expected 64x48 px, got 65x48" in told
    assert gatherer.refusal(FrameGeometry(65, 48, "Mono8")) == told
