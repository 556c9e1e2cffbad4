"""`appliance model shadow`: a second model that sees the same frames, and where it says something else."""

import json
import os
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from appliance.box.whereabouts import find_config
from appliance.cli.model_life import NICE, RecipeOption, gate_progress
from appliance.cli.moment import moment_us
from appliance.cli.options import ConfigOption, JsonOption
from appliance.clock import rfc3339
from appliance.config import ApplianceConfig, load
from appliance.messages import ModelRef
from appliance.records.results import ResultQuery, Results
from appliance.records.shadow_report import WORDS, ShadowReport, shadow_report
from appliance.rollout import AuditEntry, ShadowChoice, append_audit, read_shadows, write_shadows
from appliance.rollout.audit import whoami
from appliance.rollout.choices import ChosenModel

REPORT = "report"


def add(app: typer.Typer) -> None:
    """Hang the command into `appliance model`."""
    app.command("shadow")(shadow)


def shadow(
    name: Annotated[
        str | None, typer.Argument(metavar="NAME|report", help="Name of a model; or `report`: where the two differ.")
    ] = None,
    *,
    off: Annotated[bool, typer.Option("--off", help="Let no model watch any more.")] = False,
    recipe: RecipeOption = None,
    since: Annotated[
        str | None, typer.Option("--since", help="Report: from then on; 1h, 2d, today, RFC 3339. Default: all.")
    ] = None,
    limit: Annotated[int, typer.Option("--limit", min=0, help="Report: so many of the newest disagreements.")] = 20,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Let a second model watch: both results are stored, only those of the model in use are verdicts."""
    settings = load(find_config(config))
    if name == REPORT and not off:
        _print_report(settings, since, limit, as_json=as_json)
    elif off and name is None:
        _switch_off(settings, recipe, as_json=as_json)
    elif name is not None and not off:
        _set(settings, name, recipe, as_json=as_json)
    else:
        raise typer.BadParameter("give the name of a model, `report`, or --off")


def _set(config: ApplianceConfig, name: str, recipe_name: str | None, *, as_json: bool) -> None:
    from appliance.box import model_change  # noqa: PLC0415 (ONNX Runtime would slow every other command down)

    os.nice(NICE)
    recipe = model_change.choose_recipe(config, recipe_name)
    with gate_progress(Console(quiet=as_json, highlight=False, soft_wrap=True)) as report:
        new, gate = model_change.let_through(config, recipe, ModelRef(name), report)
    shadows = read_shadows(config.state_dir)
    old = shadows.get(recipe.name)
    by = whoami()
    choice = ShadowChoice(model=ChosenModel.of(new), since=datetime.now(UTC), by=by)
    write_shadows(config.state_dir, {**shadows, recipe.name: choice})
    _audit(config, "shadow_set", recipe.name, by, old=old, new=choice)
    if as_json:
        print(json.dumps({"recipe": recipe.name, "shadow": vars(new), "gate": gate.to_json()}, indent=2))
    else:
        print(f"recipe {recipe.name}: model {new} watches; appliance model shadow report tells where it differs")


def _switch_off(config: ApplianceConfig, recipe_name: str | None, *, as_json: bool) -> None:
    shadows, by = read_shadows(config.state_dir), whoami()
    gone = {name: one for name, one in shadows.items() if recipe_name in {None, name}}
    write_shadows(config.state_dir, {name: one for name, one in shadows.items() if name not in gone})
    for name, old in gone.items():
        _audit(config, "shadow_off", name, by, old=old, new=None)
    if as_json:
        print(json.dumps({"switched_off": {name: one.model.name for name, one in gone.items()}}, indent=2))
    for name, old in gone.items() if not as_json else ():
        print(f"recipe {name}: model {old.model.name} watches no more")
    if not gone and not as_json:
        print("no model watches")


def _audit(
    config: ApplianceConfig, what: str, recipe: str, by: str, *, old: ShadowChoice | None, new: ShadowChoice | None
) -> None:
    before, after = (vars(one.model.ref) if one is not None else None for one in (old, new))
    append_audit(config.state_dir, AuditEntry(rfc3339(time.time_ns()), by, what, recipe, before, after))


def _print_report(config: ApplianceConfig, since: str | None, limit: int, *, as_json: bool) -> None:
    since_us = moment_us(since, datetime.now().astimezone()) if since is not None else None
    with Results(config.state_dir / "journal") as results:
        report = shadow_report(results.each(ResultQuery(since_us=since_us)))
    if as_json:
        print(json.dumps(report.to_json(limit), indent=2))
        return
    console = Console()
    if not report.pairs:
        print("no part was judged by two models; appliance model shadow NAME lets one watch")
    for pair in report.pairs.values():
        figures = pair.to_json()
        console.print(_agreement_table(figures))
        console.print(
            f"{figures['compared']} views compared, {figures['agree']} alike ({100 * figures['agreement']:.2f} %); "
            f"only the shadow rejects {figures['only_shadow_rejects']}, "
            f"only the model in use {figures['only_active_rejects']}",
            highlight=False,
            soft_wrap=True,
        )
    print(f"without the shadow's opinion: {report.without_shadow}; by different recipes: {report.other_recipe}")
    if limit and report.disagreements:
        console.print(_disagreements(report, limit, config.state_dir / "images"))


def _agreement_table(figures: dict[str, Any]) -> Table:
    table = Table("", *(f"shadow {word}" for word in WORDS), box=None)
    table.title = f"recipe {figures['recipe']}: {figures['active']} in use, {figures['shadow']} watches"
    for word in WORDS:
        table.add_row(f"in use {word}", *(str(figures["table"][word][other]) for other in WORDS))
    return table


def _disagreements(report: ShadowReport, limit: int, images: Path) -> Table:
    table = Table("time", "part", "camera/trigger", "in use", "shadow", "picture", box=None)
    for one in report.disagreements[-limit:]:
        picture = str(images / one.image) if one.image is not None else ""
        place = f"{one.camera}/{one.trigger_id}"
        table.add_row(one.at[11:19], one.part_id or "", place, _words(one.active), _words(one.shadow), picture)
    return table


def _words(said: dict[str, Any]) -> str:
    best = said["defects"][0] if said["defects"] else None
    why = f"{best['class_name']} {best['score']:.2f}" if best else said["reason"] or ""
    return f"{said['verdict']} {why}".rstrip()
