"""`appliance review`: parts one after the other, a person says right or wrong, and the field's rates follow."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from appliance.box.whereabouts import find_config
from appliance.cli import review_outcome
from appliance.cli.options import ConfigOption, JsonOption, check_html
from appliance.cli.progress import progress_bar
from appliance.cli.results import (
    CameraOption,
    ClassOption,
    SeqArgument,
    SinceOption,
    UntilOption,
    VerdictOption,
    result_query,
)
from appliance.config import ApplianceConfig, load
from appliance.records.results import ResultQuery, Results
from appliance.rollout.audit import whoami

# What belongs to a review is imported when a command runs: it would slow every other command down.

app = typer.Typer(help="Say of parts whether their verdicts were right: one after the other, or by a subcommand.")
review_outcome.add(app)

RecipeOption = Annotated[str | None, typer.Option("--recipe", help="Name of the recipe.")]
RateOption = Annotated[
    float, typer.Option("--sample-ok", min=0.0, max=1.0, help="Share of the OK parts with pictures to be shown.")
]
LimitOption = Annotated[int, typer.Option("--limit", min=1, help="At most so many parts.")]
ByOption = Annotated[str | None, typer.Option("--by", help="Who judges; default: the login.")]
AgainOption = Annotated[bool, typer.Option("--again", help="Also parts that were judged before.")]
DEFAULT_RATE = 0.1
DEFAULT_LIMIT = 100


@app.callback(invoke_without_command=True)
def review(
    context: typer.Context,
    *,
    since: SinceOption = None,
    until: UntilOption = None,
    camera: CameraOption = None,
    recipe: RecipeOption = None,
    class_name: ClassOption = None,
    verdict: VerdictOption = None,
    sample_ok: RateOption = DEFAULT_RATE,
    limit: LimitOption = DEFAULT_LIMIT,
    again: AgainOption = False,
    by: ByOption = None,
    config: ConfigOption = None,
) -> None:
    """Show rejected and sampled OK parts one after the other and ask: right or wrong? Each answer is kept at once."""
    if context.invoked_subcommand is not None:
        return
    from appliance.cli.review_session import Session  # noqa: PLC0415 (see above)
    from appliance.learning.review.ledger import ReviewLedger  # noqa: PLC0415

    settings = load(find_config(config))
    query = result_query(since=since, until=until, camera=camera, recipe=recipe, class_name=class_name, verdict=verdict)
    console = Console(highlight=False)
    with _viewer(settings) as (viewer, history):
        seqs = _seqs(viewer.results, query, history, sample_ok, again=again)
        if not seqs:
            console.print("nothing to review: no unjudged part with a picture matches (--again shows all)")
            return
        is_drawn = class_name is None
        session = Session(
            ReviewLedger(settings.state_dir), viewer, console, by=reviewer(by), is_drawn=is_drawn, open_picture=_open
        )
        try:
            session.run(seqs, limit)
        finally:
            tail = "" if is_drawn else "; chosen by class, so they don't count in the rates"
            console.print(f"{len(session.kept)} judged{tail}; appliance review report tells what follows")


@app.command()
def mark(
    seq: SeqArgument,
    *,
    right: Annotated[bool, typer.Option("--right", help="The verdict was right.")] = False,
    wrong: Annotated[bool, typer.Option("--wrong", help="An OK part has a defect, a rejected one is good.")] = False,
    unsure: Annotated[bool, typer.Option("--unsure", help="The picture doesn't tell.")] = False,
    class_name: Annotated[
        str | None, typer.Option("--class", help="Defect of an OK part: one of the model's classes, or other.")
    ] = None,
    note: Annotated[str | None, typer.Option("--note", help="Anything worth remembering.")] = None,
    by: ByOption = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Judge one part that somebody looked for: it is kept and exported, but says nothing of other parts."""
    from appliance.cli.review_session import said_words  # noqa: PLC0415 (see above)
    from appliance.learning.review.ledger import ReviewLedger  # noqa: PLC0415

    chosen = [word for word, is_set in (("right", right), ("wrong", wrong), ("unsure", unsure)) if is_set]
    if len(chosen) != 1:
        raise typer.BadParameter("give one of --right, --wrong and --unsure")
    settings = load(find_config(config))
    with _viewer(settings) as (viewer, _):
        record = viewer.show(seq).record
        judgement = viewer.judge(
            record, chosen[0], by=reviewer(by), via="mark", drawn=False, class_name=class_name, note=note
        )
    ReviewLedger(settings.state_dir).append([judgement])
    if as_json:
        print(json.dumps(judgement.model_dump(mode="json"), indent=2, ensure_ascii=False))
    else:
        print(f"kept: part {seq}, called {judgement.part.verdict}: {said_words(judgement)}, by {judgement.by}")


@app.command()
def page(
    *,
    out: Annotated[Path, typer.Option("--out", help="File to write; its name ends in .html.")],
    since: SinceOption = None,
    until: UntilOption = None,
    camera: CameraOption = None,
    recipe: RecipeOption = None,
    class_name: ClassOption = None,
    verdict: VerdictOption = None,
    sample_ok: RateOption = DEFAULT_RATE,
    limit: LimitOption = DEFAULT_LIMIT,
    again: AgainOption = False,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Write the same parts as one self-contained page, to be judged in any browser, without a network."""
    from appliance.learning.review.page import review_page  # noqa: PLC0415 (see above)
    from appliance.learning.review.parts import with_pictures  # noqa: PLC0415

    check_html(out, "--out")
    settings = load(find_config(config))
    query = result_query(since=since, until=until, camera=camera, recipe=recipe, class_name=class_name, verdict=verdict)
    with _viewer(settings) as (viewer, history):
        seqs = _seqs(viewer.results, query, history, sample_ok, again=again)
        parts = list(with_pictures(viewer, seqs, limit))
        with progress_bar("pictures") as progress:
            text = review_page(viewer, parts, settings, is_drawn=class_name is None, progress=progress)
    out.write_text(text, encoding="utf-8")
    figures = {"page": str(out), "parts": len(parts), "not_on_the_page": max(0, len(seqs) - len(parts))}
    if as_json:
        print(json.dumps(figures, indent=2))
    else:
        print(f"{out}: {len(parts)} parts; open it in a browser, then: appliance review import ANSWERS.json")


@app.command("import")
def import_answers(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Answers that a page has saved.")],
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Take the answers of a page in; the same file again changes nothing."""
    from appliance.learning.review.answers import read_answers, take_in  # noqa: PLC0415 (see above)
    from appliance.learning.review.ledger import ReviewLedger  # noqa: PLC0415

    answers = read_answers(file)
    settings = load(find_config(config))
    with _viewer(settings) as (viewer, _):
        taken = take_in(answers, file, viewer, ReviewLedger(settings.state_dir))
    if as_json:
        print(json.dumps(taken.figures(), indent=2))
        return
    print(f"{file}: {taken.new} answers kept, {taken.known} known before")
    if taken.overruled:
        shown = ", ".join(map(str, taken.overruled[:20]))
        print(f"note: left out, because these parts were judged again later: {shown}", file=sys.stderr)


def reviewer(given: str | None) -> str:
    """Name who judges."""
    return given if given is not None else whoami().partition(",")[0]


def _seqs(results: Results, query: ResultQuery, history: Any, ok_rate: float, *, again: bool) -> list[int]:
    from appliance.learning.review.parts import to_show  # noqa: PLC0415 (see above)

    with progress_bar("journal") as progress:
        return to_show(results, query, history, ok_rate=ok_rate, is_again=again, progress=progress)


@contextmanager
def _viewer(settings: ApplianceConfig) -> Iterator[tuple[Any, Any]]:
    """Yield what looks parts up, and the ledger's history; tells of damage in the ledger."""
    from appliance.learning.review.parts import PartViewer  # noqa: PLC0415 (see above)

    history = review_outcome.read_history(settings)
    with Results(settings.state_dir / "journal") as results:
        yield PartViewer(results, settings.state_dir / "images", settings.models_dir, history), history


def _open(path: Path) -> None:
    """Show a picture in the desktop's viewer, where there is a desktop."""
    opener = shutil.which("xdg-open")
    if opener is None or not (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")):
        print(f"no screen here; look at {path} elsewhere, or write a page: appliance review page --out review.html")
        return
    subprocess.run([opener, path], check=False, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)  # noqa: S603
