"""How an inspector introduces itself, for tests that play one."""

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

from appliance.messages import ModelIdentity, ModelRef
from appliance.messages.plan import JudgingPlan, PlanReport, PlanState, introduction


def identity_of(ref: ModelRef) -> ModelIdentity:
    """A loaded model, made up from what was asked for."""
    contract = ref.contract_sha256 or hashlib.sha256(ref.name.encode()).hexdigest()
    return ModelIdentity(ref.name, hashlib.sha256(contract.encode()).hexdigest(), contract)


def ready(plans: Sequence[JudgingPlan]) -> list[PlanReport]:
    """Say that all is ready, as an inspector that knows every model."""
    return [PlanReport(plan.recipe_sha256, plan.model, PlanState.READY, identity_of(plan.model)) for plan in plans]


def inspector_hello(recipes: Sequence[Mapping[str, Any]], model: str) -> dict[str, Any]:
    """The first message of an inspector that judges by the first of the recipes, with this model."""
    plans = [JudgingPlan(recipes[0]["sha256"], ModelRef(model))]
    return introduction(recipes, plans, ready(plans))
