"""`appliance model evaluate|compare|threshold`: what models are worth on labelled images."""

import json
import sys
from pathlib import Path
from typing import Annotated, Any, Literal

import typer
from rich.console import Console

from appliance.cli.evaluation_text import comparison_table, figures_table, per_class_table, threshold_table
from appliance.cli.model_choice import ModelArgument, ModelsDirOption, find_bundle
from appliance.cli.options import ConfigOption, JsonOption, check_html
from appliance.cli.progress import progress_bar
from appliance.config import Recipe, load_recipe
from appliance.errors import DatasetError, ExitCode
from appliance.modelling import ModelBundle, load_bundle

# Evaluation is imported when a command runs: pycocotools and what belongs to it would slow every other command down.

DatasetArgument = Annotated[
    Path, typer.Argument(metavar="DATASET", help="Folder of labelled images, or the set's json, xml or yaml.")
]
FormatOption = Annotated[
    Literal["auto", "voc", "yolo", "coco", "labelstudio", "cvat", "deeppcb", "masks"],
    typer.Option("--format", help="Format of the labels; auto looks at the files."),
]
SplitOption = Annotated[
    str | None, typer.Option("--split", help="Part of the set; default: test where it has one, else val, else all.")
]
RecipeOption = Annotated[
    Path | None, typer.Option("--recipe", help="Recipe file: its class rules decide; default: the model's own score.")
]
ScoreOption = Annotated[
    float | None, typer.Option("--score", min=0.0, max=1.0, help="One score for all classes in place of the model's.")
]
ClassesOption = Annotated[
    str | None, typer.Option("--classes", metavar="NAME,…", help="Class names of a YOLO set that has no list of them.")
]
MapOption = Annotated[
    list[str] | None,
    typer.Option("--map", metavar="NAME=NAME", help="The set's name of a class and the model's; may be repeated."),
]
HtmlOption = Annotated[Path | None, typer.Option("--html", help="Write the report as one self-contained page.")]


def add(app: typer.Typer) -> None:
    """Hang the commands into `appliance model`."""
    app.command("evaluate")(evaluate)
    app.command("compare")(compare)
    app.command("threshold")(threshold)


def evaluate(
    model: ModelArgument,
    dataset: DatasetArgument,
    *,
    file_format: FormatOption = "auto",
    split: SplitOption = None,
    recipe: RecipeOption = None,
    score: ScoreOption = None,
    classes: ClassesOption = None,
    renamed: MapOption = None,
    html: HtmlOption = None,
    models_dir: ModelsDirOption = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Measure a model on labelled images: precision, escapes and false rejects, with 95 % intervals."""
    from appliance.learning.evaluation import evaluate as measure  # noqa: PLC0415 (see above)

    check_html(html)
    bundle = load_bundle(find_bundle(model, models_dir, config))
    rules = _recipe(recipe, score)
    labelled = read_labelled(dataset, (bundle,), file_format=file_format, split=split, classes=classes, renamed=renamed)
    with progress_bar(bundle.name) as progress:
        evaluation = measure(bundle, labelled, rules, score=score, progress=progress)
    figures = evaluation.figures()
    if html is not None:
        from appliance.learning.evaluation.report import evaluation_page  # noqa: PLC0415

        html.write_text(evaluation_page(evaluation), encoding="utf-8")
    if as_json:
        print(json.dumps(figures, indent=2))
        return
    console = Console()
    console.print(figures_table(figures))
    if figures["per_class"]:
        console.print(per_class_table(figures["per_class"]))
    _tell_notes(figures["dataset"]["notes"], html)


def compare(
    model_a: Annotated[str, typer.Argument(metavar="A", help="Name of a model, or the path of a bundle.")],
    model_b: Annotated[str, typer.Argument(metavar="B", help="The model to hold against it.")],
    dataset: DatasetArgument,
    *,
    file_format: FormatOption = "auto",
    split: SplitOption = None,
    recipe: RecipeOption = None,
    score: ScoreOption = None,
    classes: ClassesOption = None,
    renamed: MapOption = None,
    html: HtmlOption = None,
    models_dir: ModelsDirOption = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Compare two models on the same parts: differences with 95 % intervals, and who is better in what."""
    from appliance.learning.evaluation import evaluate as measure  # noqa: PLC0415 (see above)
    from appliance.learning.evaluation.compare import compare as hold_against  # noqa: PLC0415

    check_html(html)
    bundles = tuple(load_bundle(find_bundle(name, models_dir, config)) for name in (model_a, model_b))
    rules = _recipe(recipe, score)
    labelled = read_labelled(dataset, bundles, file_format=file_format, split=split, classes=classes, renamed=renamed)
    evaluations = []
    for bundle in bundles:
        with progress_bar(bundle.name) as progress:
            evaluations.append(measure(bundle, labelled, rules, score=score, progress=progress))
    comparison = hold_against(evaluations[0], evaluations[1])
    if html is not None:
        from appliance.learning.evaluation.report import comparison_page  # noqa: PLC0415

        html.write_text(comparison_page(comparison), encoding="utf-8")
    figures = comparison.figures()
    if as_json:
        print(json.dumps(figures, indent=2))
        return
    console = Console()
    console.print(comparison_table(figures))
    console.print(comparison.verdict, highlight=False, markup=False)
    _tell_notes(figures["a"]["dataset"]["notes"], html)


def threshold(
    model: ModelArgument,
    dataset: DatasetArgument,
    *,
    file_format: FormatOption = "auto",
    split: Annotated[
        str | None, typer.Option("--split", help="Part of the set; default: val where it has one, else test, else all.")
    ] = None,
    class_name: Annotated[
        str | None, typer.Option("--class", help="The score of this class's rule; default: one score for all.")
    ] = None,
    max_escape_rate: Annotated[
        float | None, typer.Option("--max-escape-rate", min=0.0, max=1.0, help="A share: 0.005 is half a percent.")
    ] = None,
    max_false_reject_rate: Annotated[
        float | None, typer.Option("--max-false-reject-rate", min=0.0, max=1.0, help="A share.")
    ] = None,
    classes: ClassesOption = None,
    renamed: MapOption = None,
    models_dir: ModelsDirOption = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """What if the score were another? Escapes, false rejects and missed defects at each, and a recommendation."""
    from appliance.learning.datasets import TO_CHOOSE  # noqa: PLC0415 (see above)
    from appliance.learning.evaluation.threshold import Limits, advise  # noqa: PLC0415

    bundle = load_bundle(find_bundle(model, models_dir, config))
    if class_name is not None and class_name not in bundle.class_names:
        raise typer.BadParameter(f"--class {class_name}: {bundle.name} has {', '.join(bundle.class_names)}")
    labelled = read_labelled(
        dataset, (bundle,), file_format=file_format, split=split, classes=classes, renamed=renamed, preferred=TO_CHOOSE
    )
    limits = Limits(max_escape_rate, max_false_reject_rate)
    with progress_bar(bundle.name) as progress:
        advice = advise(bundle, labelled, limits, class_name=class_name, progress=progress)
    if as_json:
        print(json.dumps(advice, indent=2))
    else:
        Console().print(threshold_table(advice))
    for warning in advice["warnings"]:
        print(f"warning: {warning}", file=sys.stderr)
    if advice["recommended"] is None:
        print(f"error: {advice['reason']}", file=sys.stderr)
        raise typer.Exit(ExitCode.CHECK_FAILED)


def _recipe(path: Path | None, score: float | None) -> Recipe | None:
    if path is None:
        return None
    if score is not None:
        raise typer.BadParameter("--recipe has a score for each class; give it or --score, not both")
    return load_recipe(path)


def read_labelled(
    folder: Path,
    bundles: tuple[ModelBundle, ...],
    *,
    file_format: str,
    split: str | None,
    classes: str | None,
    renamed: list[str] | None,
    preferred: tuple[str, ...] | None = None,
) -> Any:
    """Read the data set that a command's options describe, with the classes numbered as the models do."""
    from appliance.learning.datasets import TO_MEASURE, read_dataset  # noqa: PLC0415 (see above)

    task = bundles[0].task
    dataset = read_dataset(
        folder,
        file_format=file_format,
        split=split,
        preferred=preferred or TO_MEASURE,
        class_names=tuple(name.strip() for name in classes.split(",")) if classes else (),
        task=task,
    )
    names = pairs(renamed or [])
    if task == "anomaly":
        if names:
            raise DatasetError("--map: an anomaly model knows no classes")
        return dataset
    return dataset.for_classes(bundles[0].class_names, names)


def pairs(texts: list[str], option: str = "--map", form: str = "SET_NAME=MODEL_NAME") -> dict[str, str]:
    """Understand NAME=NAME."""
    parted = [text.split("=", 1) for text in texts]
    if wrong := [text for text, pair in zip(texts, parted, strict=True) if len(pair) != 2 or not all(pair)]:
        raise typer.BadParameter(f"{option} {wrong[0]}: expected {form}")
    return {pair[0]: pair[1] for pair in parted}


def _tell_notes(notes: list[str], html: Path | None) -> None:
    for note in notes:
        print(f"note: {note}", file=sys.stderr)
    if html is not None:
        print(f"report: {html}")
