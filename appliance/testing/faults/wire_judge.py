"""Judges the verdict lane: what a line controller got, against what passed the camera."""

from collections import Counter
from collections.abc import Iterable

from appliance.clock import NS_PER_MS, NS_PER_S
from appliance.testing.faults.evidence import Evidence, Judgement
from appliance.testing.faults.plan import Kind
from appliance.testing.faults.witness import Heard

AT_MOST_ONE = "at most one message for an inspection"
IN_TIME = "no message after its deadline"
RIGHT = "a verdict is about the part it names"
NO_SILENCE = "a verdict by the deadline for every part, while publisher and grabber live"
ORDER = "verdict numbers grow"
NOTICED = "a silent publisher is noticed within 1.5 s"
_NOTICE_S = 1.5
_WITNESS_S = 0.1
"""What the witness itself may take to look, on a busy machine."""


def judge_wire(evidence: Evidence, judgement: Judgement) -> None:
    """Look at every message, then at every pulse that has none."""
    heard = evidence.heard
    judgement.count("messages", len(heard))
    _at_most_one(heard, judgement)
    for each in heard:
        _one_message(each, evidence, judgement)
    _growing(heard, judgement)
    _silences(evidence, judgement)
    for waited_s in noticed_after_s(evidence):
        if waited_s > _NOTICE_S + _WITNESS_S:
            judgement.breach(NOTICED, f"after {waited_s:.2f} s")


def _at_most_one(heard: Iterable[Heard], judgement: Judgement) -> None:
    seen: Counter[tuple[str, str, object]] = Counter()
    for each in heard:
        message = each.message
        epoch = message["ledger_epoch"]
        seen[epoch, "inspection", message["inspection_id"]] += 1
        seen[epoch, "verdict_seq", message["verdict_seq"]] += 1
        for view in message["views"]:
            seen[epoch, "trigger", (view["camera"], view["trigger_id"])] += 1
            if view["encoder_count"] is not None:
                seen[epoch, "pulse", (view["camera"], view["encoder_count"])] += 1
    for (_, kind, number), times in seen.items():
        if times > 1:
            judgement.breach(AT_MOST_ONE, f"{kind} {number}: {times} messages")


def _one_message(each: Heard, evidence: Evidence, judgement: Judgement) -> None:
    pulse, verdict = each.pulse, each.message["verdict"]
    judgement.count(verdict)
    if pulse is None:
        judgement.count("messages without a pulse")
        return
    expected = "NG" if evidence.world.is_bad(pulse) else "OK"
    if verdict not in {expected, "UNKNOWN"}:
        judgement.breach(RIGHT, f"pulse {pulse}: {verdict} for a part that is {expected}")
    late_ns = each.arrived_ns - evidence.train.rises_ns(pulse) - int(evidence.world.deadline_ms * NS_PER_MS)
    if late_ns > 0:
        decided_ms = each.message["stage_ms"]["total"]
        judgement.breach(
            IN_TIME,
            f"pulse {pulse}: {verdict}, decided {decided_ms:.0f} ms after the exposure, "
            f"came {late_ns / NS_PER_MS:.1f} ms after its deadline",
        )


def _growing(heard: Iterable[Heard], judgement: Judgement) -> None:
    highest: dict[str, int] = {}
    for each in heard:
        epoch, number = each.message["ledger_epoch"], each.message["verdict_seq"]
        if number <= highest.get(epoch, 0):
            judgement.breach(ORDER, f"verdict_seq {number} after {highest[epoch]}")
        highest[epoch] = max(number, highest.get(epoch, 0))


def _silences(evidence: Evidence, judgement: Judgement) -> None:
    spoken = {each.pulse for each in evidence.heard}
    last = evidence.last_pulse if evidence.last_pulse is not None else max(p for p in spoken if p is not None)
    excusing = [episode for episode in evidence.episodes if episode.excuses_silence]
    for pulse in range(evidence.first_pulse, last + 1):
        if pulse in spoken:
            continue
        judgement.count("silent parts")
        at_ns = evidence.train.rises_ns(pulse)
        if not any(episode.covers(at_ns, evidence.world.deadline_ms) for episode in excusing):
            judgement.breach(NO_SILENCE, f"pulse {pulse}: no message, and nothing that excuses it")


def noticed_after_s(evidence: Evidence) -> list[float]:
    """Seconds from each stop of the publisher that is long enough until its subscriber knew, or until it went on."""
    found = []
    for episode in evidence.episodes:
        is_stop = episode.fault.kind is Kind.STOP and "publish" in episode.fault.victims
        if is_stop and episode.released_ns - episode.began_ns > _NOTICE_S * NS_PER_S:
            gone = [each.at_ns for each in evidence.presences if not each.is_there and each.at_ns > episode.began_ns]
            found.append((min([*gone[:1], episode.released_ns]) - episode.began_ns) / NS_PER_S)
    return found
