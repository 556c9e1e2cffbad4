"""The range of values of each tensor, from calibration images: what 256 steps have to cover.

Three ways to choose it. `minmax` takes all that was seen. `percentile` cuts the rarest values off. `entropy` cuts where
the distribution in 256 steps differs least from the one seen (S. Migacz, "8-bit Inference with TensorRT", GTC 2017).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from onnx import TensorProto

from appliance.errors import ModelError
from appliance.modelling.quantise.graph import Graph
from appliance.modelling.quantise.runtime import open_session

Range = tuple[float, float]
METHODS = ("minmax", "entropy", "percentile")
BINS = 2048
STEPS = 256
PERCENTILE = 99.999
_ENTROPY_STRIDE = 8  # bins between two candidates; one by one is eight times the work for the same answer


@dataclass
class Histogram:
    """How often the values of one tensor were seen.

    Attributes:
        low, high: Least and largest value.
        counts: (BINS,) int64, of equal width from low to high.
    """

    low: float
    high: float
    counts: NDArray[np.int64]

    @property
    def edges(self) -> NDArray[np.float64]:
        """Limits of the bins, (BINS + 1,)."""
        return np.linspace(self.low, self.high, BINS + 1)


def look(
    graph: Graph,
    nodes: Collection[str],
    input_name: str,
    frames: Sequence[NDArray[np.uint8]],
    seen: Callable[[int, int], None],
) -> dict[str, Histogram]:
    """Run the float network on calibration frames and note the values of the tensors around some nodes.

    Args:
        nodes: Names of the nodes that may be quantised.
        frames: Model inputs, each a batch (N, C, H, W) or (N, H, W, C) uint8.
        seen: Told how many of how many runs are done: every frame is run twice, first for the limits.
    Raises:
        ModelError: A tensor becomes NaN or infinite.
    """
    types = graph.element_types()
    around = {name for node in graph.nodes if node.name in nodes for name in [*node.input, *node.output]}
    made = [
        name for node in graph.nodes for name in node.output if name in around and types.get(name) == TensorProto.FLOAT
    ]
    session = open_session(graph.with_outputs(made, types), is_optimised=False)
    found: dict[str, Histogram] = {}
    for number, frame in enumerate([*frames, *frames]):
        is_first_pass = number < len(frames)
        for name, values in zip(made, session.run(made, {input_name: frame}), strict=True):
            if is_first_pass:
                _widen(found, name, values)
            else:
                _count(found[name], values)
        seen(number + 1, 2 * len(frames))
    return found


def _widen(found: dict[str, Histogram], name: str, values: NDArray[np.float32]) -> None:
    if not values.size:
        raise ModelError(f"calibration: tensor {name} is empty; the network can't be quantised")
    low, high = float(values.min()), float(values.max())
    if not (np.isfinite(low) and np.isfinite(high)):
        raise ModelError(f"calibration: tensor {name} becomes NaN or infinite; expected numbers on calibration images")
    known = found.get(name)
    if known is None:
        found[name] = Histogram(low, high, np.zeros(BINS, np.int64))
    else:
        known.low, known.high = min(known.low, low), max(known.high, high)


def _count(histogram: Histogram, values: NDArray[np.float32]) -> None:
    width = histogram.high - histogram.low
    if width <= 0:
        histogram.counts[0] += values.size
        return
    places = ((values.reshape(-1) - histogram.low) * (BINS / width)).astype(np.int64)
    histogram.counts += np.bincount(np.minimum(places, BINS - 1), minlength=BINS)


def choose_ranges(method: str, histograms: Mapping[str, Histogram]) -> dict[str, Range]:
    """Choose the range of each tensor.

    Args:
        method: One of `METHODS`.
    """
    choose: dict[str, Callable[[Histogram], Range]] = {
        "minmax": lambda one: (one.low, one.high),
        "percentile": _percentile,
        "entropy": _entropy,
    }
    return {name: choose[method](histogram) for name, histogram in histograms.items()}


def _percentile(histogram: Histogram) -> Range:
    share = np.cumsum(histogram.counts) / max(1, histogram.counts.sum())
    cut = (100.0 - PERCENTILE) / 100.0
    edges = histogram.edges
    low = edges[int(np.searchsorted(share, cut, side="right"))] if histogram.low < 0 else histogram.low
    high = edges[min(BINS, int(np.searchsorted(share, 1.0 - cut)) + 1)] if histogram.high > 0 else histogram.high
    return float(low), float(max(high, low))


def _entropy(histogram: Histogram) -> Range:
    """Choose a limit for the size of values, whatever their sign."""
    counts, width = _sizes(histogram)
    if not counts.sum() or width <= 0:
        return histogram.low, histogram.high
    ends = list(range(STEPS, BINS + 1, _ENTROPY_STRIDE))
    limit = width * ends[int(np.argmin([_divergence(counts, end) for end in ends]))]
    return max(histogram.low, -limit), min(histogram.high, limit)


def _sizes(histogram: Histogram) -> tuple[NDArray[np.float64], float]:
    """Return counts of absolute values in BINS bins from 0, without the zeros, and the width of a bin."""
    largest = max(-histogram.low, histogram.high)
    width = largest / BINS
    centres = np.abs((histogram.edges[:-1] + histogram.edges[1:]) / 2)
    places = np.minimum((centres / max(width, 1e-30)).astype(np.int64), BINS - 1)
    counts = np.bincount(places, weights=histogram.counts, minlength=BINS)
    counts[0] = 0  # what an activation made zero is exact in any range, and would drown the rest
    return counts.astype(np.float64), width


def _divergence(counts: NDArray[np.float64], end: int) -> float:
    """Return the Kullback-Leibler divergence of counts up to `end` from their image in STEPS steps."""
    cut = counts[:end].copy()
    shown = cut.copy()
    cut[-1] += counts[end:].sum()
    starts = (np.arange(STEPS) * end) // STEPS
    sums, filled = np.add.reduceat(shown, starts), np.add.reduceat((shown > 0).astype(np.float64), starts)
    sizes = np.diff([*starts, end])
    coarse = np.where(shown > 0, np.repeat(sums / np.maximum(filled, 1), sizes), 0.0)
    if not coarse.sum():
        return float("inf")
    p, q = cut / cut.sum(), coarse / coarse.sum()
    is_seen = p > 0
    return float(np.sum(p[is_seen] * np.log(p[is_seen] / np.maximum(q[is_seen], 1e-9))))
