"""`announced.<camera>`: every trigger that exists, written by its grabber before anybody hears of it."""

from pathlib import Path

from appliance.clock import boot_id
from appliance.errors import TallyFull
from appliance.messages import Trigger
from appliance.tally.decided import DecidedReader
from appliance.tally.ids import IdBlock, ledger_epoch
from appliance.tally.records import TallyFile, TallyHeader

KIND = 1


def announced_path(runtime_dir: Path, camera: str) -> Path:
    """Where a camera's triggers are announced."""
    return runtime_dir / f"announced.{camera}"


class AnnouncedWriter:
    """The grabber's pen. Goes on where a killed predecessor of this boot stopped.

    Attributes:
        next_trigger_id: Id that the next `announce` must carry; ids are dense.
        last: The trigger announced last, also by a predecessor of this boot; None before the first.
    Raises:
        TallyError: Files foreign or not writable.
    """

    def __init__(self, runtime_dir: Path, state_dir: Path, camera: str) -> None:
        self._ids = IdBlock(state_dir, f"trigger.{camera}")
        epoch = ledger_epoch(state_dir)
        path = announced_path(runtime_dir, camera)
        self._decided = DecidedReader(runtime_dir, camera)
        file = TallyFile.resume(path, KIND, epoch)
        if file is None:
            file = TallyFile.create(path, TallyHeader(KIND, boot_id(), epoch, self._ids.fresh_start))
        self._file = file
        last_id = file.last_id()
        record = file.read(last_id) if last_id is not None else None
        self.last: Trigger | None = Trigger.unpack(record) if record is not None else None
        self.next_trigger_id = file.header.first_id if last_id is None else last_id + 1
        self._ids.ensure(self.next_trigger_id)

    def announce(self, trigger: Trigger) -> None:
        """Write the next trigger: from now on it exists and must get a verdict.

        Raises:
            TallyFull: The trigger whose place it would take is still undecided.
            ValueError: Not the next id.
        """
        number = trigger.trigger_id
        if number != self.next_trigger_id:
            raise ValueError(f"trigger ids are dense: expected {self.next_trigger_id}, got {number}")
        oldest = number - self._file.header.capacity
        if oldest >= self._file.header.first_id and not self._decided.has(oldest):
            raise TallyFull(f"{self._file.path}: trigger {oldest} is still undecided; is the publisher running?")
        self._ids.ensure(number)
        self._file.write(number, trigger.pack())
        self.next_trigger_id, self.last = number + 1, trigger
        self._ids.reserve_ahead(number)

    def amend(self, trigger: Trigger) -> None:
        """Write an announced trigger again, with a reason that was not known before it was offered."""
        if trigger.trigger_id >= self.next_trigger_id:
            raise ValueError(f"trigger {trigger.trigger_id} was never announced")
        self._file.write(trigger.trigger_id, trigger.pack())

    def close(self) -> None:
        """Close; the file stays for the publisher and the next grabber."""
        self._ids.close()
        self._file.close()
        self._decided.close()


class AnnouncedReader:
    """Reads a camera's triggers; opens the file when it appears and again when a grabber puts a new one in place."""

    def __init__(self, runtime_dir: Path, camera: str) -> None:
        self._path = announced_path(runtime_dir, camera)
        self._file: TallyFile | None = None

    def reopen(self) -> int | None:
        """Look at the path again; gives the file's first id, or None when there is no file of this boot.

        Raises:
            TallyError: The file is foreign.
        """
        if self._file is not None and not self._file.is_current():
            self.close()
        if self._file is None:
            file = TallyFile.open_existing(self._path)
            if file is not None and file.header.boot != boot_id():
                file.close()
                file = None
            self._file = file
        return self._file.header.first_id if self._file is not None else None

    @property
    def epoch(self) -> str | None:
        """The ledger epoch of the open file."""
        return self._file.header.epoch if self._file is not None else None

    def read(self, trigger_id: int) -> Trigger | None:
        """Read one trigger; None when it is not announced (yet)."""
        record = self._file.read(trigger_id) if self._file is not None else None
        return Trigger.unpack(record) if record is not None else None

    def last_id(self) -> int | None:
        """Highest announced id; None when there is none."""
        return self._file.last_id() if self._file is not None else None

    def close(self) -> None:
        """Close the file, if open."""
        if self._file is not None:
            self._file.close()
            self._file = None
