"""A capture at work: frames from the rings, what was found in them from the result lane, pictures into a folder.

    frame ──▶ held as a copy ──▶ its result came ──▶ wanted? ──▶ thread: alike? ──▶ picture, then its line
                                └▶ a result without a frame here, that was wanted: missed

It waits for nobody and nobody for it: a reader of two slots whose misses the ring doesn't count, like the shadow, and a
subscriber of the result lane like any MES. Killed, stopped or slow it costs pictures.
"""

from __future__ import annotations

import json
import select
import time
from collections import deque
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

from appliance.clock import NS_PER_S
from appliance.config import ApplianceConfig
from appliance.errors import NotRunning, PublishError
from appliance.learning.capture.case import Case, Cases, Frame
from appliance.learning.capture.folder import CapturedFolder, Outcome
from appliance.learning.capture.prelabels import found_classes, prelabel_text
from appliance.learning.capture.provenance import describe
from appliance.learning.capture.reasons import Rules, reasons
from appliance.learning.capture.request import CaptureRequest, StopReason
from appliance.learning.capture.tally import Tally
from appliance.learning.capture.tap import ExposureOf, FrameTap
from appliance.records.work_thread import WorkThread
from appliance.rollout.shadow import shadow_path
from appliance.wire.result_lane import Result, ResultSubscriber
from appliance.wire.sockets import box_keys_for

_HOLD_BYTES = 256_000_000
"""Most memory of frames that wait for their results, or to be written."""
_LONGEST_SLEEP_S = 0.1
_AT_WORK = 4
"""Pictures given to the thread at a time: what isn't given yet may still be left when the count is reached."""


class Readable(Protocol):
    """Something else that ends a sleep."""

    def fileno(self) -> int:
        """Descriptor to poll."""
        ...


class Capture:
    """One capture; `step` is one turn of its loop. Single-threaded, but for the thread that writes.

    Args:
        folder: Where the pictures go; stays the caller's.
        cameras: Their names.
        exposure_of: As `tap.ExposureOf`.
        prelabels: Write what the model in use found beside each picture.
    Raises:
        ConfigError: A recipe can't be read.
        KeysError: The result lane needs keys, and the box's can't be read.
    """

    def __init__(
        self,
        config: ApplianceConfig,
        request: CaptureRequest,
        folder: CapturedFolder,
        *,
        cameras: Sequence[str],
        exposure_of: ExposureOf,
        prelabels: bool = False,
    ) -> None:
        self._config, self._request, self._folder, self._prelabels = config, request, folder, prelabels
        self._rules = Rules(config)
        endpoint = config.recorder.result_endpoint
        self._lane = ResultSubscriber(endpoint, keys=box_keys_for(endpoint, config.effective_keys_dir))
        sockets = {name: config.runtime_dir / f"ring.{name}.sock" for name in cameras}
        self._tap = FrameTap(sockets, request, exposure_of)
        self._thread = WorkThread("pictures")
        self._cases = Cases()
        self._wanted: deque[tuple[Case, Frame, list[dict[str, Any]]]] = deque()
        self._held_bytes = 0
        self._started_ns = time.monotonic_ns()
        self.tally = Tally()
        self.stop: StopReason | None = None

    def attach(self, patience_s: float) -> None:
        """Wait until results come, and then for frames: so that no frame is held whose result went by.

        Ends early when `stop` is set meanwhile (by a signal's handler).

        Raises:
            NotRunning: Nobody answers.
        """
        end = time.monotonic() + patience_s
        while self.stop is None and self._receive_result(_LONGEST_SLEEP_S) is None:
            if time.monotonic() > end:
                raise NotRunning(
                    f"{self._config.recorder.result_endpoint}: no recorder answers; start the appliance "
                    f"(appliance run --config FILE), or name its configuration with --config"
                )
        while self.stop is None and not self._tap.feeds:
            self._tap.connect(time.monotonic_ns())
            if time.monotonic() > end:
                raise NotRunning(f"{self._config.runtime_dir}: no camera's ring answers; see appliance status")
            time.sleep(0.01)
        self._started_ns = time.monotonic_ns()

    def ask(self) -> None:
        """Ask for the next frame of each camera."""
        self._tap.ask(time.monotonic_ns())

    def step(self, others: Sequence[Readable] = ()) -> list[Readable]:
        """Do what there is to do, or sleep for a moment.

        Returns:
            Those of `others` that became readable.
        Raises:
            DatasetError: The disk failed.
        """
        now_ns = time.monotonic_ns()
        self._tap.connect(now_ns)
        sources: list[Readable] = [self._lane, self._thread, *self._tap.feeds, *others]
        ready, _, _ = select.select(sources, [], [], _LONGEST_SLEEP_S)
        for frame in self._tap.take(_HOLD_BYTES - self._held_bytes):
            self._held_bytes += frame.pixels.nbytes
            self._cases.add_frame(frame, now_ns)
        self._advance()
        duration_s = self._request.duration_s
        if self.stop is None and duration_s is not None and self.elapsed_s >= duration_s:
            self.stop = StopReason.DURATION
        return [one for one in others if one in ready]

    def finish(self, grace_s: float) -> None:
        """Take no more frames; give those that are held a moment for their results, and write what is wanted.

        Raises:
            DatasetError: The disk failed.
        """
        self._tap.close()
        end = time.monotonic() + grace_s
        while (len(self._cases) or self._wanted or len(self._thread)) and time.monotonic() < end:
            if self._is_full:
                break
            sources: list[Readable] = [self._lane, self._thread]
            select.select(sources, [], [], _LONGEST_SLEEP_S)
            self._advance()

    @property
    def elapsed_s(self) -> float:
        """Seconds since the first frame could come."""
        return (time.monotonic_ns() - self._started_ns) / NS_PER_S

    def summary(self) -> dict[str, Any]:
        """Say what came of it, for JSON."""
        return {
            "folder": str(self._folder.path),
            **self.tally.figures(),
            "frames_seen": self._tap.seen,
            "stopped_by": self.stop,
            "duration_s": round(self.elapsed_s, 1),
            "pictures_in_folder": self._folder.pictures,
            "bytes_in_folder": self._folder.bytes,
            "alike_bits": self._folder.likeness.limit_bits,
        }

    def close(self) -> None:
        """End the thread, behind the picture that it writes, and hang up."""
        self._thread.close()
        self._tap.close()
        self._lane.close()

    # -- inside

    @property
    def _is_full(self) -> bool:
        return self.stop in {StopReason.COUNT, StopReason.LIMIT_MB, StopReason.DISK}

    def _advance(self) -> None:
        while (record := self._receive_result(0.0)) is not None:
            if record:
                self._cases.add_record(record, time.monotonic_ns())
        has_shadow = self._request.uncertain and shadow_path(self._config.state_dir).exists()
        for case in self._cases.ripe(time.monotonic_ns(), has_shadow=has_shadow):
            self._decide(case)
        self._thread.collect()
        self._submit()

    def _receive_result(self, timeout_s: float) -> dict[str, Any] | None:
        """Take one message of the result lane: a record, or {} for any other; None when there is none."""
        try:
            message = self._lane.receive(timeout_s)
        except PublishError:
            return {}  # nothing of ours; what it may have told goes as unanswered
        if message is None:
            return None
        return dict(json.loads(message.body)) if isinstance(message, Result) else {}

    def _decide(self, case: Case) -> None:
        why = reasons(case, self._request, self._rules)
        if case.frame is None:
            first = self._tap.first_ids.get(case.camera)
            was_ours = first is not None and case.trigger_id >= first and case.was_delivered
            self.tally.missed += bool(why) and was_ours
            return
        if case.record is None and not why:
            self.tally.unanswered += 1
        if why:
            self._wanted.append((case, case.frame, why))
        else:
            self._held_bytes -= case.frame.pixels.nbytes

    def _submit(self) -> None:
        """Give the thread what is wanted, never more than the count can still take."""
        left = None if self._request.count is None else self._request.count - self.tally.taken
        while self._wanted and len(self._thread) < _AT_WORK and (left is None or len(self._thread) < left):
            case, frame, why = self._wanted.popleft()
            self._give(case, frame, describe(case, frame, why))

    def _give(self, case: Case, frame: Frame, row: dict[str, Any]) -> None:
        recipe = self._rules.find(case.record["recipe"] if case.record is not None else None)

        def label(path: Path) -> str | None:
            self._folder.name_classes(found_classes(case, recipe))
            return prelabel_text(case, frame, recipe, self._folder.class_names, path)

        def then(outcome: Outcome) -> None:
            self._held_bytes -= frame.pixels.nbytes
            self._count(row, outcome)

        self._thread.submit(lambda: self._folder.keep(frame, row, label if self._prelabels else None), then)

    def _count(self, row: dict[str, Any], outcome: Outcome) -> None:
        if outcome.file is not None:
            self.tally.take(row)
        elif outcome.like is not None:
            self.tally.duplicates += 1
        if outcome.stop is not None:
            self.stop = outcome.stop
        elif self.stop is None and self._request.count is not None and self.tally.taken >= self._request.count:
            self.stop = StopReason.COUNT
