"""`appliance results`: look results up, export them, fetch their images. Works whether the recorder runs or not."""

import json
import shutil
import sys
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, Literal

import typer
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from appliance.box.whereabouts import find_config
from appliance.cli.moment import moment_us
from appliance.cli.options import ConfigOption, JsonOption
from appliance.cli.result_text import COLUMNS, local_time, result_lines, result_row
from appliance.config import ApplianceConfig, load
from appliance.errors import JournalError, ResultMissing
from appliance.records.export import ExportFormat, export
from appliance.records.picture import Picture, pictures
from appliance.records.results import MOST_SEQ, ResultQuery, Results

app = typer.Typer(no_args_is_help=True, help="Look results up in the journal, export them, fetch their images.")

_PROGRESS_FROM = 2000

SinceOption = Annotated[
    str | None, typer.Option("--since", help="From this time on: RFC 3339, a day, today, or an age: 30m, 1h, 2d.")
]
UntilOption = Annotated[str | None, typer.Option("--until", help="Before this time.")]
PartOption = Annotated[str | None, typer.Option("--part", help="Part id.")]
VerdictOption = Annotated[Literal["OK", "NG", "UNKNOWN"] | None, typer.Option("--verdict", case_sensitive=False)]
ClassOption = Annotated[str | None, typer.Option("--class", help="Class of at least one defect.")]
CameraOption = Annotated[str | None, typer.Option("--camera", help="Camera of at least one view.")]
ReasonOption = Annotated[str | None, typer.Option("--reason", help="Reason of an UNKNOWN, e.g. late.")]
SeqArgument = Annotated[
    int, typer.Argument(metavar="SEQ", min=0, max=MOST_SEQ, help="Seq of the result, as `results list` shows it.")
]


@app.command("list")
def list_results(
    *,
    config: ConfigOption = None,
    since: SinceOption = None,
    until: UntilOption = None,
    part: PartOption = None,
    verdict: VerdictOption = None,
    class_name: ClassOption = None,
    camera: CameraOption = None,
    reason: ReasonOption = None,
    limit: Annotated[int, typer.Option("--limit", min=1, help="At most so many, the newest.")] = 50,
    as_json: JsonOption = False,
) -> None:
    """List the newest results that match, newest first; what a shadow model says is left to `model shadow report`."""
    query = result_query(
        since=since, until=until, part=part, verdict=verdict, class_name=class_name, camera=camera, reason=reason
    )
    query = replace(query, without_shadows=True)
    with _results(load(find_config(config))) as results:
        found = results.newest(query, limit)
    if as_json:
        print(json.dumps(found, indent=2))
        return
    table = Table()
    for heading in COLUMNS:
        table.add_column(heading, no_wrap=heading in ("seq", "time", "verdict"))
    for record in found:
        table.add_row(*result_row(record))
    Console().print(table)
    if len(found) == limit:
        print(f"the newest {limit}; --limit shows more", file=sys.stderr)


@app.command()
def show(seq: SeqArgument, config: ConfigOption = None, as_json: JsonOption = False) -> None:
    """Show one result with all that is known of it."""
    settings = load(find_config(config))
    with _results(settings) as results:
        record = results.get(seq)
        found = pictures(record, results, settings.state_dir / "images")
    if as_json:
        print(json.dumps(record, indent=2))
        return
    console = Console()
    for line in [*result_lines(record), *(_picture_line(each) for each in found), *_reviews(record, settings)]:
        console.print(line, highlight=False, markup=False, soft_wrap=True)


@app.command("export")
def export_results(
    *,
    config: ConfigOption = None,
    file_format: Annotated[ExportFormat, typer.Option("--format", help="parquet needs the extra [parquet].")] = "csv",
    out: Annotated[Path | None, typer.Option("--out", help="File to write; default: stdout (not parquet).")] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the file if it exists.")] = False,
    since: SinceOption = None,
    until: UntilOption = None,
    part: PartOption = None,
    verdict: VerdictOption = None,
    class_name: ClassOption = None,
    camera: CameraOption = None,
    reason: ReasonOption = None,
) -> None:
    """Export all results that match, oldest first."""
    if out is None and file_format == "parquet":
        raise typer.BadParameter("parquet is written to a file only; add --out FILE")
    if out is not None and out.exists() and not overwrite:
        raise typer.BadParameter(f"{out} exists; choose another name or add --overwrite")
    query = result_query(
        since=since, until=until, part=part, verdict=verdict, class_name=class_name, camera=camera, reason=reason
    )
    with _results(load(find_config(config))) as results:
        console = Console(stderr=True)
        records = _with_progress(results, query, console) if console.is_terminal and out else results.each(query)
        try:
            written = export(records, file_format, out)
        except OSError as error:
            if out is None or isinstance(error, JournalError):
                raise
            raise typer.BadParameter(f"{out} can't be written: {error.strerror}") from error
    if out is not None:
        print(f"{written} results written to {out}")


@app.command()
def image(
    seq: SeqArgument,
    *,
    config: ConfigOption = None,
    out: Annotated[Path | None, typer.Option("--out", help="Copy to this file, or into this folder.")] = None,
    thumbnail: Annotated[bool, typer.Option("--thumbnail", help="The small annotated one.")] = False,
    camera: CameraOption = None,
    as_json: JsonOption = False,
) -> None:
    """Print where the images of a result are, or copy them."""
    settings = load(find_config(config))
    with _results(settings) as results:
        record = results.get(seq)
        found = [
            each
            for each in pictures(record, results, settings.state_dir / "images")
            if camera is None or each.camera == camera
        ]
    if as_json:
        print(json.dumps([vars(each) for each in found], indent=2, default=str))
        return
    if not found:
        raise ResultMissing(
            f"result {seq} ({record['verdict']}): no image{_of(camera)} was kept: OK parts are only sampled"
        )
    paths = list(dict.fromkeys(path for each in found if (path := each.thumbnail if thumbnail else each.path)))
    if not paths:
        why = "; ".join(f"{each.camera}/{each.view}: {each.missing_because or 'it has no thumbnail'}" for each in found)
        raise ResultMissing(f"result {seq}: no image: {why}")
    for path in paths if out is None else _copied(paths, out):
        print(path)


@app.command()
def journal(config: ConfigOption = None, as_json: JsonOption = False) -> None:
    """Show the journal itself: epoch, rows, size, and how far each consumer has got."""
    settings = load(find_config(config))
    with _results(settings) as results:
        document = _journal_document(results, settings.recorder.required_consumers)
    if as_json:
        print(json.dumps(document, indent=2))
        return
    console = Console()
    size = f"{document['bytes'] / 1e6:.1f} MB, partitions: {document['partitions']}"
    rows = f"seq {document['oldest_seq']} to {document['head_seq']}"
    console.print(f"epoch {document['epoch']}: {rows} in {size}", highlight=False)
    table = Table("consumer", "acknowledged", "behind", "required", "last heard")
    for name, each in document["consumers"].items():
        last = each["at"] or "never"
        table.add_row(name, str(each["seq"]), str(each["lag"]), "yes" if each["is_required"] else "no", last)
    console.print(table)


def _journal_document(results: Results, required: tuple[str, ...]) -> dict[str, Any]:
    reader = results.journal
    head, partitions = reader.head_seq, reader.partitions()
    noted = {each.consumer: each for each in reader.acknowledgements()}
    return {
        "epoch": reader.epoch,
        "head_seq": head,
        "oldest_seq": reader.oldest_seq,
        "partitions": len(partitions),
        "bytes": sum(partition.bytes for partition in partitions),
        "consumers": {
            name: {
                "seq": noted[name].seq if name in noted else 0,
                "lag": head - (noted[name].seq if name in noted else 0),
                "is_required": name in required,
                "at": _local_text(noted[name].at_us) if name in noted else None,
            }
            for name in sorted({*noted, *required})
        },
    }


def _results(settings: ApplianceConfig) -> Results:
    return Results(settings.state_dir / "journal")


def result_query(
    *,
    since: str | None = None,
    until: str | None = None,
    part: str | None = None,
    verdict: str | None = None,
    class_name: str | None = None,
    camera: str | None = None,
    reason: str | None = None,
    recipe: str | None = None,
) -> ResultQuery:
    """Make a query of a command's options; None matches everything."""
    now = datetime.now().astimezone()
    return ResultQuery(
        since_us=moment_us(since, now) if since is not None else None,
        until_us=moment_us(until, now) if until is not None else None,
        part=part,
        verdict=verdict,
        class_name=class_name,
        camera=camera,
        reason=reason,
        recipe=recipe,
    )


def _with_progress(results: Results, query: ResultQuery, console: Console) -> Iterator[dict[str, Any]]:
    total = results.count(query)
    with Progress(console=console, transient=True, disable=total < _PROGRESS_FROM) as progress:
        yield from progress.track(results.each(query), total=total, description="exporting")


def _copied(paths: list[Path], out: Path) -> list[Path]:
    if out.is_dir():
        return [Path(shutil.copyfile(path, out / path.name)) for path in paths]
    if len(paths) > 1:
        raise typer.BadParameter(f"{len(paths)} images: give a folder that exists, or choose one with --camera")
    return [Path(shutil.copyfile(paths[0], out))]


def _picture_line(picture: Picture) -> str:
    return f"image {picture.camera}/{picture.view}: {picture.path or picture.missing_because}"


def _reviews(record: dict[str, Any], settings: ApplianceConfig) -> list[str]:
    """Write what people said of a part, oldest first."""
    from appliance.cli.review_session import said_words  # noqa: PLC0415 (one command in six needs it)
    from appliance.learning.review.ledger import ReviewLedger  # noqa: PLC0415

    said = ReviewLedger(settings.state_dir).read().judgements
    of_part = [one for one in said if one.part.key == (record["epoch"], record["seq"])]
    return [f"review: {said_words(one)}, by {one.by}, {local_time(one.at.isoformat())}" for one in of_part]


def _of(camera: str | None) -> str:
    return f" of {camera}" if camera is not None else ""


def _local_text(unix_us: int) -> str:
    return datetime.fromtimestamp(unix_us / 1_000_000).astimezone().isoformat(timespec="seconds")
