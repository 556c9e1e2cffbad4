"""How many results a second become durable: rows in the journal alone, and records through the whole recorder."""

import time
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

from appliance.box.bench.own_appliance import OwnAppliance
from appliance.box.bench.percentiles import p50_p99
from appliance.box.supervisor import Supervisor
from appliance.clock import NS_PER_MS, NS_PER_S
from appliance.errors import StageFailed
from appliance.messages import (
    Defect,
    Finding,
    Outcome,
    Trigger,
    TriggerFlag,
    VerdictWord,
    View,
    encode,
    inspection_record,
    verdict_message,
)
from appliance.records.journal import Journal
from appliance.tally import SpoolWriter, ledger_epoch
from appliance.wire.result_lane import Heartbeat, Result, ResultSubscriber

_PATIENCE_S = 30.0
_WARM_UP_ROWS = 2_000


def bench_rows(folder: Path, *, group_rows: int, seconds: float) -> dict[str, Any]:
    """Commit groups of records to a fresh journal, one after another.

    Returns:
        `rows_per_s` and `commit_ms{p50,p99}`.
    """
    took_ms: list[float] = []
    with closing(Journal.open(folder / "journal")) as journal:
        number = 0
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            group = [sample_record(number + offset, "bench", "bench") for offset in range(1, group_rows + 1)]
            number += group_rows
            start_ns = time.monotonic_ns()
            journal.commit(group)
            took_ms.append((time.monotonic_ns() - start_ns) / NS_PER_MS)
    return {"rows_per_s": round(1000 * number / sum(took_ms)), "commit_ms": p50_p99(took_ms)}


def bench_recorder(own: OwnAppliance, rows: int) -> dict[str, Any]:
    """Spool records as a publisher does; count what comes out of the recorder process on the result lane.

    Returns:
        `results_per_s` from the first record spooled to the last result received, `spool_append_ms{p50,p99}`.
    """
    config = own.config
    camera = config.cameras[0].name
    with (
        own.running("record") as supervisor,
        closing(ResultSubscriber(config.recorder.result_endpoint)) as lane,
        closing(SpoolWriter(config.runtime_dir, config.delivery.spool_max_mb * 1_000_000)) as spool,
    ):
        epoch = ledger_epoch(config.state_dir)
        bodies = [encode(sample_record(number, epoch, camera)) for number in range(1, _WARM_UP_ROWS + rows + 1)]
        _append(spool, bodies[:_WARM_UP_ROWS])
        _await_row(supervisor, lane, _WARM_UP_ROWS)
        start_ns = time.monotonic_ns()
        append_ms = _append(spool, bodies[_WARM_UP_ROWS:])
        _await_row(supervisor, lane, len(bodies))
        took_s = (time.monotonic_ns() - start_ns) / NS_PER_S
    return {
        "results_per_s": round(rows / took_s),
        "record_bytes": len(bodies[-1]),
        "spool_append_ms": p50_p99(append_ms),
    }


def sample_record(number: int, epoch: str, camera: str) -> dict[str, Any]:
    """Build a record of the usual size: an OK part with some detections below the rules."""
    now_ns = time.monotonic_ns()
    trigger = Trigger(number, now_ns, frame_id=number, width=640, height=640, flags=TriggerFlag.SIMULATED)
    near_misses = tuple(Defect("mousebite", 0.31 - n / 100, (10.5 * n, 20.25, 31.5 * n, 40.75)) for n in range(1, 5))
    finding = Finding(
        camera,
        number,
        VerdictWord.OK,
        near_misses=near_misses,
        region_px=(0, 0, 640, 640),
        stage_ms={"queue": 0.412, "infer": 18.221, "decode": 0.315, "judge": 0.044},
    )
    outcome = Outcome(
        line="bench",
        station="bench",
        ledger_epoch=epoch,
        verdict_seq=number,
        inspection_id=number,
        views=(View(camera, trigger, finding),),
        verdict=VerdictWord.OK,
        reason=finding.reason,
        decided_ns=now_ns,
        deadline_ns=now_ns + 100 * NS_PER_MS,
        model={"name": "bench", "sha256": "0" * 64},
        recipe={"name": "bench", "version": 1, "sha256": "0" * 64},
    )
    return inspection_record(outcome, verdict_message(outcome), was_sent=True)


def _append(spool: SpoolWriter, bodies: Sequence[bytes]) -> list[float]:
    """Spool all of them, waiting where there is no room; gives the milliseconds of each that was taken."""
    took_ms = []
    for body in bodies:
        start_ns = time.monotonic_ns()
        while not spool.append(body):
            time.sleep(0.001)
            start_ns = time.monotonic_ns()
        took_ms.append((time.monotonic_ns() - start_ns) / NS_PER_MS)
    return took_ms


def _await_row(supervisor: Supervisor, lane: ResultSubscriber, seq: int) -> None:
    give_up_at = time.monotonic() + _PATIENCE_S
    while True:
        message = lane.receive(0.1)
        if isinstance(message, Result) and message.seq >= seq:
            return
        if isinstance(message, Heartbeat):
            supervisor.step()
            if message.head_seq >= seq:  # the lane lost the row to us; the journal has it
                return
        if time.monotonic() > give_up_at:
            raise StageFailed(f"the recorder did not journal {seq} records within {_PATIENCE_S:g} s")
