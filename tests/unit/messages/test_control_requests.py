import contextlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.messages.binding import Binding
from appliance.messages.control import LineResync, PartSet, RecipeSelect, parse_request

TRIGGER = {"trigger": {"camera": "cam0", "trigger_id": 7}}


def test_requests_are_read() -> None:
    part = parse_request({"request": "part.set", "id": 1, "bind": TRIGGER, "part_id": "P-1", "lot": "批次 7"})
    assert isinstance(part, PartSet)
    assert part.bind.key == ("trigger", "cam0", 7)
    assert (part.part_id, part.lot, part.job_id) == ("P-1", "批次 7", None)
    select = parse_request({"request": "recipe.select", "recipe": "b", "from": {"controller_count": 9}})
    assert isinstance(select, RecipeSelect)
    assert str(select.from_) == "controller count 9"
    assert isinstance(parse_request({"request": "line.resync", "controller_count": 0}), LineResync)


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ({}, "request: Unable to extract tag"),
        ([], "valid dictionary"),
        ({"request": "part.get"}, "'part.get'"),
        ({"request": "line.count"}, "controller_count: Field required"),
        ({"request": "line.count", "controller_count": -1}, "controller_count"),
        ({"request": "line.count", "controller_count": True}, "controller_count"),
        ({"request": "line.count", "controller_count": 1.0}, "controller_count"),
        ({"request": "line.count", "controller_count": 2**63}, "controller_count"),
        ({"request": "line.release", "now": 1}, "now: Extra inputs"),
        ({"request": "part.set", "bind": TRIGGER}, "part_id: Field required"),
        ({"request": "part.set", "bind": TRIGGER, "part_id": ""}, "part_id"),
        ({"request": "part.set", "bind": TRIGGER, "part_id": "x" * 65}, "part_id"),
        ({"request": "part.set", "bind": TRIGGER, "part_id": "a\nb"}, "part_id"),
        ({"request": "part.set", "bind": TRIGGER, "part_id": 5}, "part_id"),
        ({"request": "part.set", "bind": {}, "part_id": "P"}, "bind: give exactly one of"),
        ({"request": "part.set", "bind": TRIGGER | {"controller_count": 1}, "part_id": "P"}, "exactly one"),
        ({"request": "part.set", "bind": {"trigger": {"camera": "../x", "trigger_id": 1}}, "part_id": "P"}, "camera"),
        ({"request": "line.state", "id": "x" * 65}, "id"),
        ({"request": "line.state", "id": [1]}, "id"),
    ],
)
def test_what_is_no_request_is_refused_with_the_field_that_is_wrong(content: Any, told: str) -> None:
    with pytest.raises(ValueError) as refused:  # noqa: PT011 (told below)
        parse_request(content)
    assert told in str(refused.value)
    assert "\n" not in str(refused.value)
    assert len(str(refused.value)) < 400


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=12), inner, max_size=4),
)


@given(
    st.dictionaries(
        st.sampled_from(["request", "id", "bind", "part_id", "recipe", "from", "controller_count", "verdict_seq"]),
        _JSON | st.sampled_from(["part.set", "line.count", "recipe.select", "result.ack", "line.resync"]),
    )
)
def test_nothing_that_is_json_raises_anything_but_value_error(content: dict[str, Any]) -> None:
    with contextlib.suppress(ValueError):
        parse_request(content)


def test_equal_triggers_named_alike_have_equal_keys() -> None:
    near = {"encoder": {"camera": "cam0", "count": 5, "tolerance": 2}}
    exact = {"encoder": {"camera": "cam0", "count": 5}}
    assert Binding.model_validate(near).key == Binding.model_validate(exact).key
    assert Binding(controller_count=5).key != Binding.model_validate(exact).key


@pytest.mark.parametrize("depth", [10, 200, 400, 600, 800, 900, 950])
def test_nested_nonsense_is_no_request(depth: int) -> None:
    nested: Any = 1
    for _ in range(depth):
        nested = [nested]
    with pytest.raises(ValueError, match="part_id"):
        parse_request({"request": "part.set", "bind": TRIGGER, "part_id": nested})


def test_half_a_character_is_no_name() -> None:
    with pytest.raises(ValueError, match="part_id"):
        parse_request({"request": "part.set", "bind": TRIGGER, "part_id": "a\ud800"})
