"""Which frames are judged by which recipe and model: publisher and inspector talk of it in plans.

    publisher -> inspector   {"plans": [{"recipe_sha256", "model", "spans"}, …]}    judge by these, hold them ready
    inspector -> publisher   {"report": [{"recipe_sha256", "model", "state", …}, …]}    that is how far I am with them

A plan without a span is only to be held ready: its model is loaded, no frame is judged by it yet.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from appliance.messages.model import ModelIdentity, ModelRef

Span = tuple[int | None, int | None]
"""Exposures from the first moment on, before the second, CLOCK_MONOTONIC; None: no limit."""
ALWAYS: tuple[Span, ...] = ((None, None),)
_PLANS, _REPORT = b'{"plans":', b'{"report":'


@dataclass(frozen=True)
class JudgingPlan:
    """A recipe and the model to judge with, for the frames exposed within any of `spans`."""

    recipe_sha256: str
    model: ModelRef
    spans: tuple[Span, ...] = ALWAYS

    @property
    def key(self) -> tuple[str, ModelRef]:
        """What is judged by, whenever."""
        return self.recipe_sha256, self.model

    def covers(self, exposed_ns: int) -> bool:
        """Whether a frame exposed then is to be judged by it."""
        return any(
            (first is None or first <= exposed_ns) and (end is None or exposed_ns < end) for first, end in self.spans
        )


class PlanState(StrEnum):
    """How far the inspector is with a plan."""

    LOADING = "loading"
    READY = "ready"
    FAILED = "failed"


@dataclass(frozen=True)
class PlanReport:
    """What the inspector says of a plan.

    Attributes:
        model: As asked for.
        identity: The loaded model; None while there is none.
        detail: Why it failed, in one line.
    """

    recipe_sha256: str
    model: ModelRef
    state: PlanState
    identity: ModelIdentity | None = None
    detail: str | None = None

    @property
    def key(self) -> tuple[str, ModelRef]:
        """Of the plan that is spoken of."""
        return self.recipe_sha256, self.model


def encode_plans(plans: Sequence[JudgingPlan]) -> bytes:
    """Write the plans that are wanted, the one that most parts need first."""
    return _PLANS + json.dumps([vars(plan) | {"model": vars(plan.model)} for plan in plans]).encode() + b"}"


def decode_plans(message: bytes) -> list[JudgingPlan]:
    """Read what `encode_plans` wrote.

    Raises:
        ValueError: Something else.
    """
    return [
        JudgingPlan(_text(one["recipe_sha256"]), _ref(one["model"]), tuple((first, end) for first, end in one["spans"]))
        for one in _items(message, "plans")
    ]


def encode_report(reports: Sequence[PlanReport]) -> bytes:
    """Write how far the inspector is with its plans."""
    content = [
        vars(report) | {"model": vars(report.model), "identity": vars(report.identity) if report.identity else None}
        for report in reports
    ]
    return _REPORT + json.dumps(content).encode() + b"}"


def introduction(
    recipes: Sequence[Mapping[str, Any]], plans: Sequence[JudgingPlan], reports: Sequence[PlanReport]
) -> dict[str, Any]:
    """What an inspector says of itself first: the recipes it has read, its plans, and how far it is with them."""
    said: dict[str, Any] = {"role": "inspector", "recipes": [dict(recipe) for recipe in recipes]}
    for message in (encode_plans(plans), encode_report(reports)):
        said |= json.loads(message)
    return said


def is_report(message: bytes) -> bool:
    """Whether a message is one of `encode_report`."""
    return message.startswith(_REPORT)


def decode_report(message: bytes) -> list[PlanReport]:
    """Read what `encode_report` wrote.

    Raises:
        ValueError: Something else.
    """
    return [
        PlanReport(
            recipe_sha256=_text(one["recipe_sha256"]),
            model=_ref(one["model"]),
            state=PlanState(one["state"]),
            identity=ModelIdentity.decode(one["identity"]),
            detail=one["detail"],
        )
        for one in _items(message, "report")
    ]


def _items(message: bytes, name: str) -> list[dict[str, Any]]:
    content = json.loads(message)
    items = content.get(name) if isinstance(content, dict) else None
    if not isinstance(items, list) or not all(isinstance(one, dict) for one in items):
        raise ValueError(f"not a list of {name}: {message[:120]!r}")
    return items


def _ref(content: dict[str, Any]) -> ModelRef:
    """Read a reference; it becomes a key, so nothing but text may be in it."""
    ref = ModelRef(**content)
    _text(ref.name)
    if ref.contract_sha256 is not None:
        _text(ref.contract_sha256)
    return ref


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise ValueError(f"text expected, got {value!r:.80}")  # noqa: TRY004 (a message's fault, not a caller's)
    return value
