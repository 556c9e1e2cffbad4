"""Parameters as data: counted from the declaration, kept within limits, written and read again."""

from typing import Any

import pytest

from appliance.config.confined import ConfinedModel
from appliance.errors import ConfigError
from appliance.learning.rules import METHODS, declared, flat
from appliance.learning.rules.parameter import changed
from appliance.learning.rules.rules_file import read_rules, write_rules

EVERY = pytest.mark.parametrize("method", METHODS.values(), ids=list(METHODS))


def numbers_in(model: ConfinedModel) -> int:
    """Count the numbers in the data itself, whatever the declaration says."""

    def count(value: Any) -> int:
        return sum(map(count, value.values())) if isinstance(value, dict) else 1

    return count(model.model_dump())


@EVERY
def test_the_number_of_parameters_is_the_declarations(method):
    default = method.parameters.model_validate({})
    assert len(declared(default)) == len(flat(default)) == numbers_in(default)


@EVERY
def test_each_parameter_has_unit_limits_and_a_sentence_of_its_own(method):
    listed = declared(method.parameters)
    assert all(one.unit and one.low <= one.default <= one.high and len(one.text) > 10 for one in listed)
    assert len({one.text for one in listed}) == len(listed)


@EVERY
def test_parameters_survive_their_file(method, tmp_path):
    default = method.parameters.model_validate({})
    whole = {one.name: one.high for one in declared(default)}
    tuned = changed(default, whole)
    write_rules(tmp_path / "rules.toml", method.name, tuned, {"trials": 3, "nothing": None})
    assert read_rules(tmp_path / "rules.toml", METHODS) == (method.name, tuned)


@EVERY
def test_a_value_beyond_its_limits_is_refused(method):
    default = method.parameters.model_validate({})
    for one in declared(default):
        with pytest.raises(ValueError, match=one.name.split(".")[-1]):
            changed(default, {one.name: one.high + 1})


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "schema_version"),
        ('schema_version = 1\nmethod = "magic"\n', "magic"),
        ('schema_version = 1\nmethod = "golden"\n[limits]\nbur_depth_px = 3\n', "bur_depth_px"),
        ('schema_version = 1\nmethod = "golden"\n[limits]\nburr_depth_px = 300\n', "burr_depth_px"),
        ("schema_version = ", "not valid TOML"),
    ],
)
def test_a_file_that_cant_be_used_is_named_with_what_is_wrong(tmp_path, text, words):
    path = tmp_path / "rules.toml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=words) as raised:
        read_rules(path, METHODS)
    assert str(path) in str(raised.value)
