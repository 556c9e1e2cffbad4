"""The drift process: reads what was journalled, counts it by the hour, and says when it is no more what it was.

    journal ─▶ samples ─▶ History (hours) ─▶ LastWeek ─┐
                      └─▶ Window (newest parts) ───────┴▶ compare ─▶ AlarmBook ─▶ spool.drift ─▶ recorder ─▶ journal
    model bundle ─▶ Training ──────────────────────────┘                   └▶ alarms.json, drift.json ─▶ status, metrics

It only reads: no other process knows it. When it is slow, it falls behind; when it is dead, alarms stand as they did.
"""

from __future__ import annotations

import json
import logging
import os
import time
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

from appliance.clock import NS_PER_S, rfc3339
from appliance.config import ApplianceConfig, load_recipe
from appliance.errors import ApplianceError
from appliance.learning.drift.acceptance import Acceptance, read_acceptances
from appliance.learning.drift.alarms import AlarmBook, Event
from appliance.learning.drift.bucket import Specimen
from appliance.learning.drift.comparison import Comparison, compare
from appliance.learning.drift.history import US_PER_HOUR, Cursor, History
from appliance.learning.drift.pictures import deviating, typical
from appliance.learning.drift.references import References
from appliance.learning.drift.scale import plain
from appliance.learning.drift.signals import StreamKey, samples_of
from appliance.learning.drift.status import PRESENT_FILE, drift_dir
from appliance.learning.drift.window import Window
from appliance.messages import drift_event_record, encode
from appliance.records.reader import PAGE_ROWS, JournalReader
from appliance.stage import Stage
from appliance.tally import SpoolWriter, ledger_epoch
from appliance.tally.spool import DRIFT

log = logging.getLogger(__name__)

_NICE = 19
_LOOK_S = 1.0  # between two looks at the journal
_NAP_S = 0.1  # how late a stop request may be noticed
_SAVE_S = 300.0  # what isn't saved is counted again, from the journal
_SPOOL_MAX_BYTES = 4 << 20
_PAGES_AT_ONCE = 4


def run_drift(config: ApplianceConfig, stage: Stage) -> None:
    """Run until the stage is stopped.

    Raises:
        ConfigError: A recipe can't be used.
        TallyError: The runtime directory can't be written.
    """
    os.nice(_NICE)
    stage.install_signal_handlers()
    watcher = DriftWatcher(config)
    try:
        stage.ready()
        while not stage.is_stopping:
            is_behind = watcher.step()
            stage.beat(watcher.status)
            end = time.monotonic() + (0 if is_behind else _LOOK_S)
            while not stage.is_stopping and time.monotonic() < end:
                time.sleep(_NAP_S)
                stage.beat(watcher.status)
    finally:
        watcher.close()
        stage.stopped()


class DriftWatcher:
    """The process's state; `step` is one look at the journal.

    Args:
        clock: Nanoseconds since the Unix epoch.
    """

    def __init__(self, config: ApplianceConfig, clock: Callable[[], int] = time.time_ns) -> None:
        self._config = config
        self._settings = config.drift
        self._clock = clock
        folder = drift_dir(config.state_dir)
        self._folder = folder
        recipes = [load_recipe(path) for path in (config.recipe, *config.recipes)]
        self._known = {recipe.name for recipe in recipes}, {camera.name for camera in config.cameras}
        keep_hours = self._settings.reference_days * 24 + self._settings.reference_gap_hours
        self._keep_us = keep_hours * US_PER_HOUR
        self._history = History(folder, keep_hours)
        self._history.load()
        self._references = References(config, {recipe.name: recipe for recipe in recipes}, self._history)
        self._book = AlarmBook(folder, self._settings.clear_at)
        self._book.load()
        self._windows: dict[StreamKey, Window] = {}
        self._present: dict[StreamKey, dict[str, Any]] = {}
        self._is_simulated = all(camera.replayed_folder is not None for camera in config.cameras)
        self._epoch = ledger_epoch(config.state_dir)
        self._spool = SpoolWriter(config.runtime_dir, _SPOOL_MAX_BYTES, DRIFT)
        self._save_due_ns = time.monotonic_ns() + round(_SAVE_S * NS_PER_S)
        self._rows_behind: int | None = None
        self._looks_from_seq: int | None = None
        self._trouble: str | None = None
        self._accepted: tuple[Acceptance, ...] = ()

    def step(self) -> bool:
        """Read what is new in the journal, some pages at most; tells whether there is more."""
        try:
            self._clear_what_is_settled()
            is_behind = self._read()
            self._trouble = None
        except ApplianceError as error:  # no journal yet, or a damaged one: the recorder says what to do
            if str(error) != self._trouble:
                log.info("drift: %s", error)
            self._trouble, is_behind = str(error), False
        if time.monotonic_ns() >= self._save_due_ns:
            self._save()
        return is_behind

    def _read(self) -> bool:
        """Count the next rows, and look at the windows that they fill.

        Raises:
            JournalError: It can't be read.
        """
        reader = JournalReader(self._config.state_dir / "journal")
        try:
            head, cursor = reader.head_seq, self._history.cursor
            if self._looks_from_seq is None:  # what is there already fills the windows, but is no news
                self._looks_from_seq = head + 1
            if cursor.epoch != reader.epoch:
                cursor = Cursor(reader.epoch, self._first_wanted(reader) - 1)
            for _ in range(_PAGES_AT_ONCE):
                rows = reader.read(cursor.seq + 1, head)
                for seq, body in rows:
                    self._take(json.loads(body))
                    cursor = Cursor(reader.epoch, seq)
                    self._history.cursor = cursor
                if len(rows) < PAGE_ROWS:
                    cursor = Cursor(reader.epoch, max(head, cursor.seq))
                    break
            self._history.cursor = cursor
            self._rows_behind = head - cursor.seq
        finally:
            reader.close()
        return self._rows_behind > 0

    def _first_wanted(self, reader: JournalReader) -> int:
        """Find where to begin in a journal that nothing was counted of: what is too old for a reference is left out."""
        since_us = self._clock() // 1000 - self._keep_us
        wanted = (one for one in reader.partitions() if one.to_us is None or one.to_us >= since_us)
        return next((one.first_seq for one in wanted), reader.head_seq + 1)

    def _take(self, record: dict[str, Any]) -> None:
        now_us = self._clock() // 1000
        newest = self._history.newest_hour
        if newest is not None and newest > now_us // US_PER_HOUR + 1:
            log.warning("drift: the clock went back; what was counted after this hour is forgotten")
            self._history.forget_from(now_us // US_PER_HOUR + 1)
        for sample in samples_of(record):
            if sample.at_us < now_us - self._keep_us:
                continue
            self._history.add(sample)
            window = self._windows.setdefault(sample.stream, Window(self._settings))
            if window.judged_by not in ("", sample.judged_by):
                self._tell(self._book.clear_judged(sample.stream, f"{_place(sample.stream)}: another model or recipe"))
            if not window.add(sample) or not window.is_full:
                continue
            if record["seq"] >= (self._looks_from_seq or 0):
                self._look(sample.stream, window, record)
            alarmed = frozenset(key[1] for key in self._book.standing if key[0] == sample.stream)
            self._history.keep_specimen(sample.stream, sample.judged_by, Specimen(window.bucket(), alarmed))

    def _look(self, stream: StreamKey, window: Window, record: dict[str, Any]) -> None:
        """Compare a stream's present with what it should be like, and say what follows."""
        recipe, model = record["recipe"], record["model"]
        bucket = window.bucket()
        last_week = self._references.last_week(stream, window.judged_by)
        training, no_training = self._references.training(recipe["name"], model)
        told = compare(bucket, last_week, training, self._settings, no_training)
        samples = window.samples()

        def pictures(one: Comparison) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
            return deviating(samples, one), typical(self._references.examples(stream, before=samples[0].seq), one)

        now = rfc3339(self._clock())
        self._tell(self._book.judge(stream, told, recipe=recipe, model=model, now=now, pictures=pictures))
        self._present[stream] = {
            "recipe": recipe,
            "camera": stream[1],
            "view": stream[2],
            "model": model,
            "judged_by": window.judged_by,
            "seen_at": now,
            "since": samples[0].captured_at,
            "until": samples[-1].captured_at,
            "views": bucket.views,
            "comparisons": [asdict(one) for one in told],
            "histograms": {name: plain(one) for name, one in bucket.histograms.items()},
        }
        self._write_present()

    def _clear_what_is_settled(self) -> None:
        """End alarms of cameras and recipes that are configured no more, and those that a person has accepted.

        Raises:
            ConfigError: The file of acceptances can't be read.
        """
        recipes, cameras = self._known
        self._tell(
            self._book.clear_where(
                lambda stream, _: stream[0] not in recipes or stream[1] not in cameras,
                "camera or recipe is configured no more",
            )
        )
        accepted = read_acceptances(self._folder)
        if accepted != self._accepted:
            self._accepted = accepted
            self._references.accept(accepted)
            for one in accepted:
                self._tell(self._book.clear_where(one.settles, f"accepted as the new normal by {one.by}"))

    # -- saying it

    def _tell(self, events: list[Event]) -> None:
        for one in events:
            record = drift_event_record(
                line=self._config.line,
                station=self._config.station,
                ledger_epoch=self._epoch,
                event=one.event,
                event_id=one.event_id,
                alarm=one.alarm,
                is_simulated=self._is_simulated,
                recorded_at=rfc3339(self._clock()),
            )
            self._spool.append(encode(record))
        if self._book.is_dirty:
            try:
                self._book.save()
            except OSError as error:
                log.error("drift: alarms can't be saved: %s", error.strerror)  # noqa: TRY400 (a full disk, not a bug)

    def _write_present(self) -> None:
        path = self._config.runtime_dir / PRESENT_FILE
        temporary = path.with_suffix(".tmp")
        try:
            temporary.write_text(json.dumps({"streams": list(self._present.values())}))
            temporary.replace(path)
        except OSError as error:
            log.error("drift: %s: %s", path, error.strerror)  # noqa: TRY400 (a full tmpfs, not a bug)

    def _save(self) -> None:
        self._save_due_ns = time.monotonic_ns() + round(_SAVE_S * NS_PER_S)
        try:
            self._history.save()
        except OSError as error:
            log.error("drift: hours can't be saved: %s; later again", error.strerror)  # noqa: TRY400 (a full disk)

    # -- around it

    def status(self) -> dict[str, Any]:
        """Describe the watcher for the status file."""
        return {
            "rows_behind": self._rows_behind,
            "streams": len(self._windows),
            "alarms": len(self._book.standing),
            "trouble": self._trouble,
            "spool_refused": self._spool.refused,
        }

    def close(self) -> None:
        """Save what is counted; the present is gone with us."""
        self._save()
        self._spool.close()
        (self._config.runtime_dir / PRESENT_FILE).unlink(missing_ok=True)


def _place(stream: StreamKey) -> str:
    return f"{stream[1]}/{stream[2]}, recipe {stream[0]}"
