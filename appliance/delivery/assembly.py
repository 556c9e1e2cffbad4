"""Which triggers are views of one part: by the time of their exposure, as the recipe's views ask. Pure.

A view rule names a camera and how long after the part's first exposure it looks (`offset_ms`). Views with the same
camera and offset are regions of one frame: one exposure. An exposure less its offset is the part's time; exposures of
one part agree in it within `assembly_window_ms`. Parts must be further apart than two windows, and so must the
exposures of one camera: then the order in which cameras are heard makes no difference.
"""

import bisect
import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

from appliance.clock import NS_PER_MS, NS_PER_S
from appliance.config import Recipe
from appliance.errors import ConfigError
from appliance.messages import DEFAULT_VIEW, ModelRef

REMEMBER_NS = 10 * NS_PER_S
"""How long a decided part is known: a view that comes within it joins it, a later one is a part of its own."""


@dataclass(frozen=True)
class Exposure:
    """One exposure that a part needs; `views` are the regions of its frame, in the recipe's order."""

    camera: str
    offset_ns: int
    views: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class PartPlan:
    """What a recipe says of time and views.

    Attributes:
        reference: Name, version, sha256 of the recipe, as records have it.
        speak_before_ns: A verdict is given so long before its deadline at the latest.
        exposures: Empty: each trigger is a part of its own, and its frame is one view.
        complete_ns: A view that is missing so long after the part's time is missing for good.
        model: Whose findings answer; None: anybody's.
        model_errors_to_fail: So many model errors in a row mean that the model has failed.
        falls_back: Whether the model before takes over from one that has failed.
    """

    reference: dict[str, Any]
    deadline_ns: int
    speak_before_ns: int
    stop_after_rejects: int = 0
    exposures: tuple[Exposure, ...] = ()
    window_ns: int = 0
    complete_ns: int = 0
    model: ModelRef | None = None
    model_errors_to_fail: int = 3
    falls_back: bool = False

    @property
    def name(self) -> str:
        """The recipe's name."""
        name: str = self.reference["name"]
        return name

    @property
    def sha256(self) -> str:
        """The recipe's identity."""
        sha256: str = self.reference["sha256"]
        return sha256

    @property
    def earliest_view_ns(self) -> int:
        """So long before a part's first trigger, as we read it, one of its views may have been exposed."""
        return 2 * self.window_ns if self.exposures else 0

    @property
    def latest_view_ns(self) -> int:
        """So long after it."""
        return max((one.offset_ns + 2 * self.window_ns for one in self.exposures), default=0)

    def views_of(self, exposure: int | None) -> tuple[str, ...]:
        """Names of the views that an exposure shows."""
        return (DEFAULT_VIEW,) if exposure is None else self.exposures[exposure].views


def part_plan(recipe: Recipe, reference: dict[str, Any], cameras: Sequence[str], send_margin_ms: float) -> PartPlan:
    """Read a recipe.

    Raises:
        ConfigError: A view names no camera of ours, or the times contradict each other.
    """
    where = f"recipe {recipe.name} version {recipe.version}"
    offsets: dict[tuple[str, int], list[str]] = {}
    for view in recipe.views:
        if view.camera not in cameras:
            raise ConfigError(f"{where}: view {view.name} is of camera '{view.camera}'; there is {', '.join(cameras)}")
        offsets.setdefault((view.camera, int(view.offset_ms * NS_PER_MS)), []).append(view.name)
    exposures = tuple(Exposure(camera, offset_ns, tuple(views)) for (camera, offset_ns), views in offsets.items())
    window_ns = int(recipe.assembly_window_ms * NS_PER_MS)
    margin_ms = min(send_margin_ms, recipe.deadline_ms / 2)
    last_ms = recipe.deadline_ms - margin_ms
    complete_ms = min(recipe.complete_within_ms or last_ms, last_ms)
    for one, other in itertools.combinations(exposures, 2):
        if one.camera == other.camera and abs(one.offset_ns - other.offset_ns) <= 2 * window_ns:
            raise ConfigError(
                f"{where}: views {one.views[0]} and {other.views[0]} are exposures of one camera closer than two "
                f"windows ({2 * recipe.assembly_window_ms:g} ms); move them apart, or lower assembly_window_ms"
            )
    latest = max((exposure.offset_ns / NS_PER_MS for exposure in exposures), default=0.0)
    if latest >= complete_ms:
        raise ConfigError(
            f"{where}: a view is exposed {latest:g} ms after the part, but parts are complete {complete_ms:g} ms "
            f"after it; raise complete_within_ms or deadline_ms"
        )
    return PartPlan(
        reference=reference,
        deadline_ns=int(recipe.deadline_ms * NS_PER_MS),
        speak_before_ns=int(margin_ms * NS_PER_MS),
        stop_after_rejects=recipe.stop_after_rejects,
        exposures=exposures,
        window_ns=window_ns,
        complete_ns=int(complete_ms * NS_PER_MS),
        model_errors_to_fail=recipe.model_errors_to_fail,
        falls_back=recipe.fall_back_to_previous_model,
    )


class Assembled(Protocol):
    """A part as the assembler sees it, open or decided.

    Attributes:
        part_ns: Its time: an exposure less its offset, CLOCK_MONOTONIC.
        taken: Exposures that have a trigger, by their number in the plan.
    """

    plan: PartPlan
    part_ns: int
    taken: set[int]


_P = TypeVar("_P", bound=Assembled)


@dataclass(frozen=True)
class Opening:
    """A new part: which exposure its first trigger is, and the part's time."""

    exposure: int | None
    part_ns: int


class Assembler(Generic[_P]):
    """Parts that may still get a view, in order of time."""

    def __init__(self) -> None:
        self._parts: list[_P] = []
        self._widest_ns = 0
        self._furthest_ns = 0

    def __bool__(self) -> bool:
        return bool(self._parts)

    def add(self, part: _P) -> None:
        """A part was opened, or is known from before."""
        self._widest_ns = max(self._widest_ns, part.plan.window_ns)
        self._furthest_ns = max(self._furthest_ns, *(one.offset_ns for one in part.plan.exposures))
        bisect.insort(self._parts, part, key=lambda one: one.part_ns)

    def forget(self, now_ns: int) -> None:
        """Drop parts that are older than anybody remembers."""
        old = bisect.bisect_left(self._parts, now_ns - REMEMBER_NS, key=lambda one: one.part_ns)
        del self._parts[:old]

    def find(self, camera: str, exposed_ns: int) -> tuple[_P, int] | None:
        """Find the part that lacks this exposure, and which of its exposures it is: the nearest in time."""
        best: tuple[int, _P, int] | None = None
        for part, number, distance_ns in self._candidates(camera, exposed_ns):
            if best is None or distance_ns < best[0]:
                best = (distance_ns, part, number)
        return (best[1], best[2]) if best is not None else None

    def _candidates(self, camera: str, exposed_ns: int) -> list[tuple[_P, int, int]]:
        found = []
        earliest_ns = exposed_ns - self._furthest_ns - self._widest_ns
        start = bisect.bisect_left(self._parts, earliest_ns, key=lambda one: one.part_ns)
        for part in self._parts[start:]:
            if part.part_ns > exposed_ns + self._widest_ns:
                break
            for number, exposure in enumerate(part.plan.exposures):
                distance_ns = abs(exposed_ns - exposure.offset_ns - part.part_ns)
                if exposure.camera == camera and number not in part.taken and distance_ns <= part.plan.window_ns:
                    found.append((part, number, distance_ns))
        return found


def opening(plan: PartPlan, camera: str, exposed_ns: int) -> Opening:
    """Say which exposure of a new part a trigger is: the camera's first one; none that the recipe asks for: alone."""
    numbers = [number for number, exposure in enumerate(plan.exposures) if exposure.camera == camera]
    if not numbers:
        return Opening(None, exposed_ns)
    first = min(numbers, key=lambda number: plan.exposures[number].offset_ns)
    return Opening(first, exposed_ns - plan.exposures[first].offset_ns)
