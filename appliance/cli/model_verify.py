"""`appliance model verify`, `sign` and `keygen`: what a model is, and who vouches for it."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape

from appliance.box.status import read_status
from appliance.box.whereabouts import find_config
from appliance.cli.model_choice import ModelsDirOption, find_bundle
from appliance.cli.options import ConfigOption, JsonOption
from appliance.config import ApplianceConfig, InspectorConfig, load
from appliance.errors import ModelError, NotRunning
from appliance.limited import Limits
from appliance.modelling.gate.limits import GateLimits
from appliance.modelling.gate.report import STEPS, GateReport, Step

# Signature and gate are imported when a command runs: OpenSSL and ONNX Runtime would slow every other command down.

_Names = Annotated[list[str], typer.Argument(metavar="NAME…", help="Models' names, or paths of bundles.")]


def add(app: typer.Typer) -> None:
    """Hang the commands into `appliance model`."""
    app.command("verify")(verify)
    app.command("sign")(sign)
    app.command("keygen")(keygen)


def verify(
    names: _Names,
    *,
    provider: Annotated[
        str | None, typer.Option("--provider", help="Execution provider; default: the configuration's, else CPU.")
    ] = None,
    max_batch: Annotated[
        int | None, typer.Option("--max-batch", min=1, help="Every batch size up to it; default: the configuration's.")
    ] = None,
    memory_mb: Annotated[int, typer.Option("--memory-mb", min=64, help="Memory a model may take.")] = 4096,
    time_s: Annotated[int, typer.Option("--time-s", min=1, help="Time a model may take for everything.")] = 120,
    models_dir: ModelsDirOption = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Let models through the gate: hash, signature, then parse, load, warm-up and golden images in a limited child.

    A running appliance goes on as it is: the child then only takes what nobody else wants.
    """
    appliance = _appliance(config)
    inspector = appliance.inspector if appliance is not None else InspectorConfig()
    limits = Limits(memory_mb=memory_mb, cpu_s=time_s, wall_s=time_s, gives_way=_is_running(appliance))
    options = {
        "provider": provider or inspector.execution_provider,
        "provider_options": inspector.provider_options if provider is None else {},
        "threads": inspector.intra_op_num_threads,
        "max_batch": max_batch or inspector.max_batch,
        "limits": GateLimits(child=limits),
    }
    outcomes, refused = [], []
    for name in names:
        outcome, error = _verify_one(name, find_bundle(name, models_dir, config), appliance, options, as_json=as_json)
        outcomes.append(outcome)
        if error is not None:
            refused.append(error)
    if as_json:
        print(json.dumps(outcomes, indent=2))
    if len(names) > 1 and refused:
        raise ModelError(f"{len(refused)} of {len(names)} models refused; the first: {refused[0]}")
    if refused:
        raise refused[0]


def sign(
    names: _Names,
    key: Annotated[Path, typer.Option("--key", help="Secret key file, as `model keygen` makes it.")],
    *,
    models_dir: ModelsDirOption = None,
    config: ConfigOption = None,
) -> None:
    """Vouch for models: write model.sig over model.toml, which holds the hashes of everything else."""
    from appliance.modelling.signature import sign_bundle  # noqa: PLC0415 (see above)

    for name in names:
        public_key = sign_bundle(find_bundle(name, models_dir, config), key)
        print(f"{name} is signed; public key\n{public_key}")


def keygen(
    path: Annotated[Path, typer.Argument(metavar="FILE", help="Where the secret key goes; FILE.pub beside it.")],
) -> None:
    """Make a key pair (ed25519) to sign models with; the secret one stays where models are released."""
    from appliance.modelling.signature import make_key  # noqa: PLC0415 (see above)

    public_path, public_key = make_key(path)
    print(f"secret key in {path}, public key in {public_path}; for [models] trusted_keys of the boxes:\n{public_key}")


def _verify_one(
    name: str, folder: Path, appliance: ApplianceConfig | None, options: dict[str, Any], *, as_json: bool
) -> tuple[dict[str, Any], ModelError | None]:
    from appliance.modelling.gate.verify import verify as gate  # noqa: PLC0415 (see above)
    from appliance.modelling.signature import SignaturePolicy  # noqa: PLC0415

    console = Console(highlight=False, quiet=as_json, soft_wrap=True)
    console.print(f"[bold]{escape(name)}[/bold]")
    passed: list[Step] = []

    def tell(step: Step) -> None:
        passed.append(step)
        console.print(f"  [green]✓[/green] {step.name:<10} {step.ms:>9,.1f} ms  {escape(step.detail)}")

    policy = SignaturePolicy.of(appliance.models) if appliance is not None else None
    try:
        with console.status("verifying"):
            report = gate(folder, policy=policy, report=tell, **options)
    except ModelError as error:
        failed = STEPS[len(passed)] if len(passed) < len(STEPS) else STEPS[-1]
        console.print(f"  [red]✗[/red] {failed:<10}               {escape(str(error))}")
        steps = [asdict(step) for step in passed]
        return {"model": name, "passed": False, "failed_step": failed, "error": str(error), "steps": steps}, error
    _print_end(console, report)
    return {"passed": True, **report.to_json()}, None


def _print_end(console: Console, report: GateReport) -> None:
    console.print(f"  passed in {report.ms / 1000:.1f} s, {report.peak_mb:.0f} MiB at most, on {report.provider}")
    for name, words in report.rights.items():
        console.print(f"  {name:<12} {escape(words)}")


def _appliance(config: Path | None) -> ApplianceConfig | None:
    try:
        return load(find_config(config))
    except NotRunning:  # a desk without an appliance
        return None


def _is_running(appliance: ApplianceConfig | None) -> bool:
    return appliance is not None and read_status(appliance.runtime_dir, "inspect") is not None
