"""`appliance compare-rules`: a model against rule-based vision, tuned on the development split, on the same parts."""

import json
import sys
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from appliance.cli.model_choice import ModelArgument, ModelsDirOption, find_bundle
from appliance.cli.model_evaluate import (
    ClassesOption,
    DatasetArgument,
    FormatOption,
    HtmlOption,
    MapOption,
    pairs,
    read_labelled,
)
from appliance.cli.options import ConfigOption, JsonOption, check_html
from appliance.cli.progress import progress_bar
from appliance.errors import DatasetError
from appliance.modelling import load_bundle

# Rules and evaluation are imported when the command runs: OpenCV would slow every other command down.


def compare_rules(
    model: ModelArgument,
    dataset: DatasetArgument,
    *,
    file_format: FormatOption = "auto",
    split: Annotated[str, typer.Option("--split", help="What is measured on, once.")] = "test",
    tune_split: Annotated[str, typer.Option("--tune-split", help="What the rules are tuned on.")] = "val",
    tune_data: Annotated[
        Path | None, typer.Option("--tune-data", help="Another set to tune on; default: DATASET's --tune-split.")
    ] = None,
    method: Annotated[
        list[str] | None,
        typer.Option("--method", help="golden, template or morphology; may be repeated. Default: what fits the set."),
    ] = None,
    trials: Annotated[int, typer.Option("--trials", min=1, help="Sets of parameters to try for each method.")] = 200,
    minutes: Annotated[
        float | None, typer.Option("--minutes", min=0.01, help="Stop a tuning after so long; default: no limit.")
    ] = None,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Same seed and trials, same parameters.")] = 1,
    reference_parts: Annotated[
        int, typer.Option("--reference-parts", min=5, max=200, help="Good parts that a golden reference is made of.")
    ] = 30,
    rules: Annotated[
        list[Path] | None, typer.Option("--rules", help="Tuned parameters; nothing is tuned then. May be repeated.")
    ] = None,
    save_rules: Annotated[
        Path | None, typer.Option("--save-rules", help="Folder for the tuned parameters, METHOD.toml.")
    ] = None,
    kind: Annotated[
        list[str] | None,
        typer.Option("--kind", metavar="NAME=NAME", help="The rules' name of a class and the model's; repeatable."),
    ] = None,
    score: Annotated[
        float | None, typer.Option("--score", min=0.0, max=1.0, help="The model's score; default: the bundle's.")
    ] = None,
    tune_score: Annotated[
        bool, typer.Option("--tune-score", help="Choose the model's score on the development split too.")
    ] = False,
    classes: ClassesOption = None,
    renamed: MapOption = None,
    html: HtmlOption = None,
    models_dir: ModelsDirOption = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Hold a model against rule-based vision: precision, recall, escapes, false rejects, parameters, time, price."""
    from appliance.box.bench.machine import machine  # noqa: PLC0415 (see above)
    from appliance.learning.rules.contest import Entry, Plan, hold  # noqa: PLC0415
    from appliance.learning.rules.page import contest_page  # noqa: PLC0415
    from appliance.learning.rules.tuning import Budget  # noqa: PLC0415

    check_html(html)
    if score is not None and tune_score:
        raise typer.BadParameter("--score gives the model's score, --tune-score chooses it; give one of them")
    if rules and method:
        raise typer.BadParameter("--rules FILE names its method; give it or --method, not both")
    _check_folder(save_rules)
    bundle = load_bundle(find_bundle(model, models_dir, config))

    def labelled(folder: Path, wanted: str | None) -> Any:
        return read_labelled(folder, (bundle,), file_format=file_format, split=wanted, classes=classes, renamed=renamed)

    plan = Plan(
        measured=labelled(dataset, split),
        read=lambda wanted: labelled(tune_data or dataset, wanted),
        development=(tune_data or dataset, tune_split),
        file_format=file_format,
        entries=Entry.chosen(method, rules),
        kinds=pairs(kind or [], "--kind", "RULES_CLASS=MODEL_CLASS"),
        budget=Budget(trials, seed, None if minutes is None else minutes * 60),
        reference_parts=reference_parts,
        score=score,
        tune_score=tune_score,
    )
    rivals, told = hold(bundle, plan, machine(), progress_bar)
    if save_rules is not None:
        _save(save_rules, rivals)
    if html is not None:
        html.write_text(contest_page(rivals, told), encoding="utf-8")
    if as_json:
        print(json.dumps(told, indent=2))
        return
    _print(told)
    if html is not None:
        print(f"report: {html}")


def _print(told: dict[str, Any]) -> None:
    from appliance.cli.rules_text import class_table, contest_table  # noqa: PLC0415 (rows come from the rules' room)

    console = Console()
    if told["rendered"]:
        print("rendered parts, never photographed: figures of rendered parts only")
    for figures in told["rivals"]:
        console.print(contest_table(figures))
        console.print(class_table(figures))
        console.print(figures["comparison"]["verdict"], highlight=False, markup=False)
        print(f"the rules know {figures['knows']}")
        for note in figures["notes"]:
            print(f"note: {note}", file=sys.stderr)
    print(f"times: one thread on {told['machine']['cpu']}")


def _save(folder: Path, rivals: Any) -> None:
    from appliance.learning.rules.rules_file import write_rules  # noqa: PLC0415 (see above)

    for rival in rivals:
        tuning = {} if rival.tuning is None else rival.tuning.figures()
        write_rules(folder / f"{rival.rules.method.name}.toml", rival.rules.method.name, rival.rules.parameters, tuning)


def _check_folder(folder: Path | None) -> None:
    """Make the folder before the long work, so that nothing fails after it."""
    if folder is None:
        return
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DatasetError(f"--save-rules {folder}: expected a folder that may be written: {error.strerror}") from error
