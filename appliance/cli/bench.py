"""`appliance bench …`: figures of this machine."""

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import typer

from appliance.cli.options import JsonOption
from appliance.config import load

# Each command imports its benchmark when it runs: they load nearly everything.

app = typer.Typer(help="Measure this machine.", no_args_is_help=True)

_Config = Annotated[Path, typer.Option("--config", help="Configuration file.")]
_DEMO = Path("examples/demo-real.toml")


@app.command()
def ring(
    frames: Annotated[int, typer.Option("--frames", min=10, help="Frames each way.")] = 500,
    as_json: JsonOption = False,
) -> None:
    """Hand-off of a 5 MB frame to another process: the ring, beside other ways, on the same frames."""
    from appliance.box.bench.ring import bench_ring  # noqa: PLC0415 (see above)

    _print(bench_ring(frames), as_json=as_json)


@app.command()
def inspect(config: _Config = _DEMO, as_json: JsonOption = False) -> None:
    """The model alone, at each batch size; then evidence checks, decoding and judging."""
    from appliance.box.bench.inspect import bench_inspect  # noqa: PLC0415 (see above)

    _print(bench_inspect(load(config)), as_json=as_json)


@app.command()
def pipeline(
    config: _Config = _DEMO,
    rounds: Annotated[int, typer.Option("--rounds", min=1)] = 3,
    seconds: Annotated[float, typer.Option("--seconds", min=1, help="For each measurement.")] = 6.0,
    shadow: Annotated[str | None, typer.Option("--shadow", help="Model that watches meanwhile.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Camera to published verdict, in turn with the bare model; then latency at half load."""
    from appliance.box.bench.pipeline import bench_pipeline  # noqa: PLC0415 (see above)

    figures = bench_pipeline(load(config), rounds=rounds, seconds=seconds, shadow=shadow, progress=_tell)
    _print(figures, as_json=as_json)


@app.command()
def delivery(
    config: _Config = _DEMO,
    state_dir: Annotated[
        Path | None, typer.Option("--state-dir", help="On the disk to measure; default: the configuration's.")
    ] = None,
    rounds: Annotated[int, typer.Option("--rounds", min=1)] = 5,
    seconds: Annotated[float, typer.Option("--seconds", min=0.5, help="For each measurement.")] = 5.0,
    as_json: JsonOption = False,
) -> None:
    """Durable results a second, what a commit takes, and what both cost the verdict: with and without, in turn."""
    from appliance.box.bench.delivery import bench_delivery  # noqa: PLC0415 (see above)

    figures = bench_delivery(load(config), state_dir=state_dir, rounds=rounds, seconds=seconds, progress=_tell)
    if not as_json:
        for target in figures["targets"]:
            word = "met" if target["is_met"] else "missed"
            print(f"{target['name']:<28} {target['measured']:>10,}   target {target['target']:<9} {word}")
    _print(figures, as_json=as_json)


@app.command()
def swap(
    config: _Config = _DEMO,
    model: Annotated[
        str | None, typer.Option("--model", help="The other model; default: one in models_dir that fits the recipe.")
    ] = None,
    rounds: Annotated[int, typer.Option("--rounds", min=1, help="Changes, to and fro.")] = 10,
    seconds: Annotated[float, typer.Option("--seconds", min=1, help="Quiet time before each change.")] = 3.0,
    as_json: JsonOption = False,
) -> None:
    """A change of model on a running line: how long it takes, and the verdicts around it."""
    from appliance.box.bench.swap import bench_swap  # noqa: PLC0415 (see above)

    figures = bench_swap(load(config), second=model, rounds=rounds, quiet_s=seconds, progress=_tell)
    _print(figures, as_json=as_json)


def _tell(progress: str) -> None:
    print(progress, file=sys.stderr, flush=True)


def _print(figures: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        print(json.dumps(figures, indent=2))
        return
    for line in _lines(figures):
        print(line)


def _lines(figures: dict[str, Any], indent: str = "") -> Iterator[str]:
    """Write nested figures as indented `name: value` lines; a mapping of plain values stays on one line."""
    for name, value in figures.items():
        if isinstance(value, list):
            yield f"{indent}{name}:"
            yield from (f"{indent}  {_inline(item)}" for item in value)
        elif isinstance(value, dict) and any(isinstance(part, dict | list) for part in value.values()):
            yield f"{indent}{name}:"
            yield from _lines(value, indent + "  ")
        else:
            yield f"{indent}{name}: {_inline(value)}"


def _inline(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name} {_inline(part)}" for name, part in value.items())
    return str(value)
