"""`decided.<camera>`: the one terminal state of every trigger, written by the publisher before it sends.

Byte map of a record, little endian, 64 bytes:

    offset  size  field
         0     4  crc32 of bytes 4..63
         4     1  verdict (VerdictWord)
         5     1  reason (Reason)
         6     2  flags: 1 = handed to the wire (once, after this write; never again)
         8     8  trigger_id
        16     8  inspection_id
        24     8  verdict_seq
        32     8  decided_ns, CLOCK_MONOTONIC
        40     8  deadline_ns, CLOCK_MONOTONIC
        48     8  part_ns: time of a part with several views, CLOCK_MONOTONIC; 0 for a part of one trigger
        56     2  exposure of the part that this trigger is, by its number in the recipe
        58     6  zero

The triggers of one inspection are written one after another. A successor of a publisher that was killed in between
knows the inspection by `inspection_id` and `part_ns`, and closes the rest of it as it was decided.

The checkpoint in the header page holds totals of all ids up to `settled_id` (none of them open), so counts survive
both a killed publisher and records that the window has left behind: counts = checkpoint + records after it.
"""

import struct
import zlib
from dataclasses import dataclass, field
from pathlib import Path

from appliance.clock import boot_id
from appliance.messages import Reason, VerdictWord
from appliance.tally.records import CHECKPOINT_OFFSET, TallyFile, TallyHeader

KIND = 2
_BODY = struct.Struct("<BBHQQQQQQH6x")
_CRC = struct.Struct("<I")
_REASONS = 64
_CHECKPOINT = struct.Struct(f"<QQQQ{_REASONS}Q")
CHECKPOINT_EVERY = 256


def decided_path(runtime_dir: Path, camera: str) -> Path:
    """Where a camera's decisions stand."""
    return runtime_dir / f"decided.{camera}"


@dataclass(frozen=True)
class Decision:
    """A trigger's terminal state; field meanings are the module's byte map."""

    trigger_id: int
    inspection_id: int
    verdict_seq: int
    verdict: VerdictWord
    reason: Reason
    is_sent: bool
    decided_ns: int
    deadline_ns: int
    part_ns: int = 0
    exposure: int = 0

    def pack(self) -> bytes:
        """Encode as 64 bytes with their CRC."""
        body = _BODY.pack(
            self.verdict,
            self.reason,
            int(self.is_sent),
            self.trigger_id,
            self.inspection_id,
            self.verdict_seq,
            self.decided_ns,
            self.deadline_ns,
            self.part_ns,
            self.exposure,
        )
        return _CRC.pack(zlib.crc32(body)) + body

    @classmethod
    def unpack(cls, record: bytes) -> "Decision":
        """Decode an intact record."""
        (verdict, reason, flags, trigger, inspection, sequence, decided, deadline, part, exposure) = _BODY.unpack_from(
            record, 4
        )
        return cls(
            trigger_id=trigger,
            inspection_id=inspection,
            verdict_seq=sequence,
            verdict=VerdictWord(verdict),
            reason=Reason(reason),
            is_sent=bool(flags & 1),
            decided_ns=decided,
            deadline_ns=deadline,
            part_ns=part,
            exposure=exposure,
        )


@dataclass
class Totals:
    """Decisions counted, by verdict and reason. `settled_id`: no id up to it is open."""

    settled_id: int
    ok: int = 0
    ng: int = 0
    unknown: int = 0
    by_reason: dict[Reason, int] = field(default_factory=dict)

    def add(self, decision: Decision) -> None:
        """Count one decision."""
        if decision.verdict is VerdictWord.OK:
            self.ok += 1
        elif decision.verdict is VerdictWord.NG:
            self.ng += 1
        else:
            self.unknown += 1
            self.by_reason[decision.reason] = self.by_reason.get(decision.reason, 0) + 1

    def pack(self) -> bytes:
        """Encode as a checkpoint."""
        reasons = [0] * _REASONS
        for reason, number in self.by_reason.items():
            reasons[reason] = number
        body = _CHECKPOINT.pack(self.settled_id, self.ok, self.ng, self.unknown, *reasons)
        return _CRC.pack(zlib.crc32(body)) + body

    @classmethod
    def unpack(cls, page: bytes) -> "Totals | None":
        """Decode a checkpoint; None when none was written, or its CRC differs."""
        body = page[4 : 4 + _CHECKPOINT.size]
        if len(body) < _CHECKPOINT.size or _CRC.unpack_from(page)[0] != zlib.crc32(body):
            return None
        settled_id, ok, ng, unknown, *reasons = _CHECKPOINT.unpack(body)
        return cls(settled_id, ok, ng, unknown, {Reason(code): n for code, n in enumerate(reasons) if n})


class DecidedWriter:
    """The publisher's pen for one camera. Goes on where a killed predecessor of this boot stopped.

    Attributes:
        was_resumed: Whether a predecessor's file was found.
    """

    def __init__(self, runtime_dir: Path, camera: str, epoch: str, first_id: int) -> None:
        path = decided_path(runtime_dir, camera)
        file = TallyFile.resume(path, KIND, epoch)
        if file is not None and file.header.first_id != first_id:  # the grabber began a new file: so do we
            file.close()
            file = None
        self.was_resumed = file is not None
        if file is None:
            file = TallyFile.create(path, TallyHeader(KIND, boot_id(), epoch, first_id))
        self._file = file
        self._totals = _read_totals(file)
        self._since_checkpoint = 0
        self._settle()
        self._checkpoint()

    @property
    def settled_id(self) -> int:
        """Highest id of which neither itself nor any lower one is open."""
        return self._totals.settled_id

    def read(self, trigger_id: int) -> Decision | None:
        """Read a decision; None while the trigger is open, or long after it left the window."""
        record = self._file.read(trigger_id)
        return Decision.unpack(record) if record is not None else None

    def decide(self, decision: Decision) -> None:
        """Write a decision: it is final from now on, and marked as sent if it is about to be.

        Raises:
            ValueError: The trigger is decided already.
        """
        if decision.trigger_id <= self.settled_id or self.read(decision.trigger_id) is not None:
            raise ValueError(f"trigger {decision.trigger_id} is decided already")
        self._file.write(decision.trigger_id, decision.pack())
        self._settle()
        if self._since_checkpoint >= CHECKPOINT_EVERY:
            self._checkpoint()

    def highest_ids(self) -> tuple[int, int]:
        """Highest inspection_id and verdict_seq in the file; zeros when it is empty."""
        return self._file.highest(16), self._file.highest(24)

    def close(self) -> None:
        """Write a checkpoint and close."""
        self._checkpoint()
        self._file.close()

    def _settle(self) -> None:
        while (decision := self.read(self._totals.settled_id + 1)) is not None:
            self._totals.add(decision)
            self._totals.settled_id = decision.trigger_id
            self._since_checkpoint += 1

    def _checkpoint(self) -> None:
        self._file.write_page(CHECKPOINT_OFFSET, self._totals.pack())
        self._since_checkpoint = 0


class DecidedReader:
    """Reads a camera's decisions; opens the file when it appears and again when a new one takes its place."""

    def __init__(self, runtime_dir: Path, camera: str) -> None:
        self._path = decided_path(runtime_dir, camera)
        self._file: TallyFile | None = None

    def has(self, trigger_id: int) -> bool:
        """Whether a trigger is decided."""
        file = self._current()
        return file is not None and (file.read(trigger_id) is not None or trigger_id <= _read_totals(file).settled_id)

    def read(self, trigger_id: int) -> Decision | None:
        """Read a decision; None while there is none."""
        record = self._file.read(trigger_id) if self._file is not None else None
        return Decision.unpack(record) if record is not None else None

    def totals(self) -> Totals | None:
        """Read the checkpoint; None when there is no file of this boot."""
        file = self._current()
        return _read_totals(file) if file is not None else None

    def close(self) -> None:
        """Close the file, if open."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def _current(self) -> TallyFile | None:
        if self._file is not None and not self._file.is_current():
            self.close()
        if self._file is None:
            self._file = TallyFile.open_existing(self._path)
        if self._file is not None and self._file.header.boot != boot_id():
            self.close()
        return self._file


def _read_totals(file: TallyFile) -> Totals:
    page = file.read_page(CHECKPOINT_OFFSET, _CRC.size + _CHECKPOINT.size)
    return Totals.unpack(page) or Totals(settled_id=file.header.first_id - 1)
