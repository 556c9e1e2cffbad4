"""`appliance review list|report|export`: what was said, which rates follow, and the next labelling batch."""

import json
import sys
from pathlib import Path
from typing import Annotated, Any, Literal

import typer
from rich.console import Console

from appliance.box.whereabouts import find_config
from appliance.cli.options import ConfigOption, JsonOption, check_html
from appliance.cli.progress import progress_bar
from appliance.cli.results import SinceOption, UntilOption, result_query
from appliance.config import ApplianceConfig, load
from appliance.records.results import ResultQuery, Results

AnswerOption = Annotated[
    Literal["right", "wrong", "unsure"] | None, typer.Option("--answer", help="Only parts with this answer.")
]


def add(app: typer.Typer) -> None:
    """Hang the commands into `appliance review`."""
    app.command("list")(list_judgements)
    app.command("report")(report)
    app.command("export")(export)


def list_judgements(
    *,
    since: SinceOption = None,
    until: UntilOption = None,
    answer: AnswerOption = None,
    history: Annotated[bool, typer.Option("--history", help="Also what was corrected later.")] = False,
    limit: Annotated[int, typer.Option("--limit", min=1, help="At most so many, the newest.")] = 50,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """List what was said of parts, newest first; --since and --until mean the part's exposure."""
    from appliance.cli.review_text import judgement_table  # noqa: PLC0415 (see cli/review.py)
    from appliance.learning.review.report import is_within  # noqa: PLC0415

    said = read_history(load(find_config(config)))
    query = result_query(since=since, until=until)
    counted = set(said.latest().values())
    chosen = [
        one
        for one in reversed(said.judgements)
        if (history or one in counted) and answer in (None, one.answer) and is_within(one, query)
    ]
    if as_json:
        rows = [{**one.model_dump(mode="json"), "counts": one in counted} for one in chosen[:limit]]
        print(json.dumps(rows, indent=2, ensure_ascii=False))
        return
    Console().print(judgement_table(chosen[:limit], counted))
    if len(chosen) > limit:
        print(f"the newest {limit} of {len(chosen)}; --limit shows more", file=sys.stderr)


def report(
    *,
    since: SinceOption = None,
    until: UntilOption = None,
    html: Annotated[Path | None, typer.Option("--html", help="Write it as one self-contained page too.")] = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Tell the field's escape and false-reject rates with 95 % intervals, by week, class, camera, recipe and model."""
    from appliance.cli.review_text import print_report  # noqa: PLC0415 (see cli/review.py)
    from appliance.learning.review.report_page import report_page  # noqa: PLC0415

    check_html(html)
    settings = load(find_config(config))
    figures = review_figures(settings, result_query(since=since, until=until))
    if html is not None:
        html.write_text(report_page(figures, settings.line, settings.station), encoding="utf-8")
    if as_json:
        print(json.dumps(figures, indent=2, ensure_ascii=False))
        return
    print_report(figures, Console())
    if html is not None:
        print(f"report: {html}")


def export(
    *,
    to: Annotated[Path, typer.Option("--to", help="Folder of the batch; it must not be there yet, or be empty.")],
    since: SinceOption = None,
    until: UntilOption = None,
    unsure: Annotated[bool, typer.Option("--unsure", help="Also parts that the person wasn't sure of.")] = False,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Write wrongly judged parts as the next labelling batch: pictures, the model's boxes as VOC XML, a manifest."""
    from appliance.learning.review.export import export_wrong  # noqa: PLC0415 (see cli/review.py)
    from appliance.learning.review.parts import PartViewer  # noqa: PLC0415
    from appliance.learning.review.report import is_within  # noqa: PLC0415

    settings = load(find_config(config))
    said = read_history(settings)
    query = result_query(since=since, until=until)
    wanted = ("wrong", "unsure") if unsure else ("wrong",)
    chosen = [one for one in said.latest().values() if one.answer in wanted and is_within(one, query)]
    with Results(settings.state_dir / "journal") as results, progress_bar("pictures") as progress:
        viewer = PartViewer(results, settings.state_dir / "images", settings.models_dir, said)
        written = export_wrong(chosen, viewer, to, progress=progress)
    if as_json:
        print(json.dumps(written, indent=2, ensure_ascii=False))
        return
    for note in written["notes"]:
        print(f"note: {note}", file=sys.stderr)
    print(f"{written['images']} pictures of {written['parts']} parts in {to}")
    print(f"correct them: labelImg {to} {to}/predefined_classes.txt")


def review_figures(settings: ApplianceConfig, query: ResultQuery) -> dict[str, Any]:
    """Make the report of an appliance."""
    from appliance.learning.review.report import review_report  # noqa: PLC0415 (see cli/review.py)

    said = read_history(settings)
    with Results(settings.state_dir / "journal") as results, progress_bar("journal") as progress:
        return review_report(results, said, query, progress).figures()


def read_history(settings: ApplianceConfig) -> Any:
    """Read the ledger, and tell of damage in it."""
    from appliance.learning.review.ledger import ReviewLedger  # noqa: PLC0415 (see cli/review.py)

    ledger = ReviewLedger(settings.state_dir)
    history = ledger.read()
    if history.damaged_lines:
        lines = ", ".join(map(str, history.damaged_lines[:10]))
        print(f"warning: {ledger.path}: line {lines} can't be read and doesn't count; restore it", file=sys.stderr)
    return history
