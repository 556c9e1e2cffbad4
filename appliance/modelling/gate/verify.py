"""The gate: a model is whole, signed where that is asked for, harmless to load, runs, and finds what it promised.

hash, signature    here: every file is read once; from now on only those bytes count
start … golden     in a limited child (`trial`), which gets the bytes and nothing else
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from appliance.errors import ModelError
from appliance.limited import run_limited
from appliance.modelling.bundle import ModelBundle
from appliance.modelling.bundle_files import load_bundle
from appliance.modelling.gate.limits import GateLimits
from appliance.modelling.gate.report import STEPS, GateReport, Step, ms_since
from appliance.modelling.gate.trial import trial_blobs, trial_request, try_model
from appliance.modelling.providers import CPU, provider_of
from appliance.modelling.signature import SignaturePolicy


def verify(
    model: Path | ModelBundle,
    *,
    policy: SignaturePolicy | None = None,
    limits: GateLimits | None = None,
    provider: str = CPU,
    threads: int | None = None,
    max_batch: int = 1,
    provider_options: Mapping[str, str] | None = None,
    report: Callable[[Step], None] = lambda _: None,
) -> GateReport:
    """Let a model through the gate, or refuse it. A running appliance isn't touched, nor slowed down much.

    Args:
        model: A bundle's folder, or a bundle that is loaded already.
        policy: Which signatures are asked for; None: any or none.
        limits: What it may take.
        provider: Execution provider that must be live; ONNX Runtime's name, or the short one.
        threads: Of ONNX Runtime; None: all cores but one.
        max_batch: Every batch size up to it is tried.
        provider_options: ONNX Runtime's options for the provider.
        report: Called with each step that is passed, on this thread.
    Raises:
        ModelError: Refused; the message names what is wrong, and what to do.
    """
    limits = limits or GateLimits()
    chosen = provider_of(provider)
    options = {
        "provider": chosen.name,
        "threads": threads,
        "max_batch": max_batch,
        "provider_options": dict(provider_options or {}),
    }
    steps: list[Step] = []

    def passed(step: Step) -> None:
        steps.append(step)
        report(step)

    bundle = _hashed(model, passed)
    _signed(bundle, policy or SignaturePolicy(), passed)
    ran = run_limited(
        try_model,
        trial_request(bundle, options, limits.graph),
        trial_blobs(bundle),
        where=f"model {bundle.name}",
        limits=replace(limits.child, uses_devices=chosen.uses_devices),
        on_progress=lambda told: _hear(told, passed),
    )
    if tuple(step.name for step in steps) != STEPS:
        raise ModelError(f"model {bundle.name}: the limited child told of steps that aren't the gate's")
    return GateReport(
        model=bundle.name,
        sha256=bundle.sha256,
        contract_sha256=bundle.contract_sha256,
        provider=chosen.name,
        steps=tuple(steps),
        rights=ran.rights,
        peak_mb=ran.peak_mb,
    )


def _hashed(model: Path | ModelBundle, passed: Callable[[Step], None]) -> ModelBundle:
    start_ns = time.monotonic_ns()
    bundle = load_bundle(model) if isinstance(model, Path) else model
    total_mb = sum(len(content) for content in bundle.contents.values()) / 1e6
    passed(Step("hash", ms_since(start_ns), f"{len(bundle.contents)} files, {total_mb:.1f} MB, {bundle.sha256[:12]}…"))
    return bundle


def _signed(bundle: ModelBundle, policy: SignaturePolicy, passed: Callable[[Step], None]) -> None:
    start_ns = time.monotonic_ns()
    words = policy.check(bundle)
    passed(Step("signature", ms_since(start_ns), words))


def _hear(told: dict[str, Any], passed: Callable[[Step], None]) -> None:
    """Note what the child tells of a step that it has done; what it is about to do comes without a time."""
    if "ms" in told:
        try:
            passed(Step(str(told["step"]), round(float(told["ms"]), 1), str(told.get("detail", ""))))
        except (KeyError, TypeError, ValueError) as error:
            raise ModelError(f"the limited child told nonsense: {told!s:.80}") from error
