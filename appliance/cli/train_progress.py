"""What a person sees of a training: a bar on a terminal, a line for each epoch elsewhere."""

import sys
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from appliance.learning.training_run.reporter import EpochDone


class TrainProgress:
    """Tells on stderr; `with` shows and hides the bars."""

    def __init__(self) -> None:
        self._is_terminal = sys.stderr.isatty()
        self._console = Console(stderr=True, soft_wrap=True)
        self._bars = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.fields[told]}"),
            TimeElapsedColumn(),
            console=self._console,
            transient=True,
            disable=not self._is_terminal,
        )
        self._tasks: dict[str, TaskID] = {}
        self._best = "-"
        self._total_epochs = 0
        self._said_progress: set[str] = set()

    def __enter__(self) -> Self:
        self._bars.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bars.stop()

    def say(self, line: str) -> None:
        """See `Reporter`."""
        self._console.print(line, highlight=False, markup=False)

    def begin(self, epochs: int) -> None:
        """See `Reporter`."""
        self._total_epochs = epochs

    def step(self, epochs_done: float | None, loss: float | None, minutes_left: float | None) -> None:
        """See `Reporter`."""
        if self._total_epochs and epochs_done is not None:
            self._show("training", epochs_done, self._total_epochs, self._told(loss, minutes_left))

    def epoch(self, done: EpochDone) -> None:
        """See `Reporter`."""
        self._total_epochs = done.epochs
        measured = done.val_map50 is not None
        if measured:
            self._best = f"{done.val_map50:.4f}"
        told = self._told(done.loss, done.minutes_left)
        self._show("training", done.epoch, done.epochs, told)
        if measured or not self._is_terminal:
            precision = f"  val mAP@0.5 {done.val_map50:.4f}" if measured else ""
            loss = "-" if done.loss is None else f"{done.loss:.4f}"
            left = "" if done.minutes_left is None else f", about {done.minutes_left:.1f} min left"
            self.say(f"epoch {done.epoch}/{done.epochs}  loss {loss}{precision}  {done.minutes:.1f} min done{left}")

    def progress(self, what: str, done: int, total: int) -> None:
        """See `Reporter`; off a terminal a step is named when it begins."""
        self._show(what, done, total, f"{done}/{total}")
        if not self._is_terminal and what not in self._said_progress:
            self._said_progress.add(what)
            self.say(what)

    def _told(self, loss: float | None, minutes_left: float | None) -> str:
        left = "" if minutes_left is None else f", {minutes_left:.0f} min left"
        return f"loss {'-' if loss is None else f'{loss:.3f}'}, val mAP@0.5 {self._best}{left}"

    def _show(self, what: str, done: float, total: float, told: str) -> None:
        if what not in self._tasks:
            self._tasks[what] = self._bars.add_task(what, total=total, told=told)
        task = self._tasks[what]
        self._bars.update(task, completed=done, total=total, told=told)
        if done >= total:
            self._bars.remove_task(self._tasks.pop(what))
