"""Which parts a person is shown, and in which order: drawn, so that those seen tell of those not seen.

Parts are gathered in groups (week, cameras, recipe, model, verdict). In each group they stand in an order that a hash
of their place in the journal gives: the same each time, and blind to what the parts show. Of NG and UNKNOWN parts all
with pictures are on the list; of OK parts, of which the recorder keeps pictures of a random share, the first
`ok_rate` of each group. Groups are woven into each other in proportion to their lengths, verdicts in turn. So whoever
stops early has seen a random share of each group, and whoever goes on tomorrow sees the next ones.
"""

from __future__ import annotations

import hashlib
import math
from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from itertools import chain, zip_longest

from appliance.records.strata import PicturedPart

OK_RATE = 0.1
"""Share of the OK parts with pictures that are on the list unless somebody asks for more."""
_TURNS = ("NG", "OK", "UNKNOWN")


def draw(parts: Iterable[PicturedPart], epoch: str, ok_rate: float, judged: Collection[tuple[str, int]]) -> list[int]:
    """List the seqs of the parts to show.

    Args:
        parts: All with pictures, of the time and filters asked for.
        epoch: The journal's.
        ok_rate: Share of each group of OK parts, 0..1; at least one of a group, unless 0.
        judged: Keys of parts that were drawn and judged before: they are part of the share, and left out.
    """
    groups: dict[str, dict[object, list[int]]] = {verdict: defaultdict(list) for verdict in _TURNS}
    for part in parts:
        groups[part.group.verdict][part.group].append(part.seq)
    turns = []
    for verdict, by_group in groups.items():
        placed: list[tuple[float, int]] = []
        for seqs in by_group.values():
            ordered = sorted(seqs, key=lambda seq: _lot(epoch, seq))
            chosen = ordered[: math.ceil(ok_rate * len(ordered))] if verdict == "OK" else ordered
            placed += [((place + 0.5) / len(chosen), seq) for place, seq in enumerate(chosen)]
        turns.append([seq for _, seq in sorted(placed) if (epoch, seq) not in judged])
    return _in_turn(turns)


def _lot(epoch: str, seq: int) -> bytes:
    """A part's lot; of another kind than the recorder's, which decides whose pictures are kept."""
    return hashlib.blake2b(f"review-{epoch}-{seq}".encode(), digest_size=8).digest()


def _in_turn(lists: Sequence[Sequence[int]]) -> list[int]:
    return [seq for seq in chain.from_iterable(zip_longest(*lists)) if seq is not None]
