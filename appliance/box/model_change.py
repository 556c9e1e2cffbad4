"""Putting a model to work: tested first, then switched by the running publisher, or written down for the next start."""

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from appliance.box.status import read_status
from appliance.clock import rfc3339
from appliance.config import ApplianceConfig, Recipe, load_recipe
from appliance.errors import ConfigError, ModelError, PeerSilent
from appliance.inspection.judge import check_recipe
from appliance.limited import Limits
from appliance.messages import ModelRef
from appliance.modelling import ModelBundle
from appliance.modelling.gate.limits import GateLimits
from appliance.modelling.gate.report import GateReport, Step
from appliance.modelling.gate.verify import verify
from appliance.modelling.signature import SignaturePolicy, load_trusted
from appliance.rollout import AuditEntry, ChoicesFile, ModelChoice, append_audit, model_in_use, read_choices
from appliance.rollout.choices import ChosenModel
from appliance.wire.control_lane import ControlClient
from appliance.wire.sockets import box_keys_for, reachable

ASK_S = 5.0
PATIENCE_S = 75.0
"""The inspector may load for a minute; a publisher that is killed meanwhile is asked again."""


@dataclass(frozen=True)
class Changed:
    """A change that holds.

    Attributes:
        old: The model before; without a hash where the recipe only named it.
        effective_at: RFC 3339, from which exposure on; None: from the next start on.
        was_so: It was in use already.
        gate: What the model passed before; None where it wasn't asked to.
        swap_s: From the request to the answer.
    """

    recipe: str
    old: ModelRef
    new: ModelRef
    effective_at: str | None
    was_so: bool
    gate: GateReport
    swap_s: float


def choose_recipe(config: ApplianceConfig, name: str | None) -> Recipe:
    """Find a recipe of the configuration; without a name, the only one.

    Raises:
        ConfigError: There is none of this name, or several and none was named.
    """
    recipes = {recipe.name: recipe for recipe in map(load_recipe, (config.recipe, *config.recipes))}
    if name is None and len(recipes) == 1:
        return next(iter(recipes.values()))
    if name is None:
        raise ConfigError(f"the configuration has recipes {', '.join(recipes)}; say which one with --recipe")
    if name not in recipes:
        raise ConfigError(f"no recipe '{name}' in the configuration; it has {', '.join(recipes)}")
    return recipes[name]


def previous_model(config: ApplianceConfig, recipe: Recipe) -> ModelRef:
    """What a rollback returns to.

    Raises:
        ConfigError: Nothing was ever activated, or the appliance fell back already.
    """
    choice = read_choices(config.state_dir).of(recipe)
    if choice is None or choice.previous is None:
        raise ConfigError(f"recipe {recipe.name}: no model before {model_in_use_of(config, recipe)} is known")
    return choice.previous.ref


def model_in_use_of(config: ApplianceConfig, recipe: Recipe) -> ModelRef:
    """The model that judges a recipe's parts, by what was chosen."""
    return model_in_use(read_choices(config.state_dir), recipe)


def put_to_work(
    config: ApplianceConfig,
    recipe: Recipe,
    wanted: ModelRef,
    *,
    by: str,
    is_rollback: bool = False,
    report: Callable[[Step], None] = lambda _: None,
) -> Changed:
    """Judge a recipe's parts with another model.

    Args:
        wanted: With a hash: only this very bundle.
        report: Called with each step of the gate that is passed.
    Raises:
        ModelError: The bundle, the gate, the recipe's classes or the inspector refuse it: nothing is changed.
        PeerSilent: The publisher doesn't answer; `appliance status` shows what runs.
    """
    new, passed = let_through(config, recipe, wanted, report)
    file = ChoicesFile(config.state_dir)
    began = time.monotonic()
    try:
        if file.try_lock():
            word = "rolled_back" if is_rollback else "activated"
            old = _write_down(config, file, recipe, new, AuditEntry("", by, word, recipe.name))
            return Changed(recipe.name, old, new, None, old == new, passed, time.monotonic() - began)
    finally:
        file.close()
    old = model_in_use_of(config, recipe)
    answer = _ask(
        config,
        {
            "request": "model.activate",
            "recipe": recipe.name,
            "model": new.name,
            "contract_sha256": new.contract_sha256,
            "by": by,
            "is_rollback": is_rollback,
        },
    )
    if answer["status"] not in {"ok", "duplicate"}:
        raise ModelError(f"not activated: {answer['message']}")
    return Changed(
        recipe=recipe.name,
        old=old,
        new=new,
        effective_at=answer.get("effective_at"),
        was_so=answer["status"] == "duplicate",
        gate=passed,
        swap_s=time.monotonic() - began,
    )


def let_through(
    config: ApplianceConfig, recipe: Recipe, wanted: ModelRef, report: Callable[[Step], None]
) -> tuple[ModelRef, GateReport]:
    """Put a model to the test, for a recipe; gives the very bundle that passed.

    Raises:
        ModelError: As `put_to_work`.
    """
    bundle = load_trusted(config, wanted.name)
    if wanted.contract_sha256 not in {None, bundle.contract_sha256}:
        raise ModelError(
            f"model {wanted.name}: {config.models_dir / wanted.name} holds another bundle now: expected sha256 "
            f"{str(wanted.contract_sha256)[:12]}… of model.toml, got {bundle.contract_sha256[:12]}…; put that one back"
        )
    check_recipe(recipe, bundle)
    return ModelRef(bundle.name, bundle.contract_sha256), _gate(config, bundle, report)


def _gate(config: ApplianceConfig, bundle: ModelBundle, report: Callable[[Step], None]) -> GateReport:
    settings = config.inspector
    # The line comes first: on a busy machine the gate takes ten times as long, and costs no verdict.
    is_running = read_status(config.runtime_dir, "inspect") is not None
    return verify(
        bundle,
        policy=SignaturePolicy.of(config.models),
        limits=GateLimits(child=Limits(gives_way=is_running)),
        provider=settings.execution_provider,
        provider_options=settings.provider_options,
        threads=settings.intra_op_num_threads,
        max_batch=settings.max_batch,
        report=report,
    )


def _ask(config: ApplianceConfig, request: dict[str, Any]) -> dict[str, Any]:
    """Ask until there is an answer: the same again does no harm, and a killed publisher is back soon."""
    endpoint = config.delivery.control_endpoint
    keys = box_keys_for(endpoint, config.effective_keys_dir)
    end = time.monotonic() + PATIENCE_S
    while True:
        try:
            with ControlClient(reachable(endpoint), keys) as client:
                return client.ask(request, ASK_S)
        except PeerSilent:
            if time.monotonic() > end:
                raise


def _write_down(
    config: ApplianceConfig, file: ChoicesFile, recipe: Recipe, new: ModelRef, entry: AuditEntry
) -> ModelRef:
    """Nobody runs: the next start finds it. Gives the model before."""
    choices = file.read()
    old = model_in_use(choices, recipe)
    if old == new:
        return old
    choice = ModelChoice(
        model=ChosenModel.of(new),
        recipe_model=recipe.model,
        since=datetime.now(UTC),
        by=entry.by,
        previous=ChosenModel.of(_pinned(config, old)),
    )
    file.write(choices.with_choice(recipe.name, choice))
    now, told = rfc3339(time.time_ns()), "nothing was running"
    append_audit(config.state_dir, replace(entry, at=now, old=vars(old), new=vars(new), detail=told))
    return old


def _pinned(config: ApplianceConfig, ref: ModelRef) -> ModelRef:
    """The bundle that has this name now, where the recipe only gives a name."""
    if ref.contract_sha256 is not None:
        return ref
    try:
        return ModelRef(ref.name, load_trusted(config, ref.name).contract_sha256)
    except ModelError:  # it is gone, or not to be trusted: a rollback will say so
        return ref
