"""`appliance dataset capture`: pictures of the running line into a folder that a person opens in labelImg."""

import json
import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console

from appliance.box.status import read_status
from appliance.box.whereabouts import find_config
from appliance.cli.model_life import NICE
from appliance.cli.options import ConfigOption, JsonOption
from appliance.config import ApplianceConfig, load

if TYPE_CHECKING:
    from appliance.learning.capture import Capture

_LEAST = 19
"""Nobody steps further back; it starts a little less humbly, or it would never come to its work beside a busy line."""
_ATTACH_S = 20.0
_GRACE_S = 2.0
"""For results that are on their way when it ends; a second Ctrl-C doesn't wait for them."""
_MB = 1_000_000


def add(app: typer.Typer) -> None:
    """Hang the command into `appliance dataset`."""
    app.command("capture")(capture)


FolderArgument = Annotated[
    Path, typer.Argument(metavar="FOLDER", help="Where the pictures go; it may hold some from before.")
]
EveryOption = Annotated[int | None, typer.Option("--every", min=1, metavar="N", help="Every N-th picture.")]
NgOption = Annotated[bool, typer.Option("--ng", help="Pictures in which the model found a defect.")]
TriggerOption = Annotated[
    bool, typer.Option("--trigger", help="The next picture of each camera, each time Enter is pressed.")
]
UncertainOption = Annotated[
    bool,
    typer.Option(
        "--uncertain", help="Scores near their rule, a shadow model that disagrees, unusual light or sharpness."
    ),
]
MarginOption = Annotated[
    float, typer.Option("--margin", min=0.0, max=1.0, help="Uncertain: a score so near to its class's rule.")
]
CameraOption = Annotated[
    list[str] | None, typer.Option("--camera", help="Only this camera; may be repeated. Default: all.")
]
CountOption = Annotated[int | None, typer.Option("--count", min=1, help="End after so many pictures.")]
DurationOption = Annotated[float | None, typer.Option("--duration", min=0.1, help="End after so many seconds.")]
LimitOption = Annotated[int, typer.Option("--limit-mb", min=1, help="Most that the folder's pictures may take.")]
AlikeOption = Annotated[
    int | None,
    typer.Option(
        "--alike-bits", min=0, max=255, help="Duplicates differ in up to so many of 255 bits. Default: fits the line."
    ),
]
PrelabelOption = Annotated[
    bool, typer.Option("--prelabel", help="Write what the model in use found as Pascal VOC beside each picture.")
]


def capture(
    out: FolderArgument,
    *,
    every: EveryOption = None,
    ng: NgOption = False,
    trigger: TriggerOption = False,
    uncertain: UncertainOption = False,
    margin: MarginOption = 0.1,
    camera: CameraOption = None,
    count: CountOption = None,
    duration: DurationOption = None,
    limit_mb: LimitOption = 2000,
    alike_bits: AlikeOption = None,
    prelabel: PrelabelOption = False,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Take pictures from the running cameras for labelling, each once, with where it comes from; Ctrl-C ends it."""
    if not (every or ng or trigger or uncertain):
        raise typer.BadParameter("say which pictures: --every N, --ng, --uncertain, --trigger, or several of them")
    settings = load(find_config(config))
    names = [settings.camera(name).name for name in camera] if camera else [one.name for one in settings.cameras]
    os.nice(NICE)
    from appliance.learning.capture import Capture, CapturedFolder, CaptureRequest  # noqa: PLC0415 (brings OpenCV)

    request = CaptureRequest(
        every=every,
        ng=ng,
        on_request=trigger,
        uncertain=uncertain,
        margin=margin,
        count=count,
        duration_s=duration,
    )
    folder = CapturedFolder(
        out,
        limit_bytes=limit_mb * _MB,
        min_free_bytes=settings.recorder.warn_free_mb * _MB,
        alike_bits=alike_bits,
        class_names=_class_names(settings),
    )
    with closing(folder):
        work = Capture(settings, request, folder, cameras=names, exposure_of=_exposures(settings), prelabels=prelabel)
        with closing(work):
            _run(work, on_request=trigger, count=count)
    _tell(work.summary(), as_json=as_json)


def _class_names(config: ApplianceConfig) -> tuple[str, ...]:
    """Give the classes of the main recipe's model, in the order of its ids."""
    from appliance.config import load_recipe  # noqa: PLC0415
    from appliance.modelling import load_bundle  # noqa: PLC0415 (see above)

    return tuple(load_bundle(config.models_dir / load_recipe(config.recipe).model).class_names)


def _exposures(config: ApplianceConfig) -> Callable[[str], dict[str, float | None]]:
    def of(camera: str) -> dict[str, float | None]:
        said = read_status(config.runtime_dir, f"grab-{camera}") or {}
        return {name: said.get(name) for name in ("exposure_time_us", "gain")}

    return of


def _run(work: "Capture", *, on_request: bool, count: int | None) -> None:
    from appliance.learning.capture import StopReason  # noqa: PLC0415 (see above)

    stops: list[int] = []

    def note(number: int, frame: FrameType | None) -> None:  # noqa: ARG001 (signal's own signature)
        stops.append(number)
        work.stop = work.stop or StopReason.INTERRUPTED

    signal.signal(signal.SIGINT, note)
    signal.signal(signal.SIGTERM, note)
    os.nice(_LEAST)
    work.attach(_ATTACH_S)
    keys = [_Enter()] if on_request else []
    with _progress(hint="Enter takes the next picture; " * on_request) as show:
        while work.stop is None:
            for key in work.step(keys):
                assert isinstance(key, _Enter)
                presses = key.read()
                if presses is None:
                    keys, presses = [], _without_a_person(count)
                for _ in range(presses):
                    work.ask()
            show(work)
        if len(stops) < 2:
            work.finish(_GRACE_S)


def _without_a_person(count: int | None) -> int:
    """Nobody is there to press Enter: so as many as are ordered are asked for, one after another."""
    if count is None:
        raise typer.BadParameter("--trigger: nobody can press Enter (standard input is at its end); give --count N")
    return count


class _Enter:
    """Enter, pressed on standard input."""

    def fileno(self) -> int:
        return sys.stdin.fileno()

    def read(self) -> int | None:
        """Count the presses that wait; None when no more can come."""
        typed = os.read(self.fileno(), 4096)
        return typed.count(b"\n") if typed else None


@contextmanager
def _progress(hint: str) -> Iterator[Callable[["Capture"], None]]:
    """Show a line that counts, where a person looks."""
    if not sys.stderr.isatty():
        yield lambda work: None  # noqa: ARG005
        return
    with Console(stderr=True, highlight=False).status(f"{hint}waiting", refresh_per_second=4) as line:
        yield lambda work: line.update(hint + _counts(work.tally.figures()))


def _counts(figures: dict[str, Any]) -> str:
    told = f"{figures['taken']} taken, {figures['duplicates']} skipped as duplicates, {figures['missed']} missed"
    return told + (f", {figures['unanswered']} without a result" if figures["unanswered"] else "")


def _tell(summary: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        print(json.dumps(summary, indent=2))
        return
    print(f"{summary['folder']}: {_counts(summary)}; {summary['frames_seen']} frames seen in {summary['duration_s']} s")
    for reason, number in summary["by_reason"].items():
        print(f"  {reason}: {number}")
    if summary["simulated"]:
        print(f"{summary['simulated']} of them are simulated (is_simulated in the manifest)")
    if summary["stopped_by"] in {"limit_mb", "disk_nearly_full"}:
        mb = summary["bytes_in_folder"] // _MB
        print(f"stopped by {summary['stopped_by']}: the folder has {mb} MB; --limit-mb, recorder.warn_free_mb")
    if summary["taken"]:
        print(f"label them: labelImg {summary['folder']} {Path(summary['folder']) / 'predefined_classes.txt'}")
