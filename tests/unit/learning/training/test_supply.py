import threading
import time
from pathlib import Path

import numpy as np
import pytest

from appliance.learning.training.ahead import made_ahead
from appliance.learning.training.part import Part
from appliance.learning.training.plan import Plan, Variation
from appliance.learning.training.supply import Supply

PLAN = Plan(
    dataset="",
    class_names=("open", "short", "mousebite", "spur", "copper", "pin-hole"),
    width_px=128,
    height_px=128,
    work="",
    cut_epochs=1,
    frame_epochs=1,
    cut_px=64,
    cuts_in_batch=4,
    frames_in_batch=2,
    variation=Variation(drawn_share=0.3, marked_share=0.3, mosaic_share=0.5),
)


def parts(count=8):
    rng = np.random.default_rng(1)
    return [
        Part(
            path=Path(str(number)),
            part=str(number),
            pixels=rng.integers(0, 256, (128, 128), np.uint8),
            boxes=np.array([[10, 10, 40, 50]], np.float32),
            class_ids=np.array([number % 6], np.int64),
            is_ignored=np.zeros(1, np.bool_),
        )
        for number in range(count)
    ]


def test_an_epoch_has_cuttings_first_and_whole_frames_last():
    supply = Supply(PLAN, parts())
    first, last = (list(supply.batches(epoch)) for epoch in (0, 1))
    assert [len(batch) for batch in first] == [4, 4]
    assert {part.pixels.shape for batch in first for part in batch} == {(64, 64)}
    assert [len(batch) for batch in last] == [2, 2, 2, 2]
    assert {part.pixels.shape for batch in last for part in batch} == {(128, 128)}


def test_an_epoch_is_the_same_whether_or_not_others_came_before():
    straight = Supply(PLAN, parts())
    list(straight.batches(0))
    resumed = Supply(PLAN, parts())
    for one, other in zip(straight.batches(1), resumed.batches(1), strict=True):
        for first, second in zip(one, other, strict=True):
            np.testing.assert_array_equal(first.pixels, second.pixels)
            np.testing.assert_array_equal(first.boxes, second.boxes)


def test_parts_with_boxes_that_count_nowhere_arent_learnt_from():
    unclear = parts(1)[0]
    unclear = Part(**{**vars(unclear), "is_ignored": np.ones(1, np.bool_)})
    assert len(Supply(PLAN, [*parts(3), unclear]).parts) == 3


def test_a_plan_comes_back_from_json_as_it_was():
    assert Plan.from_dict(PLAN.as_dict()) == PLAN


def test_things_made_ahead_keep_their_order():
    assert list(made_ahead(iter(range(50)))) == list(range(50))


def test_what_fails_ahead_is_raised_where_it_is_waited_for():
    def items():
        yield 1
        raise ValueError("no more")

    ahead = made_ahead(items())
    assert next(ahead) == 1
    with pytest.raises(ValueError, match="no more"):
        next(ahead)


def test_the_thread_ends_when_nobody_wants_more():
    def endless():
        while True:
            yield 0

    ahead = made_ahead(endless())
    next(ahead)
    ahead.close()
    deadline = time.monotonic() + 10
    while any(thread.name == "made-ahead" for thread in threading.enumerate()) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not any(thread.name == "made-ahead" for thread in threading.enumerate())
