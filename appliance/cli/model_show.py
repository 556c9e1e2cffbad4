"""`appliance model list` and `show`: which models there are, and all that is known of one."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import typer
from rich.console import Console
from rich.table import Table

from appliance.box.whereabouts import find_config
from appliance.cli.model_choice import ModelArgument, ModelsDirOption, find_bundle, find_models_dir
from appliance.cli.options import ConfigOption, JsonOption
from appliance.config import load, load_recipe
from appliance.errors import ConfigError, ModelError, NotRunning
from appliance.modelling import ModelBundle, load_bundle
from appliance.modelling.bundle import CONTRACT_FILE
from appliance.rollout import model_in_use, read_choices


def add(app: typer.Typer) -> None:
    """Hang the commands into `appliance model`."""
    app.command("list")(list_models)
    app.command("show")(show)


def list_models(models_dir: ModelsDirOption = None, config: ConfigOption = None, as_json: JsonOption = False) -> None:
    """List the models: each is read and verified, a broken one is listed as such."""
    folder = find_models_dir(models_dir, config)
    users = _recipes_by_model(config)
    rows = [_row(path, users) for path in _folders(folder)]
    if as_json:
        print(json.dumps(rows, indent=2))
        return
    console = Console()
    if not rows:
        console.print(f"no models in {folder}; appliance model import FILE --name NAME brings one", soft_wrap=True)
        return
    table = Table("model", "family", "input", "cl.", "sha256", "signed", "active for", "mAP50", box=None)
    for column in table.columns[:6]:
        column.no_wrap = True
    for row in rows:
        if "error" in row:
            table.add_row(row["name"], "[red]broken[/red]")
            continue
        table.add_row(
            row["name"],
            row["family"],
            row["input"],
            str(len(row["classes"])),
            row["sha256"][:8],
            "yes" if row["is_signed"] else "no",
            ", ".join(row["recipes"]) or "-",
            _map50(row["metrics"]),
        )
    console.print(table)
    for row in rows:
        if "error" in row:
            console.print(f"{row['name']}: {row['error']}", highlight=False, markup=False, soft_wrap=True)


def _map50(metrics: Mapping[str, Any]) -> str:
    """Choose the split that training never saw."""
    figures = metrics.get("test") or next(iter(metrics.values()), None)
    return "-" if figures is None else f"{figures['map50']:.3f}"


def show(
    model: ModelArgument, models_dir: ModelsDirOption = None, config: ConfigOption = None, as_json: JsonOption = False
) -> None:
    """Show all that a bundle says of a model: input, classes, where it comes from, what was measured."""
    folder = find_bundle(model, models_dir, config)
    bundle = load_bundle(folder)
    document = {
        **bundle.model_dump(mode="json", exclude_none=True),
        "folder": str(folder),
        "sha256": bundle.sha256,
        "contract_sha256": bundle.contract_sha256,
        "is_signed": bundle.signature_bytes is not None,
        "is_active": bool(recipes := _recipes_by_model(config).get(bundle.name, [])),
        "recipes": recipes,
        "golden_images": [case.model_dump(mode="json") for case in bundle.golden_cases()],
    }
    if as_json:
        print(json.dumps(document, indent=2))
        return
    if not document["golden_images"]:
        document["golden_images"] = "none: the gate can't compare; import with --golden IMAGE keeps some"
    console = Console()
    for line in _lines(document):
        console.print(line, highlight=False, markup=False, soft_wrap=True)


def _folders(folder: Path) -> list[Path]:
    """Bundles by name; unfinished imports have a dot before theirs."""
    return sorted(path.parent for path in folder.glob(f"*/{CONTRACT_FILE}") if not path.parent.name.startswith("."))


def _row(path: Path, users: Mapping[str, list[str]]) -> dict[str, Any]:
    try:
        bundle = load_bundle(path)
    except ModelError as error:
        return {"name": path.name, "error": str(error)}
    return {
        "name": bundle.name,
        "task": bundle.task,
        "family": bundle.family,
        "input": input_words(bundle),
        "batch": bundle.input.batch,
        "classes": list(bundle.class_names),
        "thresholds": {"score": bundle.thresholds.score, "nms_iou": bundle.thresholds.nms_iou},
        "sha256": bundle.sha256,
        "contract_sha256": bundle.contract_sha256,
        "is_signed": bundle.signature_bytes is not None,
        "is_active": bundle.name in users,
        "recipes": users.get(bundle.name, []),
        "metrics": {split: {"map50": figures.map50} for split, figures in bundle.metrics.items()},
    }


def input_words(bundle: ModelBundle) -> str:
    """Say a model's input in two words."""
    return f"{bundle.input.pixel_format} {bundle.input.width}x{bundle.input.height}"


def _recipes_by_model(config: Path | None) -> dict[str, list[str]]:
    """Whose parts each model judges, by its name; nothing where there is no configuration."""
    try:
        settings = load(find_config(config))
    except NotRunning:
        return {}
    choices = read_choices(settings.state_dir)
    users: dict[str, list[str]] = {}
    for path in (settings.recipe, *settings.recipes):
        try:
            recipe = load_recipe(path)
        except ConfigError:
            continue  # `appliance doctor` tells of it
        users.setdefault(model_in_use(choices, recipe).name, []).append(recipe.name)
    return users


def _lines(table: Mapping[str, Any], indent: str = "") -> list[str]:
    """Write nested tables as lines, names before values."""
    lines = []
    width = max((len(name) for name, value in table.items() if not isinstance(value, Mapping)), default=0)
    for name, value in table.items():
        if isinstance(value, Mapping):
            lines += [f"{indent}{name}", *_lines(value, f"{indent}  ")] if value else []
        elif isinstance(value, list) and value and isinstance(value[0], Mapping):
            lines += [f"{indent}{name}"]
            for one in value:
                lines += [f"{indent}  - {json.dumps(one)}"]
        else:
            lines.append(f"{indent}{name:<{width}}  {_words(value)}")
    return lines


def _words(value: Any) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)
