"""`appliance dataset render-tabs`: rendered pictures of electrode tabs, with exact labels."""

import json
import math
import re
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from appliance.cli.options import JsonOption

# The renderer is imported when the command runs: OpenCV would slow every other command down.

_SMALLEST_PX, _LARGEST_PX = 96, 4096


def add(app: typer.Typer) -> None:
    """Hang the command into `appliance dataset`."""
    app.command("render-tabs")(render_tabs)


def render_tabs(
    out: Annotated[Path, typer.Option("--out", help="Folder to make.")],
    *,
    parts: Annotated[int, typer.Option("--parts", min=1, max=1_000_000, help="How many pictures.")] = 1000,
    seed: Annotated[int, typer.Option("--seed", min=0, help="The same seed gives the same bytes.")] = 1,
    regime: Annotated[str, typer.Option("--regime", help="in, or shift: other light, foil and optics.")] = "in",
    defect_share: Annotated[float, typer.Option("--defect-share", min=0, max=1, help="Of the parts.")] = 0.5,
    size: Annotated[str, typer.Option("--size", metavar="WxH", help="Frame in px.")] = "640x480",
    split: Annotated[
        str, typer.Option("--split", metavar="TRAIN,VAL,TEST", help="Shares of the parts; they add up to 1.")
    ] = "0.7,0.15,0.15",
    masks: Annotated[bool, typer.Option("--masks", help="Write a mask of each defective part too.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Render die-cut electrode tabs: images, Pascal VOC labels, a manifest. Rendered, never photographed."""
    from appliance.learning.tabs.export import SPLITS, Order, export  # noqa: PLC0415 (see above)
    from appliance.learning.tabs.regime import REGIMES  # noqa: PLC0415

    if regime not in REGIMES:
        raise typer.BadParameter(f"expected {' or '.join(REGIMES)}, got {regime!r}", param_hint="--regime")
    width, height = _size(size)
    shares = {name: share for name, share in zip(SPLITS, _shares(split), strict=True) if share > 0}
    order = Order(
        regime=REGIMES[regime],
        parts=parts,
        seed=seed,
        defect_share=defect_share,
        width_px=width,
        height_px=height,
        shares=shares,
        with_masks=masks,
    )
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    console = Console(stderr=True)
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task("rendering", total=parts)
        manifest = export(order, out, lambda done: progress.update(task, completed=done))
    if as_json:
        print(json.dumps({"out": str(out), **manifest}, indent=2))
    else:
        print(_text(out, manifest))


def _size(text: str) -> tuple[int, int]:
    found = re.fullmatch(r"(\d{1,5})x(\d{1,5})", text)
    width, height = (int(found[1]), int(found[2])) if found else (0, 0)
    if not (min(width, height) >= _SMALLEST_PX and max(width, height) <= _LARGEST_PX):
        wanted = f"WIDTHxHEIGHT, each {_SMALLEST_PX} to {_LARGEST_PX} px, such as 640x480"
        raise typer.BadParameter(f"expected {wanted}, got {text!r}", param_hint="--size")
    return width, height


def _shares(text: str) -> tuple[float, float, float]:
    try:
        train, val, test = (float(share) for share in text.split(","))
    except ValueError:
        train = val = test = math.nan
    if not (min(train, val, test) >= 0 and math.isclose(train + val + test, 1, abs_tol=1e-6)):
        raise typer.BadParameter(
            f"expected three shares that add up to 1, such as 0.7,0.15,0.15, got {text!r}", param_hint="--split"
        )
    return train, val, test


def _text(out: Path, manifest: dict[str, Any]) -> str:
    ng_counts = manifest["ng_counts"]
    splits = ", ".join(
        f"{name} {count} ({ng_counts.get(name, 0)} NG)" for name, count in manifest["part_counts"].items()
    )
    defects = ", ".join(f"{name} {count}" for name, count in sorted(manifest["defect_counts"].items())) or "none"
    return (
        f"{out}: rendered tabs, regime {manifest['regime']}, seed {manifest['seed']}, "
        f"{manifest['mm_per_px']:.4g} mm/px\n"
        f"parts: {splits}\ndefects: {defects}"
    )
