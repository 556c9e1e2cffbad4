"""What a run looks like on a terminal: redrawn a few times a second."""

import time
from collections import Counter
from types import TracebackType
from typing import Any, Self

from rich.console import Console, ConsoleDimensions, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from appliance.box.run_state import RunState, ShownVerdict
from appliance.box.supervisor import Supervisor
from appliance.cli.verdict_text import mark_text, why

_REDRAW_S = 0.2
_OTHER_LINES = 11  # headings, gaps, figures below
_WIDTH_BEFORE_WHY = 56
_STYLES = {
    "OK": "green",
    "NG": "red",
    "UNKNOWN": "yellow",
    "ESCAPE": "bold white on red",
    "FALSE REJECT": "bold magenta",
}


class LiveView:
    """Cameras, processes and the last verdicts, in one picture."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._live = Live(console=console, auto_refresh=False, transient=True)
        self._drawn_at = 0.0

    def __enter__(self) -> Self:
        self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._live.stop()

    def show_verdict(self, verdict: ShownVerdict) -> None:
        """Nothing: the next picture shows it."""

    def show_line(self, process: str, line: str) -> None:
        """Print a process's line above the picture."""
        self._console.print(f"{process}: {line}", markup=False, highlight=False)

    def refresh(self, state: RunState, supervisor: Supervisor) -> None:
        """Redraw when it is time."""
        now = time.monotonic()
        if now - self._drawn_at >= _REDRAW_S:
            self._drawn_at = now
            self._live.update(_picture(state, supervisor, self._console.size), refresh=True)


def _picture(state: RunState, supervisor: Supervisor, size: ConsoleDimensions) -> RenderableType:
    """Fit everything into the terminal; verdicts get what the rest leaves."""
    latency = state.latency_ms.summary()
    cameras = len((state.status or {}).get("cameras", {})) or 1
    left = size.height - cameras - len(supervisor.children) - _OTHER_LINES
    parts: list[RenderableType] = [
        _cameras(state),
        Text(),
        _processes(supervisor, state.status),
        Text(),
        _verdicts(list(state.recent)[-max(left, 1) :], size.width),
        Text(),
        Text(f"latency, exposure to verdict: p50 {latency['p50']:.1f} ms, p99 {latency['p99']:.1f} ms"),
    ]
    if state.has_truth:
        parts.extend(Text(line) for line in state.scoreboard.lines())
    parts.append(Text("stopping …" if supervisor.is_stopping else "Ctrl-C stops", style="dim"))
    return Group(*parts)


def _cameras(state: RunState) -> Table:
    table = _table("camera", "state", "OK", "NG", "UNKNOWN", "frames/s", "ring", "copies/frame")
    cameras: dict[str, dict[str, Any]] = (state.status or {}).get("cameras", {})
    for name in sorted(cameras.keys() | state.words.keys()):
        camera, words = cameras.get(name, {}), state.words.get(name, Counter[str]())
        ring = camera.get("ring", {"leased": 0, "slots": 0, "dropped": 0})
        table.add_row(
            name,
            camera.get("state", "starting"),
            *(Text(str(words[word]), style=_STYLES[word]) for word in ("OK", "NG", "UNKNOWN")),
            f"{camera.get('fps', 0.0):.1f}",
            f"{ring['leased']}/{ring['slots']} lent, {ring['dropped']} dropped",
            str(camera.get("copies_per_frame", "")),
        )
    return table


def _processes(supervisor: Supervisor, status: dict[str, Any] | None) -> Table:
    table = _table("process", "state", "pid", "restarts", "memory MB", "CPU %")
    told: dict[str, dict[str, Any]] = (status or {}).get("processes", {})
    for child in supervisor.children:
        cost = told.get(child.spec.name, {})
        numbers = (child.pid, child.restarts, cost.get("rss_mb"), cost.get("cpu_percent"))
        cells = ["" if number is None else str(number) for number in numbers]
        table.add_row(child.spec.name, child.state.value, *cells)
    return table


def _verdicts(recent: list[ShownVerdict], width: int) -> Table:
    table = _table("verdict", "camera", "said", "truth", "", "ms")
    table.add_column("why", no_wrap=True, max_width=max(width - _WIDTH_BEFORE_WHY, 10))
    for verdict in recent:
        word = verdict.message["verdict"]
        table.add_row(
            str(verdict.message["verdict_seq"]),
            verdict.camera,
            Text(word, style=_STYLES[word]),
            verdict.truth or "",
            Text(mark_text(verdict), style=_STYLES.get(verdict.mark or "", "")),
            f"{verdict.latency_ms:.1f}",
            why(verdict.message),
        )
    return table


def _table(*headings: str) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold underline")
    for heading in headings:
        table.add_column(heading, no_wrap=True)
    return table
