"""`appliance model card`: what a model is for, what was measured of it, and what never was."""

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from appliance.box.whereabouts import find_config
from appliance.cli.model_choice import ModelArgument, ModelsDirOption, find_bundle
from appliance.cli.options import ConfigOption, JsonOption
from appliance.config import load
from appliance.errors import ModelError, NotRunning, ReviewError
from appliance.modelling import load_bundle
from appliance.records.results import ResultQuery

# Cards are made when the command runs: evaluation and what belongs to it would slow every other command down.


def add(app: typer.Typer) -> None:
    """Hang the command into `appliance model`."""
    app.command("card")(card)


def card(
    model: ModelArgument,
    *,
    evaluation: Annotated[
        list[Path] | None,
        typer.Option("--evaluation", help="What `model evaluate --json` printed, in a file; may be repeated."),
    ] = None,
    review: Annotated[
        Path | None,
        typer.Option("--review", help="What `review report --json` printed, in a file; default: this appliance's."),
    ] = None,
    without_review: Annotated[bool, typer.Option("--without-review", help="Leave the field out.")] = False,
    html: Annotated[bool, typer.Option("--html", help="One HTML page; default: Markdown.")] = False,
    markdown: Annotated[bool, typer.Option("--md", help="Markdown.")] = False,
    out: Annotated[Path | None, typer.Option("--out", help="File to write; default: stdout.")] = None,
    models_dir: ModelsDirOption = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Print a model's card: use, data, licence, figures with counts and intervals, limits, what was never measured."""
    from appliance.learning.model_card import model_card  # noqa: PLC0415 (see above)
    from appliance.learning.model_card_text import as_html, as_markdown  # noqa: PLC0415

    if html + markdown + as_json > 1:
        raise typer.BadParameter("give one of --html, --md and --json")
    folder = find_bundle(model, models_dir, config)
    if out is not None and out.resolve().is_relative_to(folder.resolve()):
        raise typer.BadParameter(f"--out {out}: the files of a bundle are hashed; write the card elsewhere")
    bundle = load_bundle(folder)
    evaluations = [_read(path, ModelError) for path in evaluation or ()]
    made = model_card(bundle, evaluations, None if without_review else _review(review, config))
    if as_json:
        sections = [vars(section) for section in made.sections]
        text = json.dumps({"title": made.title, "sections": sections}, indent=2, ensure_ascii=False) + "\n"
    else:
        text = as_html(made) if html else as_markdown(made)
    if out is None:
        print(text, end="")
    else:
        out.write_text(text, encoding="utf-8")
        print(f"card: {out}")


def _review(path: Path | None, config: Path | None) -> Any:
    """Read the report that was given, else make this appliance's; None where nothing was ever reviewed."""
    if path is not None:
        report = _read(path, ReviewError)
        if not isinstance(report.get("by_model"), dict):
            raise ReviewError(f"{path}: expected what `appliance review report --json` prints, got something else")
        return report
    from appliance.cli.review_outcome import read_history, review_figures  # noqa: PLC0415 (see above)

    try:
        settings = load(find_config(config))
    except NotRunning:  # a desk without an appliance
        return None
    return review_figures(settings, ResultQuery()) if read_history(settings).judgements else None


def _read(path: Path, refusal: type[ModelError] | type[ReviewError]) -> dict[str, Any]:
    try:
        content = json.loads(path.read_bytes())
    except OSError as error:
        raise refusal(f"{path}: can't be read: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise refusal(f"{path}: expected JSON, got: {error}") from error
    if not isinstance(content, dict):
        raise refusal(f"{path}: expected a JSON object, got a {type(content).__name__}")
    return content
