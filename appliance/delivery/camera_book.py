"""One camera's two tally files, as the publisher reads and writes them."""

import itertools
from collections.abc import Iterator
from pathlib import Path

from appliance.messages import Trigger
from appliance.tally import AnnouncedReader, DecidedWriter, Decision

RECALLED = 1024
"""Decisions looked at for parts whose views a predecessor had not decided all."""


class CameraBook:
    """Where we are in `announced`, and the pen for `decided`.

    Attributes:
        decided: None until the grabber has made its file.
    Raises:
        TallyError: A file is foreign, or not writable.
    """

    def __init__(self, runtime_dir: Path, camera: str, epoch: str) -> None:
        self._runtime_dir, self._camera, self._epoch = runtime_dir, camera, epoch
        self._announced = AnnouncedReader(runtime_dir, camera)
        self.decided: DecidedWriter | None = None
        self._next_id = 0
        self._first_id: int | None = None
        self.reopen()

    def reopen(self) -> None:
        """Look whether the grabber has made a (new) file."""
        first_id = self._announced.reopen()
        if first_id is None or self._announced.epoch != self._epoch or first_id == self._first_id:
            return
        if self.decided is not None:
            self.decided.close()
        self._first_id = first_id
        self.decided = DecidedWriter(self._runtime_dir, self._camera, self._epoch, first_id)
        self._next_id = self.decided.settled_id + 1

    def new_triggers(self) -> Iterator[Trigger]:
        """Yield triggers that were announced since the last call and are not decided."""
        if self.decided is None:
            self.reopen()
        while self.decided is not None and (trigger := self._announced.read(self._next_id)) is not None:
            self._next_id += 1
            if self.decided.read(trigger.trigger_id) is None:
                yield trigger

    def reread(self, trigger_id: int) -> Trigger | None:
        """Read an announced trigger again; None when there is none such (any more)."""
        return self._announced.read(trigger_id)

    def last_trigger(self) -> Trigger | None:
        """The trigger announced last, decided or not."""
        last_id = self._announced.last_id()
        return self._announced.read(last_id) if last_id is not None else None

    def has_passed(self, trigger_id: int) -> bool:
        """Whether an id was read, or will never come."""
        return self.decided is not None and trigger_id < self._next_id

    def recent_decisions(self) -> Iterator[tuple[Trigger, Decision]]:
        """Yield the newest decided triggers, in order; some of them may stand behind open ones."""
        if self.decided is None or self._first_id is None:
            return
        settled_id = self.decided.settled_id
        for trigger_id in itertools.count(max(settled_id - RECALLED, self._first_id - 1) + 1):
            trigger, decision = self._announced.read(trigger_id), self.decided.read(trigger_id)
            if trigger is None and trigger_id > settled_id:
                return
            if trigger is not None and decision is not None:
                yield trigger, decision

    def close(self) -> None:
        """Close both files."""
        self._announced.close()
        if self.decided is not None:
            self.decided.close()
