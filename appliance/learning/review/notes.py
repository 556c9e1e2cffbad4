"""What a reader of the report must know beside its figures, in sentences."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def report_notes(figures: Mapping[str, Any]) -> list[str]:
    """Say what isn't reviewed, what a rate doesn't speak for, and what was left out."""
    overall, by_hand = figures["overall"], figures["by_hand"]
    left = {verdict: overall[f"{verdict.lower()}_pictures_not_reviewed"] for verdict in ("NG", "OK", "UNKNOWN")}
    ok, ng = overall["ok_verdicts_not_covered"], overall["ng_verdicts_not_covered"]
    gone, damaged = figures["judged_but_no_longer_in_the_journal"], len(figures["damaged_ledger_lines"])
    notes = []
    if any(left.values()):
        counts = ", ".join(f"{count} {verdict}" for verdict, count in left.items())
        notes.append(f"not reviewed yet: {counts} parts with pictures")
    if ok or ng:
        notes.append(
            f"the rates don't speak for {ok} OK and {ng} NG verdicts: of their week, camera, recipe and model no "
            "OK or no NG part was judged"
        )
    if by_hand["judged"]:
        notes.append(
            f"{by_hand['judged']} parts were judged that somebody looked for ({by_hand['escapes']} escapes, "
            f"{by_hand['false_rejects']} false rejects): not in the rates, for nobody drew them"
        )
    if overall["unsure"]:
        notes.append(f"{overall['unsure']} answers are unsure and left out")
    if overall["unknown_verdicts"]:
        notes.append(
            f"{overall['unknown_verdicts']} parts are UNKNOWN and in neither rate; of "
            f"{overall['unknown_judged']} judged, {overall['good_among_unknown']} are good"
        )
    if gone:
        notes.append(f"{gone} judged parts are no longer in the journal: neither they nor their like are counted")
    if figures["simulated_parts"]:
        notes.append(f"{figures['simulated_parts']} of the parts are simulated")
    if damaged:
        notes.append(f"{damaged} lines of the ledger can't be read and don't count")
    return notes
