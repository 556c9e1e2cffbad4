"""`appliance model activate`, `rollback`, `shadow` and `audit`: models at work."""

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape

from appliance.box.whereabouts import find_config
from appliance.cli.options import ConfigOption, JsonOption
from appliance.config import load
from appliance.messages import ModelRef
from appliance.rollout import read_audit
from appliance.rollout.audit import whoami

NICE = 5
"""The test runs beside a line: a quarter of a busy processor, not half of it; and not so little that it never ends."""

RecipeOption = Annotated[
    str | None, typer.Option("--recipe", help="Whose parts it judges; needed where the configuration has several.")
]


def add(app: typer.Typer) -> None:
    """Hang the commands into `appliance model`."""
    app.command("activate")(activate)
    app.command("rollback")(rollback)
    app.command("audit")(audit)


def activate(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Name of a model in models_dir.")],
    recipe: RecipeOption = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Judge a recipe's parts with another model: tested first, then switched between two frames of a running line."""
    _put_to_work(ModelRef(name), recipe, config, is_rollback=False, as_json=as_json)


def rollback(recipe: RecipeOption = None, config: ConfigOption = None, as_json: JsonOption = False) -> None:
    """Go back to the model before."""
    _put_to_work(None, recipe, config, is_rollback=True, as_json=as_json)


def audit(
    lines: Annotated[int, typer.Option("--lines", min=1, help="The newest so many.")] = 50,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show who changed which model, when: the audit log."""
    entries = list(read_audit(load(find_config(config)).state_dir))[-lines:]
    if as_json:
        print(json.dumps([vars(entry) for entry in entries], indent=2))
        return
    if not entries:
        print("no model was ever changed")
        return
    for entry in entries:
        change = " to ".join(_named(model) if model is not None else "none" for model in (entry.old, entry.new))
        detail = f"; {entry.detail}" if entry.detail else ""
        print(
            f"{entry.at[:19]}Z  {entry.what.replace('_', ' ')}  recipe {entry.recipe}: {change}, by {entry.by}{detail}"
        )


def _put_to_work(
    wanted: ModelRef | None, recipe_name: str | None, config_path: Any, *, is_rollback: bool, as_json: bool
) -> None:
    from appliance.box import model_change  # noqa: PLC0415 (ONNX Runtime would slow every other command down)

    os.nice(NICE)
    config = load(find_config(config_path))
    recipe = model_change.choose_recipe(config, recipe_name)
    wanted = wanted or model_change.previous_model(config, recipe)
    console = Console(quiet=as_json, highlight=False, soft_wrap=True)
    with gate_progress(console) as report:
        changed = model_change.put_to_work(config, recipe, wanted, by=whoami(), is_rollback=is_rollback, report=report)
    if as_json:
        print(json.dumps(_document(changed), indent=2))
        return
    if changed.was_so:
        print(f"recipe {changed.recipe}: model {changed.new} is in use already")
    elif changed.effective_at is None:
        print(f"recipe {changed.recipe}: model {changed.new} in place of {changed.old}, from the next start on")
    else:
        print(
            f"recipe {changed.recipe}: model {changed.new} in place of {changed.old}, "
            f"for parts exposed from {changed.effective_at} on"
        )


@contextmanager
def gate_progress(console: Console) -> Iterator[Any]:
    """Show the gate's steps as they are passed."""
    with console.status("the model is put to the test") as status:

        def report(step: Any) -> None:
            console.print(f"  [green]✓[/green] {step.name:<10} {step.ms:>9,.1f} ms  {escape(step.detail)}")
            status.update("the model is put to the test; then the inspector loads it")

        yield report


def _document(changed: Any) -> dict[str, Any]:
    return {
        "recipe": changed.recipe,
        "old": vars(changed.old),
        "new": vars(changed.new),
        "effective_at": changed.effective_at,
        "was_in_use": changed.was_so,
        "gate": changed.gate.to_json(),
        "swap_s": round(changed.swap_s, 3),
    }


def _named(model: dict[str, Any]) -> str:
    return str(ModelRef(**model))
