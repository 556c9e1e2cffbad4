"""Answers what the line controller, the MES and the operator ask. One rule: what is answered "ok" survives kill -9.

A recipe switch is answered when the inspector has said that it can judge by that recipe, a change of a model when its
moment is fixed; everything else at once.
"""

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from appliance.clock import NS_PER_S
from appliance.delivery.inspection import Inspection
from appliance.delivery.ledger import Ledger
from appliance.delivery.line_count import Agreement
from appliance.delivery.line_rules import LineRules, part_note, switch_note
from appliance.delivery.line_state import LineState
from appliance.delivery.model_desk import LOAD_WITHIN_NS, ModelDesk
from appliance.delivery.parts import Announcement, Claimed
from appliance.delivery.recipes import MAX_PENDING, Switch
from appliance.messages import Part
from appliance.messages.binding import Binding
from appliance.messages.control import (
    ControlStatus,
    LineCount,
    LineRelease,
    LineResync,
    LineStateQuery,
    ModelActivate,
    PartSet,
    RecipeSelect,
    ResultAck,
    control_reply,
    parse_request,
)
from appliance.messages.plan import PlanReport, PlanState
from appliance.wire.keys import BOX_CLIENT

log = logging.getLogger(__name__)

ACKNOWLEDGE_WITHIN_NS = 2 * NS_PER_S
"""So long the inspector may take to take notice of a recipe that was selected; loading its model may take longer."""
LOCAL_CLIENTS = frozenset({"", BOX_CLIENT})
"""Who may change models: programs on the box itself, which put a bundle to the test before they ask."""

Reply = dict[str, Any]
Answer = tuple[ControlStatus, str, dict[str, Any]]


@dataclass(frozen=True)
class Place:
    """Where the trigger of a binding is. Exactly one of the first three is set, or none: still to come.

    Attributes:
        inspection: Its trigger waits for a verdict.
        passed: It has its verdict, or will never come; says so.
        unknown: The binding means nothing to us; says why.
        inspection_id: Of a passed one, where it is still known.
    """

    inspection: Inspection | None = None
    passed: str | None = None
    unknown: str | None = None
    inspection_id: int | None = None


@dataclass(frozen=True)
class _Selecting:
    """A recipe switch that waits for the inspector."""

    request_id: object
    switch: Switch
    until_ns: int
    reply: Callable[[Reply], object]


class ControlDesk:
    """Requests in, answers out. Single-threaded, in the publisher's loop.

    Args:
        models: Changes the model in use.
        status: Gives the line's state message.
    Attributes:
        answered: Answers given, by request and status.
    """

    def __init__(
        self, ledger: Ledger, rules: LineRules, line: LineState, models: ModelDesk, status: Callable[[], Reply]
    ) -> None:
        self._ledger = ledger
        self._rules = rules
        self._line = line
        self._models = models
        self._status = status
        self._selecting: list[_Selecting] = []
        self.answered: dict[str, int] = {}

    def handle(self, body: dict[str, Any], now_ns: int, reply: Callable[[Reply], object], client: str = "") -> None:
        """Answer one request, now or when the inspector has; `client` names the asking key."""
        request_id = body.get("id")
        try:
            request = parse_request(body)
        except ValueError as error:
            request_id = request_id if isinstance(request_id, (str, int)) else None
            reply(self._answer("invalid", request_id, (ControlStatus.INVALID, str(error), {})))
            return
        if isinstance(request, RecipeSelect):
            answer = self._select_recipe(request, now_ns, reply)
        elif isinstance(request, ModelActivate):
            answer = self._activate_model(request, client, now_ns, reply)
        else:
            answer = self._decide(request, now_ns)
        if answer is not None:
            reply(self._answer(request.request, request_id, answer))

    def _decide(
        self,
        request: PartSet | LineCount | LineResync | LineRelease | ResultAck | LineStateQuery,
        now_ns: int,
    ) -> Answer:
        match request:
            case PartSet():
                return self._set_part(request, now_ns)
            case LineCount():
                return self._compare_count(request, now_ns)
            case LineResync():
                return self._resync(request, now_ns)
            case LineRelease():
                return self._release()
            case ResultAck():
                return self._acknowledge(request)
            case LineStateQuery():
                return ControlStatus.OK, "", {"state": self._status()}

    def _answer(self, name: str, request_id: object, answer: Answer) -> Reply:
        status, message, more = answer
        counted = f"{name} {status}"
        self.answered[counted] = self.answered.get(counted, 0) + 1
        return control_reply(request_id, status, message, **more)

    # -- parts

    def _set_part(self, request: PartSet, now_ns: int) -> Answer:
        part = Part(request.part_id, request.lot, request.job_id, request.lane)
        announcement = Announcement(request.bind, part, request.recipe, now_ns)
        earlier = self._rules.parts.find(request.bind)
        if earlier is not None:
            return self._repeated(announcement, earlier)
        place = self.locate(request.bind)
        if place.unknown is not None:
            return ControlStatus.UNKNOWN, place.unknown, {}
        if place.passed is not None:
            return ControlStatus.LATE, place.passed, {"inspection_id": place.inspection_id}
        if request.recipe is not None and request.recipe not in self._rules.recipes.shelf.plans:
            return ControlStatus.UNKNOWN, self._unknown_recipe(request.recipe), {}
        elsewhere = self._rules.parts.bound_elsewhere(announcement)
        if elsewhere is not None and not self._has_missed(elsewhere):
            told = f"part {part.part_id} is bound to {elsewhere}; one part can't be at two triggers"
            return ControlStatus.CONFLICT, told, {}
        return self._accept_part(announcement, place.inspection, now_ns)

    def _repeated(self, announcement: Announcement, earlier: Announcement | Claimed) -> Answer:
        known = earlier.announcement if isinstance(earlier, Claimed) else earlier
        inspection_id = earlier.inspection_id if isinstance(earlier, Claimed) else None
        if announcement == known:
            return ControlStatus.DUPLICATE, f"{known.bind} has this part already", {"inspection_id": inspection_id}
        told = f"{known.bind} has part {known.part.part_id}, announced with other contents; that one stays"
        return ControlStatus.CONFLICT, told, {"inspection_id": inspection_id}

    def _accept_part(self, announcement: Announcement, inspection: Inspection | None, now_ns: int) -> Answer:
        parts = self._rules.parts
        if inspection is not None and inspection.announcement is not None:
            told = f"inspection {inspection.inspection_id} has part {inspection.part.part_id} already; that one stays"
            return ControlStatus.CONFLICT, told, {"inspection_id": inspection.inspection_id}
        if not parts.has_room(now_ns):
            self.drop_passed()
        if not parts.has_room(now_ns):
            told = f"{len(parts)} announced parts wait for their trigger: no room for more; announce later"
            return ControlStatus.REFUSED, told, {}
        if not self._rules.note(part_note(announcement)):
            return ControlStatus.REFUSED, "the runtime directory is full; free space there, then try again", {}
        if inspection is None:
            parts.add(announcement)
            return ControlStatus.OK, "", {}
        parts.claim_open(announcement, inspection.inspection_id)
        inspection.announcement = announcement
        return ControlStatus.OK, "", {"inspection_id": inspection.inspection_id}

    def _has_missed(self, bind: Binding) -> bool:
        """Whether an announcement still waits for a trigger that has passed: then it is forgotten."""
        earlier = self._rules.parts.find(bind)
        if not isinstance(earlier, Announcement) or self.locate(bind).passed is None:
            return False
        self._rules.parts.forget(earlier)
        return True

    def drop_passed(self) -> None:
        """Forget announcements whose trigger passed unclaimed: while we were away, or jumped over by a count."""
        for announcement in list(self._rules.parts.pending()):
            if self.locate(announcement.bind).passed is not None:
                self._rules.parts.forget(announcement)

    # -- where a trigger is

    def locate(self, bind: Binding) -> Place:
        """Find the trigger that a binding means."""
        rules = self._rules
        if bind.trigger is not None:
            return self._locate_id(bind, bind.trigger.camera, bind.trigger.trigger_id)
        if bind.encoder is not None:
            return self._locate_encoder(bind, bind.encoder.camera, bind.encoder.count, bind.encoder.tolerance)
        assert bind.controller_count is not None
        trigger_id = rules.count.trigger_id_of(bind.controller_count)
        if trigger_id is None:
            why = "differ" if rules.count.mismatch is not None else "were never brought together"
            return Place(unknown=f"{bind} means nothing to us: the counts {why}; line.resync first")
        return self._locate_id(bind, rules.count_camera, trigger_id)

    def _locate_encoder(self, bind: Binding, camera: str, count: int, tolerance: int) -> Place:
        if not self._ledger.has_camera(camera):
            return Place(unknown=self._unknown_camera(camera))
        trigger_id = self._rules.counted_trigger(camera, count, tolerance)
        if trigger_id is not None:
            return self._locate_id(bind, camera, trigger_id)
        last = self._rules.last_encoder_count(camera)
        if last is not None and last > count + tolerance:
            return Place(passed=f"{bind} has passed: {camera} is at {last}")
        return Place()

    def _locate_id(self, bind: Binding, camera: str, trigger_id: int) -> Place:
        if not self._ledger.has_camera(camera):
            return Place(unknown=self._unknown_camera(camera))
        found = self._ledger.place(camera, trigger_id)
        if isinstance(found, Inspection):
            return Place(inspection=found)
        if found is not None:
            told = f"{bind} was decided already: inspection {found.inspection_id}"
            return Place(passed=told, inspection_id=found.inspection_id)
        if trigger_id < 1 or self._ledger.has_passed(camera, trigger_id):
            return Place(passed=f"{bind} passed long ago")
        return Place()

    def _unknown_camera(self, camera: str) -> str:
        return f"no camera '{camera}'; there is {', '.join(self._ledger.cameras)}"

    # -- recipes

    def _select_recipe(self, request: RecipeSelect, now_ns: int, reply: Callable[[Reply], object]) -> Answer | None:
        switch, recipes = Switch(request.recipe, request.from_), self._rules.recipes
        if request.recipe not in recipes.shelf.plans:
            return ControlStatus.UNKNOWN, self._unknown_recipe(request.recipe), {}
        coming = [*recipes.pending, *(one.switch for one in self._selecting)]
        for other in coming:
            if other.bind.key == switch.bind.key:
                is_same = other.recipe == switch.recipe
                status = ControlStatus.DUPLICATE if is_same else ControlStatus.CONFLICT
                return status, f"recipe {other.recipe} is selected from {other.bind} on; that stays", {}
        if len(coming) >= MAX_PENDING:
            return ControlStatus.REFUSED, f"{len(coming)} recipe switches wait for their trigger; select later", {}
        passed = self._why_too_late(switch)
        if passed is not None:
            return passed
        until_ns = now_ns + ACKNOWLEDGE_WITHIN_NS
        self._selecting.append(_Selecting(request.id, switch, until_ns, reply))
        return None

    def _why_too_late(self, switch: Switch) -> Answer | None:
        place = self.locate(switch.bind)
        if place.unknown is not None:
            return ControlStatus.UNKNOWN, place.unknown, {}
        if place.passed is not None:
            return ControlStatus.LATE, place.passed, {"inspection_id": place.inspection_id}
        if place.inspection is not None:
            told = f"{switch.bind} was exposed already: inspection {place.inspection.inspection_id}; name a later one"
            return ControlStatus.LATE, told, {"inspection_id": place.inspection.inspection_id}
        return None

    def _unknown_recipe(self, name: str) -> str:
        return f"no recipe '{name}' in the configuration; it has {', '.join(self._rules.recipes.shelf.plans)}"

    @property
    def wanted_recipes(self) -> list[str]:
        """Names of recipes that switches wait for the inspector to load."""
        return [one.switch.recipe for one in self._selecting]

    def loaded(self, reports: Mapping[str, PlanReport], now_ns: int) -> None:
        """What the inspector says of recipes, by name; answers who waited for it, or waited too long."""
        still = []
        for selecting in self._selecting:
            answer = self._settle(selecting, reports.get(selecting.switch.recipe), now_ns)
            if answer is None:
                still.append(selecting)
            else:
                selecting.reply(self._answer("recipe.select", selecting.request_id, answer))
        self._selecting = still

    def _settle(self, selecting: _Selecting, report: PlanReport | None, now_ns: int) -> Answer | None:
        switch = selecting.switch
        if report is not None and report.state is PlanState.FAILED:
            return ControlStatus.REFUSED, f"recipe {switch.recipe}: {report.detail}; nothing was changed", {}
        if report is None or report.state is PlanState.LOADING:
            until_ns = selecting.until_ns + (LOAD_WITHIN_NS if report is not None else 0)
            if now_ns < until_ns:
                return None
            told = f"the inspector has not loaded recipe {switch.recipe} in time; nothing was changed"
            return ControlStatus.REFUSED, told, {}
        passed = self._why_too_late(switch)  # every frame from now on is judged by it; one before may not have been
        if passed is not None:
            return passed
        if not self._rules.note(switch_note(switch)):
            return ControlStatus.REFUSED, "the runtime directory is full; free space there, then try again", {}
        self._rules.recipes.select(switch)
        return ControlStatus.OK, "", {}

    # -- models

    def _activate_model(
        self, request: ModelActivate, client: str, now_ns: int, reply: Callable[[Reply], object]
    ) -> Answer | None:
        if client not in LOCAL_CLIENTS:
            return ControlStatus.REFUSED, "models are activated on the box itself: appliance model activate", {}

        def answer(given: Answer) -> None:
            reply(self._answer(request.request, request.id, given))

        self._models.activate(request, request.by or client or "control lane", now_ns, answer)
        return None

    # -- counts and handshake

    def _compare_count(self, request: LineCount, now_ns: int) -> Answer:
        count = self._rules.count
        was_known = count.mismatch
        agreement = count.tell(request.controller_count, now_ns)
        ours = {"our_count": count.our_count}
        if agreement is Agreement.UNSYNCHRONISED:
            return ControlStatus.UNKNOWN, "the counts were never brought together; line.resync first", ours
        if agreement is Agreement.MISMATCH:
            if was_known is None:
                self.mismatch_found()
            return ControlStatus.CONFLICT, f"{count.mismatch}; every verdict is UNKNOWN until line.resync", ours
        return ControlStatus.OK, "", ours

    def mismatch_found(self) -> None:
        """Write down, and say, that counts differ."""
        text = self._rules.count.mismatch
        self._rules.note({"note": "mismatch", "text": text})
        log.error("trigger counts differ: %s; every verdict is UNKNOWN until line.resync", text)

    def _resync(self, request: LineResync, now_ns: int) -> Answer:
        rules = self._rules
        trigger_id = rules.count.last_trigger_id if request.bind is None else self._id_on_count_camera(request.bind)
        if trigger_id is None and request.bind is not None:
            told = f"{request.bind} is no trigger of {rules.count_camera} that we know; bind by its trigger id"
            return ControlStatus.UNKNOWN, told, {}
        if request.bind is None and not rules.count.is_standing(now_ns):
            told = "triggers are coming, so the last one isn't the same to both of us; stop the line, or give bind"
            return ControlStatus.REFUSED, told, {"our_count": rules.count.our_count}
        offset = request.controller_count - (trigger_id or 0)
        if not rules.note({"note": "sync", "offset": offset}):
            return ControlStatus.REFUSED, "the runtime directory is full; free space there, then try again", {}
        rules.count.resync(request.controller_count, trigger_id or 0)
        self.drop_passed()
        log.warning("resynchronised: trigger %d is the controller's %d", trigger_id or 0, request.controller_count)
        return ControlStatus.OK, "", {"our_count": rules.count.our_count}

    def _id_on_count_camera(self, bind: Binding) -> int | None:
        camera = self._rules.count_camera
        if bind.trigger is not None and bind.trigger.camera == camera:
            return bind.trigger.trigger_id
        if bind.encoder is not None and bind.encoder.camera == camera:
            return self._rules.counted_trigger(camera, bind.encoder.count, bind.encoder.tolerance)
        return None

    def _release(self) -> Answer:
        self._rules.note({"note": "release"})
        self._rules.stop_requested = False
        if self._line.release():
            return ControlStatus.OK, "", {}
        return ControlStatus.DUPLICATE, "no stop was requested; rejects in a row are counted from zero again", {}

    def _acknowledge(self, request: ResultAck) -> Answer:
        is_news = self._line.acknowledge(request.verdict_seq)
        if is_news is None:
            return ControlStatus.UNKNOWN, "no verdict with this verdict_seq was sent since the start", {}
        return (ControlStatus.OK if is_news else ControlStatus.DUPLICATE), "", {}
