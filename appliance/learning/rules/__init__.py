"""The rule-based rival: classical vision with parameters set by hand, judged by the evaluation that judges models."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from appliance.errors import DatasetError
from appliance.learning.datasets import LabelledImage
from appliance.learning.rules.golden import Golden
from appliance.learning.rules.method import Method, Rules, grey
from appliance.learning.rules.morphology import Morphology
from appliance.learning.rules.parameter import Declared, RuleParameters, declared, flat
from appliance.learning.rules.reference import learn
from appliance.learning.rules.template import Template

__all__ = ["METHODS", "Declared", "Method", "RuleParameters", "Rules", "declared", "flat", "make_method", "suitable"]

METHODS: dict[str, type[Method]] = {one.name: one for one in (Golden, Template, Morphology)}

_WITHOUT_REFERENCE: dict[str, Callable[[], Method]] = {Template.name: Template, Morphology.name: Morphology}


def suitable(file_format: str) -> tuple[str, ...]:
    """Name the methods that fit a kind of data set: boards by template and without, else a golden part."""
    return (Template.name, Morphology.name) if file_format == "deeppcb" else (Golden.name,)


def make_method(name: str, good: Sequence[LabelledImage]) -> Method:
    """Make a method.

    Args:
        good: Images of good parts, for a golden reference; the others need none.
    Raises:
        DatasetError: Too few good parts, or they don't fit each other.
    """
    if name in _WITHOUT_REFERENCE:
        return _WITHOUT_REFERENCE[name]()
    if any(not image.is_ok for image in good):
        raise DatasetError("rules: expected good parts alone for a golden reference, got one with a defect")
    return Golden(learn([grey(image.path) for image in good]))
