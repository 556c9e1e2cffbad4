"""A ring with a camera, and readers on demand, all in one process."""

from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

from appliance.messages import Reason, Trigger
from appliance.ring import FrameRing, ReaderRole, RingLayout, RingReader
from appliance.testing.marked_frames import MarkingCamera, marked_layout


class RingStand:
    """Starts writers and readers; the exit stack closes them."""

    def __init__(self, path: Path, stack: ExitStack) -> None:
        self.path = path
        self._stack = stack

    def start(self, layout: RingLayout | None = None, **options: Any) -> FrameRing:
        """Start a writer, with a camera whose `outcomes` see every frame end once."""
        outcomes: dict[int, Reason] = {}

        def lose(trigger: Trigger, reason: Reason) -> None:
            assert outcomes[trigger.trigger_id] is Reason.NONE, "a second outcome"
            outcomes[trigger.trigger_id] = reason

        self.ring = FrameRing(self.path, on_lost=lose, **options)
        self._stack.enter_context(closing(self.ring))
        self.ring.renew(layout or marked_layout(8))
        self.camera = MarkingCamera(self.ring, outcomes=outcomes)
        return self.ring

    def reader(self, role: ReaderRole = ReaderRole.INSPECTOR) -> RingReader:
        """Connect a reader and have it welcomed, or refused."""
        reader = RingReader(self.path, role)
        self._stack.enter_context(closing(reader))
        assert reader.connect()
        self.settle()
        return reader

    def settle(self) -> None:
        """Let the service thread's work be done: accept, hear hellos, releases and ends."""
        for _ in range(3):
            self.ring.serve(0)
