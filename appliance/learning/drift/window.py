"""The present of one stream: the newest parts, in blocks. Each finished block is a moment to look."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import replace

from appliance.config import DriftConfig
from appliance.learning.drift.bucket import Bucket, together
from appliance.learning.drift.signals import Sample

BLOCKS = 5
"""In a window: it moves on by a fifth of itself, so that one odd fifth alone raises nothing."""
_US_PER_MINUTE = 60_000_000
_MOST_SAMPLES = 2000


class Window:
    """The last `BLOCKS` blocks; a block has enough parts and spans enough time, whichever takes longer.

    Attributes:
        judged_by: Model and rules of all its parts: with others it starts anew.
    """

    def __init__(self, settings: DriftConfig) -> None:
        self._block_parts = -(-settings.window_parts // BLOCKS)
        self._block_us = settings.window_minutes * _US_PER_MINUTE / BLOCKS
        self._blocks: deque[Bucket] = deque(maxlen=BLOCKS)
        self._samples: deque[Sample] = deque(maxlen=_MOST_SAMPLES)
        self._open = Bucket()
        self._open_since_us = 0
        self.judged_by = ""

    def add(self, sample: Sample) -> bool:
        """Take a view in; tells whether a block is finished, and so the window to be looked at."""
        if sample.judged_by != self.judged_by:
            self._blocks.clear()
            self._samples.clear()
            self._open, self.judged_by = Bucket(), sample.judged_by
        if not self._open.views:
            self._open_since_us = sample.at_us
        self._open.add(sample)
        self._samples.append(sample)
        if self._open.views < self._block_parts or sample.at_us - self._open_since_us < self._block_us:
            return False
        self._blocks.append(self._open)
        self._open = Bucket()
        return True

    @property
    def is_full(self) -> bool:
        """Whether it has all its blocks."""
        return len(self._blocks) == BLOCKS

    def bucket(self) -> Bucket:
        """Add its finished blocks up; without examples."""
        return replace(together(self._blocks), examples=[])

    def samples(self) -> Sequence[Sample]:
        """Give its newest views, oldest first."""
        views = sum(block.views for block in self._blocks) + self._open.views
        return list(self._samples)[-views:]
