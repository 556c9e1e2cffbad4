"""Judges what the MES holds: against the camera, against the verdict lane, and against the journal at the end."""

import itertools
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from appliance.testing.faults.evidence import Evidence, Judgement
from appliance.testing.faults.plan import Kind

Row = Mapping[str, Any]
Trigger = tuple[str, str, int]
"""Ledger epoch, camera, trigger id."""

ONCE = "each inspection has one record"
TERMINAL = "each trigger has exactly one terminal state"
EVERY_PART = "every part that passed the camera is in the books"
FAITHFUL = "a record tells what went on the wire"
NEVER_OK = "OK was never sent for what is not recorded as OK"
RECORDED = "every verdict that was sent is recorded"
TRUE = "a recorded verdict is about the part it names"
NOTHING_LOST = "what the MES was given, and acknowledged, is in the journal, unchanged"
UNCHANGED = "replay gives the same row each time"
NO_HOLES = "the MES got every result once, in order"
BOOKS = "announced = ok + ng + unknown + open, and the records say the same"
PICTURED = "a rejected part has its picture, or the reason why not"


def judge_rows(evidence: Evidence, judgement: Judgement) -> None:
    """Look at every row; nothing to do when there was no MES."""
    if evidence.rows is None:
        return
    inspections = [row for row in evidence.rows if row["kind"] == "inspection"]
    ranges = [row for row in evidence.rows if row["kind"] in {"unrecorded", "lost_range"}]
    for row in evidence.rows:
        judgement.count(f"rows: {row['kind']}")
    _no_holes(evidence.rows, judgement)
    _once(inspections, judgement)
    _terminal(inspections, ranges, judgement)
    _every_part(evidence, inspections, ranges, judgement)
    _against_the_wire(evidence, inspections, ranges, judgement)
    for row in inspections:
        _is_true(row, evidence, judgement)
        _is_pictured(row, judgement)
    _books(evidence, inspections, judgement)
    if evidence.journal is not None:
        _nothing_lost(evidence, evidence.rows, evidence.journal, judgement)
    for gap in evidence.mes_gaps:
        judgement.breach(NO_HOLES, f"the MES was told that it won't get {gap}")
    judgement.count("rows replayed meanwhile", evidence.rows_replayed)
    for seq in evidence.rows_changed:
        judgement.breach(UNCHANGED, f"seq {seq}")


def _no_holes(rows: Sequence[Row], judgement: Judgement) -> None:
    for before, after in itertools.pairwise(rows):
        if (after["epoch"], after["seq"]) != (before["epoch"], before["seq"] + 1):
            judgement.breach(NO_HOLES, f"{after['epoch']} {after['seq']} after {before['epoch']} {before['seq']}")


def _once(inspections: Sequence[Row], judgement: Judgement) -> None:
    counted = Counter((row["ledger_epoch"], row["inspection_id"]) for row in inspections)
    for (_, number), times in counted.items():
        if times > 1:
            judgement.breach(ONCE, f"inspection {number}: {times} records")


def _terminal(inspections: Sequence[Row], ranges: Sequence[Row], judgement: Judgement) -> None:
    counted: Counter[Trigger] = Counter()
    for row in inspections:
        counted.update({(row["ledger_epoch"], view["camera"], view["trigger_id"]) for view in row["views"]})
    for row in ranges:
        if row.get("camera") is not None:
            for number in range(row["first_trigger_id"], row["last_trigger_id"] + 1):
                counted[row["ledger_epoch"], row["camera"], number] += 1
    for (_, camera, number), times in counted.items():
        if times > 1:
            judgement.breach(TERMINAL, f"{camera} trigger {number}: {times} terminal records")


def _every_part(evidence: Evidence, inspections: Sequence[Row], ranges: Sequence[Row], judgement: Judgement) -> None:
    trigger_of = {
        view["encoder_count"]: view["trigger_id"]
        for row in inspections
        for view in row["views"]
        if view["encoder_count"] is not None
    }
    last = evidence.last_pulse if evidence.last_pulse is not None else max(trigger_of, default=0)
    earlier = [pulse for pulse in trigger_of if pulse < evidence.first_pulse]
    neighbour = max(earlier, default=min(trigger_of, default=None))  # rows come in any order: it may be a later one
    lead = trigger_of[neighbour] - neighbour if neighbour is not None else None  # ids are dense, so neighbours share it
    for pulse in range(evidence.first_pulse, last + 1):
        if pulse in trigger_of:
            lead = trigger_of[pulse] - pulse
            continue
        number = lead + pulse if lead is not None else -1
        if _is_in(ranges, number):
            judgement.count("parts in a range record")
        else:
            judgement.breach(EVERY_PART, f"pulse {pulse} (trigger {number}?): no record")


def _is_in(ranges: Sequence[Row], trigger_id: int) -> bool:
    return any(row["first_trigger_id"] <= trigger_id <= row["last_trigger_id"] for row in ranges)


def _against_the_wire(
    evidence: Evidence, inspections: Sequence[Row], ranges: Sequence[Row], judgement: Judgement
) -> None:
    wire = {_key(each.message): each for each in evidence.heard}
    for row in inspections:
        heard, sent = wire.pop(_key(row), None), row["sent_verdict"]
        said = heard.message["verdict"] if heard is not None else None
        what = f"inspection {row['inspection_id']}: recorded {row['verdict']}, sent_verdict {sent}, on the wire {said}"
        if said is not None and sent != said:
            judgement.breach(FAITHFUL, what)
        if "OK" in {said, sent} and row["verdict"] != "OK":
            judgement.breach(NEVER_OK, what)
        if said is None and sent is not None:
            judgement.count("recorded as sent, never arrived")
    for (_, inspection_id), heard in wire.items():
        is_after_the_end = evidence.last_pulse is not None and (heard.pulse or 0) > evidence.last_pulse
        if not is_after_the_end and not _is_in(ranges, heard.message["views"][0]["trigger_id"]):
            judgement.breach(RECORDED, f"inspection {inspection_id}: {heard.message['verdict']} was sent, no record")


def _key(message: Mapping[str, Any]) -> tuple[str, int]:
    return message["ledger_epoch"], message["inspection_id"]


def _books(evidence: Evidence, inspections: Sequence[Row], judgement: Judgement) -> None:
    """Counts begin with the tally files, and so, unless they were lost with the power, with the first record."""
    books = evidence.books
    if not books:
        return
    if books["triggers"] != books["ok"] + books["ng"] + books["unknown"] + books["open"]:
        judgement.breach(BOOKS, f"{dict(books)}")
    if any(episode.fault.kind is Kind.POWER_CUT for episode in evidence.episodes):
        return
    words = Counter(row["verdict"] for row in sorted(inspections, key=_first_trigger)[: books["triggers"]])
    for word in ("ok", "ng", "unknown"):
        if abs(words[word.upper()] - books[word]) > books["open"]:
            judgement.breach(BOOKS, f"{word}: {books[word]} in the books, {words[word.upper()]} recorded")


def _first_trigger(row: Row) -> int:
    number: int = row["views"][0]["trigger_id"]
    return number


def _is_true(row: Row, evidence: Evidence, judgement: Judgement) -> None:
    pulse = row["views"][0]["encoder_count"]
    if pulse is not None and row["verdict"] != "UNKNOWN":
        expected = "NG" if evidence.world.is_bad(pulse) else "OK"
        if row["verdict"] != expected:
            judgement.breach(TRUE, f"pulse {pulse}: recorded {row['verdict']} for a part that is {expected}")


def _is_pictured(row: Row, judgement: Judgement) -> None:
    image = row["image"]
    had_frame = row["views"][0]["frame_id"] is not None
    if image is not None:
        judgement.count("pictures", len(image["views"]))
        for missing in image["missing"]:
            judgement.count(f"pictures missing: {missing['why']}")
    elif row["verdict"] == "NG" or (row["verdict"] == "UNKNOWN" and had_frame):
        judgement.breach(PICTURED, f"inspection {row['inspection_id']}: {row['verdict']}, image null")


def _nothing_lost(evidence: Evidence, rows: Sequence[Row], journal: Sequence[Row], judgement: Judgement) -> None:
    kept = {(row["epoch"], row["seq"]): row for row in journal}
    oldest = journal[0]["seq"] if journal else 0
    for row in rows:
        in_journal = kept.get((row["epoch"], row["seq"]))
        if in_journal is None and row["seq"] < oldest and evidence.was_disk_full:
            judgement.count("rows that retention took from a full disk")
        elif in_journal is None:
            judgement.breach(NOTHING_LOST, f"seq {row['seq']}: no longer in the journal")
        elif in_journal != row:
            judgement.breach(NOTHING_LOST, f"seq {row['seq']}: another record than the MES got")
