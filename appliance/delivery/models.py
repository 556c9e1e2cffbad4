"""Which model a recipe's parts are judged with: the one in use at the part's first trigger. Pure; the publisher's.

A change names a moment of exposure that lies ahead when it is fixed. It is noted before the inspector hears of it, so a
restarted publisher knows it too; one that nobody heard of may still be moved.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace

from appliance.messages import ModelRef
from appliance.messages.plan import Span

_REMEMBERED = 8


@dataclass(frozen=True)
class ModelChange:
    """A recipe's parts whose first trigger is exposed from a moment on are judged with this model.

    Attributes:
        from_ns: CLOCK_MONOTONIC; 0: always.
        revision: Of the choices (`appliance.rollout`) that this change carries out.
        is_told: Whether an inspector has heard of the moment, or none was there.
    """

    recipe: str
    model: ModelRef
    from_ns: int
    revision: int
    is_told: bool = False


class ModelBook:
    """The models in use over time, by recipe."""

    def __init__(self) -> None:
        self._changes: dict[str, list[ModelChange]] = {}

    def restore(self, change: ModelChange) -> None:
        """Take over a change, or a moved moment: of one revision the last word counts."""
        changes = self._changes.setdefault(change.recipe, [])
        if changes and changes[-1].revision == change.revision:
            changes.pop()
        changes.append(change)
        del changes[: max(0, len(changes) - _REMEMBERED)]

    def told(self, recipe: str) -> ModelChange:
        """The inspector knows the moment of a recipe's last change: it is final."""
        changes = self._changes[recipe]
        changes[-1] = replace(changes[-1], is_told=True)
        return changes[-1]

    def newest(self, recipe: str) -> ModelChange | None:
        """A recipe's last change; its moment may lie ahead. None before the first."""
        changes = self._changes.get(recipe)
        return changes[-1] if changes else None

    def untold(self) -> list[ModelChange]:
        """Changes of which no inspector has heard."""
        return [changes[-1] for changes in self._changes.values() if not changes[-1].is_told]

    def at(self, recipe: str, exposed_ns: int) -> ModelRef:
        """The model of a part whose first trigger is exposed then."""
        changes = self._changes[recipe]
        return next((one.model for one in reversed(changes) if one.from_ns <= exposed_ns), changes[0].model)

    def spans(self, recipe: str) -> list[tuple[ModelRef, Span]]:
        """For each model of a recipe, newest first, the exposures of the first triggers it judges."""
        changes = self._changes[recipe]
        ends = [*(one.from_ns for one in changes[1:]), None]
        found = [(one.model, (one.from_ns or None, end)) for one, end in zip(changes, ends, strict=True)]
        return found[::-1]

    def changes(self) -> Iterator[ModelChange]:
        """All changes that are remembered, recipe by recipe in order of time."""
        return (change for changes in self._changes.values() for change in changes)
