"""What a run looks like where there is no terminal: lines for people, or JSON for scripts."""

import sys

from appliance.box.run_state import RunState, ShownVerdict
from appliance.box.supervisor import Supervisor
from appliance.cli.verdict_text import verdict_line


class _StderrLines:
    """Forwards what the processes print."""

    def show_line(self, process: str, line: str) -> None:
        """Print a process's line on stderr."""
        print(f"{process}: {line}", file=sys.stderr, flush=True)

    def refresh(self, state: RunState, supervisor: Supervisor) -> None:
        """Nothing to redraw."""


class PlainView(_StderrLines):
    """One line a verdict."""

    def show_verdict(self, verdict: ShownVerdict) -> None:
        """Print the verdict for people."""
        print(verdict_line(verdict), flush=True)


class JsonView(_StderrLines):
    """One JSON object a line, as received."""

    def show_verdict(self, verdict: ShownVerdict) -> None:
        """Print the message untouched."""
        sys.stdout.buffer.write(verdict.raw + b"\n")
        sys.stdout.buffer.flush()
