"""What the publisher knows of the line beyond triggers and findings: parts, recipes, counts; and how it remembers.

The ledger asks here about each trigger it reads; the control desk changes what is answered. Everything that was
promised to somebody is noted first, and read again by a successor.
"""

import contextlib
import logging
from collections import deque
from collections.abc import Iterator

from appliance.delivery.assembly import PartPlan
from appliance.delivery.line_count import LineCount
from appliance.delivery.models import ModelChange
from appliance.delivery.notes import Note, NoteFile
from appliance.delivery.parts import Announcement, PartBook
from appliance.delivery.recipes import RecipeBook, Switch, Switched
from appliance.errors import TallyError
from appliance.messages import ModelRef, Part, Trigger, TriggerFlag
from appliance.messages.binding import Binding
from appliance.messages.plan import JudgingPlan

log = logging.getLogger(__name__)

_RECENT = 2048


class LineRules:
    """Parts, recipes and counts of one line; the ledger's `PartRules`.

    Args:
        count_camera: Whose triggers the controller counts.
    Attributes:
        triggers_seen: Triggers that the ledger has read.
        stop_requested: As noted; the line's state has the last word.
    """

    def __init__(self, notes: NoteFile, recipes: RecipeBook, *, count_camera: str, count_tolerance_ms: float) -> None:
        self.notes = notes
        self.recipes = recipes
        self.parts = PartBook()
        self.count = LineCount(count_tolerance_ms)
        self.count_camera = count_camera
        self.triggers_seen = 0
        self.stop_requested = False
        self._recent: dict[str, deque[tuple[int, int]]] = {}
        for note in notes.load():
            try:
                self._recall(note)
            except (KeyError, TypeError, ValueError) as error:
                log.warning("a note of another version is left out (%r): %.80r", error, note)

    # -- the ledger's questions

    def see(self, camera: str, trigger: Trigger) -> None:
        """Count a trigger, and let it switch the recipe."""
        self.triggers_seen += 1
        if camera == self.count_camera:
            self.count.see(trigger.trigger_id, trigger.exposed_ns)
        if TriggerFlag.COUNTED in trigger.flags:
            self._recent.setdefault(camera, deque(maxlen=_RECENT)).append((trigger.encoder_count, trigger.trigger_id))
        for switched in self.recipes.see(camera, trigger, self._counted_switches(camera)):
            self.notes.append(_switched_note(switched))
            log.warning("recipe %s from trigger %d of %s on", switched.recipe, trigger.trigger_id, camera)

    def plan(self, camera: str, trigger: Trigger) -> PartPlan:
        """Give the plan of the recipe in use at a trigger."""
        return self.recipes.plan(camera, trigger)

    def judging(self, now_ns: int) -> list[JudgingPlan]:
        """Which frames the inspector must judge by which recipe and model."""
        ids = {switch: (self.count_camera, number) for switch, number in self._counted_ids().items() if number}
        return self.recipes.judging(now_ns, ids)

    def claim(self, camera: str, trigger: Trigger, inspection_id: int) -> Announcement | None:
        """Take the part announced for a trigger."""
        if not len(self.parts):
            return None
        return self.parts.claim(camera, trigger, self.controller_count_of(camera, trigger.trigger_id), inspection_id)

    # -- counts

    def controller_count_of(self, camera: str, trigger_id: int) -> int | None:
        """The controller's number of a trigger; None where it has none, or counts differ."""
        if camera != self.count_camera or self.count.offset is None or self.count.mismatch is not None:
            return None
        return trigger_id + self.count.offset

    def counted_trigger(self, camera: str, encoder_count: int, tolerance: int) -> int | None:
        """Find the trigger at an encoder position among the last ones; None when there is none (yet)."""
        near = [
            (abs(count - encoder_count), trigger_id)
            for count, trigger_id in self._recent.get(camera, ())
            if abs(count - encoder_count) <= tolerance
        ]
        return min(near)[1] if near else None

    def last_encoder_count(self, camera: str) -> int | None:
        """The counter as latched last; None when this camera has delivered none."""
        recent = self._recent.get(camera)
        return recent[-1][0] if recent else None

    # -- memory

    def note(self, note: Note) -> bool:
        """Write down what is about to be promised; tells whether that was possible."""
        if self.notes.is_long:
            with contextlib.suppress(TallyError):  # no space for a second file: the long one goes on
                self.compact()
        return self.notes.append(note)

    def compact(self) -> None:
        """Write down what still matters, and only that."""
        self.notes.rewrite(self._facts())

    def _facts(self) -> Iterator[Note]:
        if self.count.offset is not None:
            yield {"note": "sync", "offset": self.count.offset}
        if self.count.mismatch is not None:
            yield {"note": "mismatch", "text": self.count.mismatch}
        if self.stop_requested:
            yield {"note": "stop"}
        yield from map(model_note, self.recipes.models.changes())
        yield from map(_switched_note, self.recipes.switched)
        yield from map(switch_note, self.recipes.pending)
        yield from map(part_note, self.parts.unsettled())

    def _recall(self, note: Note) -> None:
        kind = note["note"]
        if kind == "sync":
            self.count.offset, self.count.mismatch = note["offset"], None
        elif kind == "mismatch":
            self.count.mismatch = note["text"]
        elif kind in {"stop", "release"}:
            self.stop_requested = kind == "stop"
        elif kind == "part":
            self.parts.add(_announcement(note))
        elif note["recipe"] not in self.recipes.shelf.plans:
            log.warning("recipe %s was in use, but the configuration no longer names it", note["recipe"])
        elif kind == "model":
            self.recipes.models.restore(_model_change(note))
        elif kind == "switch":
            self.recipes.select(Switch(note["recipe"], Binding.model_validate(note["from"])))
        else:
            self.recipes.restore(
                Switched(note["recipe"], note["camera"], note["trigger_id"], note["exposed_ns"]),
            )

    def _counted_switches(self, camera: str) -> dict[Switch, int | None]:
        return self._counted_ids() if camera == self.count_camera else {}

    def _counted_ids(self) -> dict[Switch, int | None]:
        """For switches bound to the controller's count, the count camera's trigger; None while it means nothing."""
        counts = {switch: switch.bind.controller_count for switch in self.recipes.pending}
        return {switch: self.count.trigger_id_of(number) for switch, number in counts.items() if number is not None}


def part_note(announcement: Announcement) -> Note:
    """Write down an announced part."""
    part = announcement.part
    return {
        "note": "part",
        "bind": announcement.bind.model_dump(exclude_none=True),
        "part": vars(part),
        "recipe": announcement.recipe,
        "at_ns": announcement.at_ns,
    }


def switch_note(switch: Switch) -> Note:
    """Write down a selected recipe."""
    return {"note": "switch", "recipe": switch.recipe, "from": switch.bind.model_dump(exclude_none=True)}


def model_note(change: ModelChange) -> Note:
    """Write down from when on a recipe's parts are judged with a model."""
    return {"note": "model", **vars(change), "model": vars(change.model)}


def _model_change(note: Note) -> ModelChange:
    fields = {name: note[name] for name in ("recipe", "from_ns", "revision", "is_told")}
    return ModelChange(model=ModelRef(**note["model"]), **fields)


def _switched_note(switched: Switched) -> Note:
    return {"note": "switched", **vars(switched)}


def _announcement(note: Note) -> Announcement:
    return Announcement(Binding.model_validate(note["bind"]), Part(**note["part"]), note["recipe"], note["at_ns"])
