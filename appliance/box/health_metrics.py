"""The status document as Prometheus metrics. The only importer of prometheus_client.

What isn't known, because its process is down, has no sample: a gap in a graph is the truth, a zero would not be.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from prometheus_client import generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

_Family = CounterMetricFamily | GaugeMetricFamily
_Samples = Mapping[Any, float | None]
"""By tuple of label values; None: not known."""
_BYTES_PER_MB = 1_000_000
_QUANTILES = {"p50": "0.5", "p99": "0.99"}
_DISK_LEVELS = {"fine": "ok", "warn": "warn", "evict": "evicting", "stop": "full"}

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
"""The classic text format: every Prometheus reads it, and our names need nothing newer."""


def metrics_text(status: dict[str, Any]) -> bytes:
    """Write the metrics in Prometheus's text format.

    Args:
        status: As `appliance_status` gives it.
    """
    return generate_latest(StatusCollector(status))


class StatusCollector:
    """One status document as metric families."""

    def __init__(self, status: dict[str, Any]) -> None:
        self._status = status

    def collect(self) -> Iterator[_Family]:
        """Give all families, those without a sample too."""
        status, recorder = self._status, self._status["recorder"]
        yield from _line(status)
        yield from _triggers(status["cameras"])
        yield from _capture(status["cameras"])
        yield from _results(status["result_lane"], recorder["journal"] or {})
        yield from _spool(recorder["intake"] or {})
        yield from _images(recorder["images"] or {})
        yield from _disk(recorder["disk"] or {})
        yield from _drift(status["drift"])
        yield from _processes(status["processes"])


def _line(status: dict[str, Any]) -> Iterator[_Family]:
    names = {(status["line"], status["station"]): 1}
    yield _gauge("appliance_info", "Always 1; names the line and the station.", names, "line", "station")
    state = status["line_state"] or {}
    yield _one("appliance_line_ready", "1 while the publisher says that a part may come.", state.get("ready"))
    yield _one("appliance_line_error_id", "Why not, as PLCs get it; 0: no error.", state.get("error_id"))
    holds = status["invariant_holds"]
    yield _one("appliance_invariant_holds", "1 while every trigger has one outcome or is open in time.", holds)
    sequence = status["verdict_lane"]["verdict_seq"]
    yield _one("appliance_verdict_seq", "Sequence number of the last verdict; never starts over.", sequence)


def _triggers(cameras: Mapping[str, Any]) -> Iterator[_Family]:
    """Counts of the tally files: right whoever is down."""
    triggers = _each(cameras, "triggers")
    yield _counter("appliance_triggers_total", "Triggers announced, since the boot.", triggers, "camera")
    verdicts = {(name, word): cam[word.lower()] for name, cam in cameras.items() for word in ("OK", "NG", "UNKNOWN")}
    yield _counter("appliance_verdicts_total", "Triggers by their verdict.", verdicts, "camera", "verdict")
    reasons = {(name, why): n for name, camera in cameras.items() for why, n in camera["unknown_by_reason"].items()}
    yield _counter("appliance_unknown_total", "UNKNOWN verdicts by reason.", reasons, "camera", "reason")
    yield _gauge("appliance_open_triggers", "Triggers without verdict as yet.", _each(cameras, "open"), "camera")
    latency = {
        (name, quantile): _seconds(camera["latency_ms"][key])
        for name, camera in cameras.items()
        for key, quantile in _QUANTILES.items()
    }
    says = "Exposure to verdict sent, over the last 2000 verdicts."
    yield _gauge("appliance_verdict_latency_seconds", says, latency, "camera", "quantile")


def _capture(cameras: Mapping[str, Any]) -> Iterator[_Family]:
    capturing = {(name,): camera["state"] == "capturing" for name, camera in cameras.items()}
    yield _gauge("appliance_camera_capturing", "1 while the camera is there and works.", capturing, "camera")
    for key, says in (
        ("incomplete", "Frames that came with bytes missing, since the grabber's start."),
        ("lost", "Frames exposed and never delivered, since the grabber's start."),
        ("missed", "Trigger pulses that left no frame, since the grabber's start."),
    ):
        yield _counter(f"appliance_frames_{key}_total", says, _each(cameras, key), "camera")
    rings = {name: camera["ring"] for name, camera in cameras.items()}
    yield _gauge("appliance_ring_slots", "Frames that the ring holds.", _each(rings, "slots"), "camera")
    yield _gauge("appliance_ring_leased_slots", "Frames lent to readers.", _each(rings, "leased"), "camera")
    dropped = _each(rings, "dropped")
    yield _counter("appliance_ring_dropped_total", "Frames the ring had no room for.", dropped, "camera")


def _results(lane: Mapping[str, Any], journal: Mapping[str, Any]) -> Iterator[_Family]:
    yield _one("appliance_journal_head_seq", "Sequence number of the newest row.", lane["head_seq"])
    yield _one("appliance_journal_oldest_seq", "Sequence number of the oldest row kept.", lane["oldest_seq"])
    consumers = lane["consumers"] or {}
    acknowledged = _each(consumers, "acknowledged")
    yield _gauge("appliance_consumer_acknowledged_seq", "Up to where a consumer has it.", acknowledged, "consumer")
    lag = _each(consumers, "lag")
    yield _gauge("appliance_consumer_lag_rows", "Rows that a consumer hasn't acknowledged.", lag, "consumer")
    required = _each(consumers, "is_required")
    yield _gauge("appliance_consumer_required", "1 where retention waits for the consumer.", required, "consumer")
    for key, says in (
        ("commits", "Durable commits, since the recorder's start."),
        ("rows", "Rows journalled, since the recorder's start."),
        ("rows_refused", "Records unfit for the journal, since the recorder's start."),
    ):
        yield _counter(f"appliance_journal_{key}_total", says, {(): journal.get(key)})
    yield _one("appliance_journal_waiting_rows", "Rows between spool and journal.", journal.get("rows_waiting"))
    commit_ms = journal.get("commit_ms", {})
    commit = {(quantile,): _seconds(commit_ms.get(key)) for key, quantile in _QUANTILES.items()}
    yield _gauge("appliance_journal_commit_seconds", "What a durable commit takes.", commit, "quantile")


def _spool(intake: Mapping[str, Any]) -> Iterator[_Family]:
    yield _one("appliance_spool_bytes", "Records that wait for the recorder.", intake.get("spool_bytes"))
    for key, says in (
        ("torn", "Spool entries cut short by a killed writer."),
        ("unreadable", "Spool entries that are no record."),
        ("recovered", "Records written anew from the tally files."),
    ):
        yield _counter(f"appliance_records_{key}_total", says, {(): intake.get(key)})


def _images(images: Mapping[str, Any]) -> Iterator[_Family]:
    stored = {(): images.get("stored")}
    yield _counter("appliance_images_stored_total", "Images stored, since the recorder's start.", stored)
    missing = {(why,): number for why, number in images.get("missing", {}).items()}
    says = "Images wanted and not stored, by reason; queue_full: skipped, too many wait for their encoding."
    yield _counter("appliance_images_missing_total", says, missing, "reason")
    yield _one("appliance_images_waiting", "Records that wait for their images.", images.get("waiting"))


def _disk(disk: Mapping[str, Any]) -> Iterator[_Family]:
    free_mb = disk.get("free_mb")
    free_bytes = None if free_mb is None else free_mb * _BYTES_PER_MB
    yield _one("appliance_disk_free_bytes", "Room for the appliance's data.", free_bytes)
    levels = {(word,): name == disk["level"] for name, word in _DISK_LEVELS.items()} if disk else {}
    yield _gauge("appliance_disk_level", "1 for the level the disk is at.", levels, "level")
    freed = {(kind,): number for kind, number in disk.get("freed", {}).items()}
    yield _counter("appliance_disk_freed_total", "What retention removed, by kind.", freed, "kind")
    alarm = disk["alarm"] is not None if disk else None
    yield _one("appliance_disk_alarm", "1 once rejects' images or unacknowledged rows had to go.", alarm)


def _drift(drift: Mapping[str, Any]) -> Iterator[_Family]:
    """Alarms come from their file, so they are right whoever is down; how far it is only from a living watcher."""
    labels = ("recipe", "camera", "view", "signal", "reference")
    names = [tuple(one[label] for label in labels) for one in drift["comparisons"]]
    known = dict(zip(names, drift["comparisons"], strict=True))
    for key, says in (
        ("value", "How far the newest parts are from the reference: distance, share outside, or difference of rates."),
        ("limit", "From where on that is drift."),
        ("current", "Median of the signal, or the rate, of the newest parts."),
        ("expected", "The same of the reference."),
    ):
        samples = {name: one[key] for name, one in known.items()}
        yield _gauge(f"appliance_drift_{key}", says, samples, *labels)
    alarms: dict[Any, float | None] = {name: 0 for name, one in known.items() if one["value"] is not None}
    alarms |= {tuple(one[label] for label in labels): 1 for one in drift["alarms"]}
    yield _gauge("appliance_drift_alarm", "1 while a drift alarm stands.", alarms, *labels)
    says = "Journal rows that the drift watcher hasn't read."
    yield _one("appliance_drift_behind_rows", says, drift["rows_behind"])


def _processes(processes: Mapping[str, Any]) -> Iterator[_Family]:
    yield _gauge("appliance_process_up", "1 while the process says so.", _each(processes, "up"), "process")
    yield _gauge("appliance_process_uptime_seconds", "Since its start.", _each(processes, "up_s"), "process")
    restarts = _each(processes, "restarts")
    says = "Restarts by `appliance run`; no sample where systemd supervises, which counts NRestarts itself."
    yield _counter("appliance_process_restarts_total", says, restarts, "process")
    resident = {
        (name,): None if process["rss_mb"] is None else round(process["rss_mb"] * _BYTES_PER_MB)
        for name, process in processes.items()
    }
    says = "Resident memory, shared frames included."
    yield _gauge("appliance_process_resident_memory_bytes", says, resident, "process")
    cpu = _each(processes, "cpu_s")
    yield _counter("appliance_process_cpu_seconds_total", "Processor time, user and system.", cpu, "process")


def _each(things: Mapping[str, Any], key: str) -> _Samples:
    return {(name,): thing[key] for name, thing in things.items()}


def _seconds(milliseconds: float | None) -> float | None:
    return None if milliseconds is None else milliseconds / 1000


def _one(name: str, says: str, value: float | None) -> _Family:
    return _gauge(name, says, {(): value})


def _gauge(name: str, says: str, samples: _Samples, *labels: str) -> _Family:
    return _filled(GaugeMetricFamily(name, says, labels=labels), samples)


def _counter(name: str, says: str, samples: _Samples, *labels: str) -> _Family:
    return _filled(CounterMetricFamily(name, says, labels=labels), samples)


def _filled(family: _Family, samples: _Samples) -> _Family:
    for labels, value in samples.items():
        if value is not None:
            family.add_metric(labels, value)
    return family
