"""What a network takes for a defect on good parts is shown to it."""

from dataclasses import replace
from pathlib import Path

import numpy as np

from appliance.learning.training.augment import cut
from appliance.learning.training.part import Part
from appliance.learning.training.plan import Plan, Variation
from appliance.learning.training.supply import Supply

SIDE = 64
STILL = Variation(turns=False, flips=False, zoom_share=0, light_share=0, heal_share=0, lure_share=1.0)


def plan(**changed):
    plain = Plan("set", ("burr",), 256, 192, "work", cut_px=SIDE, cut_epochs=1, frame_epochs=1, variation=STILL)
    return replace(plain, **{"cuts_in_batch": 8, "cuts_in_epoch": 64, **changed})


def good_part(number):
    """Return a good part whose pixels all say its number, so that a cutting says where it is from."""
    return Part(
        path=Path(f"{number}.png"),
        part=str(number),
        boxes=np.zeros((0, 4), np.float32),
        class_ids=np.zeros(0, np.int64),
        is_ignored=np.zeros(0, np.bool_),
        pixels=np.full((192, 256), number, np.uint8),
    )


def test_a_cutting_of_a_good_part_mostly_shows_its_lure():
    part = good_part(1)
    pixels = part.pixels.copy()
    pixels[150, 200] = 255
    part = replace(part, pixels=pixels, lures=np.array([[199, 149, 202, 152]], np.float32))
    rng = np.random.default_rng(1)
    shown = sum(bool((cut(part, SIDE, rng).pixels == 255).any()) for _ in range(100))
    assert shown >= 75


def test_good_parts_with_lures_take_the_place_of_others():
    supply = Supply(plan(), [good_part(number) for number in range(8)])
    supply.set_lures({3: [[10, 10, 20, 20]], 5: []})
    origins = {int(part.pixels[0, 0]) for batch in supply.batches(0) for part in batch}
    assert origins == {3}


def test_without_lures_every_part_has_its_turn():
    supply = Supply(plan(), [good_part(number) for number in range(8)])
    origins = {int(part.pixels[0, 0]) for batch in supply.batches(0) for part in batch}
    assert origins == set(range(8))


def test_lures_survive_in_a_checkpoint_and_go_when_the_network_knows_better():
    parts = [good_part(number) for number in range(4)]
    before, after = Supply(plan(), parts), Supply(plan(), parts)
    before.set_lures({1: [[1, 2, 3, 4]], 2: np.ones((2, 4))})
    after.set_lures(before.lures)
    assert after.lures == before.lures
    after.set_lures({1: [], 2: []})
    assert after.lures == {}


def test_lures_are_looked_for_only_where_cuttings_follow():
    supply = Supply(plan(cut_epochs=3), [good_part(number) for number in range(4)])
    assert [supply.looks_for_lures(epoch) for epoch in range(4)] == [True, True, False, False]
    off = replace(STILL, lure_share=0.0)
    assert not Supply(plan(cut_epochs=3, variation=off), [good_part(1)]).looks_for_lures(0)
    assert supply.good_parts(0) == [0, 1, 2, 3]
