"""Changes of the model in use: asked for by people, or made by itself where a model fails and its recipe allows it.

    asked ──inspector loads──▶ loaded ──choice is durable──▶ moment fixed, noted, told ──▶ answered, audited, recorded

The running model judges on until the moment. What fails before it changes nothing and is answered in one line.
"""

import logging
import time
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from appliance.clock import NS_PER_MS, NS_PER_S, rfc3339, wall_from_monotonic
from appliance.delivery.line_rules import LineRules, model_note
from appliance.delivery.model_health import ModelHealth
from appliance.delivery.models import ModelChange
from appliance.errors import ApplianceError, ConfigError
from appliance.messages import Finding, ModelIdentity, ModelRef
from appliance.messages.control import ControlStatus, ModelActivate
from appliance.messages.plan import JudgingPlan, PlanReport, PlanState
from appliance.rollout import AuditEntry, Choices, ChoicesFile, ModelChoice, append_audit, model_in_use
from appliance.rollout.choices import ChosenModel

log = logging.getLogger(__name__)

LOAD_WITHIN_NS = 60 * NS_PER_S
LEAD_NS = 50 * NS_PER_MS
"""From fixing a moment to the moment: the inspector must hear of it before it gets a frame exposed then."""
_SAVE_AGAIN_NS = 5 * NS_PER_S
_LOCK_WITHIN_S = 2.0
OURSELVES = "appliance"

Reply = dict[str, Any]
Answer = tuple[ControlStatus, str, dict[str, Any]]
PlanKey = tuple[str, ModelRef]


@dataclass(frozen=True)
class ModelEvent:
    """Something happened to the model in use, for the journal.

    Attributes:
        word: "activated", "rolled_back", "fell_back" or "failed".
        from_ns: From which exposure on, CLOCK_MONOTONIC.
    """

    word: str
    recipe: str
    old: ModelRef
    new: ModelRef | None
    by: str
    detail: str = ""
    from_ns: int = 0


@dataclass
class _Activation:
    """A change on its way; `saving` is set once the inspector is ready."""

    request: ModelActivate
    old: ModelRef
    by: str
    until_ns: int
    answers: list[Callable[[Answer], object]]
    saving: "Future[str | None] | None" = None

    @property
    def new(self) -> ModelRef:
        return ModelRef(self.request.model, self.request.contract_sha256)

    @property
    def event(self) -> ModelEvent:
        word = "rolled_back" if self.request.is_rollback else "activated"
        return ModelEvent(word, self.request.recipe, self.old, self.new, self.by)


class ModelDesk:
    """One change at a time. Single-threaded, in the publisher's loop; a thread of its own waits for the disk.

    Args:
        tell: Takes what the journal should know.
    Raises:
        ConfigError: The choices can't be read, or somebody else may write them.
    """

    def __init__(self, state_dir: Path, rules: LineRules, tell: Callable[[ModelEvent], None]) -> None:
        self._state_dir = state_dir
        self._rules = rules
        self._tell = tell
        self._file = _locked(state_dir)
        self._choices = self._file.read()
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="choices")
        self._activation: _Activation | None = None
        self._noted: dict[str, ModelEvent] = {}
        self._unsaved: ModelEvent | None = None
        self._saving: Future[str | None] | None = None
        self._save_at_ns = 0
        self._reports: Mapping[PlanKey, PlanReport] = {}
        self._identities: dict[ModelRef, ModelIdentity] = {}
        self.health = ModelHealth()

    def take_over(self, now_ns: int) -> None:
        """Bring what was chosen and what was noted together; where they differ, the newer one is carried out."""
        models = self._rules.recipes.models
        for name, recipe in self._rules.recipes.shelf.recipes.items():
            wish, known = model_in_use(self._choices, recipe), models.newest(name)
            if known is None:
                self._note(ModelChange(name, wish, 0, self._choices.revision, is_told=True))
            elif known.revision > self._choices.revision:  # killed before a choice of its own was durable
                self._choose(name, known.model, OURSELVES, fell_back_from=wish)
                self._unsaved = ModelEvent("fell_back", name, wish, known.model, OURSELVES, "saved after a restart")
            elif known.model != wish:
                self._note(ModelChange(name, wish, now_ns + LEAD_NS, max(known.revision + 1, self._choices.revision)))

    # -- asked for

    def activate(self, request: ModelActivate, by: str, now_ns: int, answer: Callable[[Answer], object]) -> None:
        """Begin a change; `answer` is called once, now or later."""
        newest = self._rules.recipes.models.newest(request.recipe)
        if newest is None:
            known = ", ".join(self._rules.recipes.shelf.plans)
            told = f"no recipe '{request.recipe}' in the configuration; it has {known}"
            answer((ControlStatus.UNKNOWN, told, {}))
            return
        old = self._pinned(newest.model)
        activation, current = _Activation(request, old, by, now_ns + LOAD_WITHIN_NS, [answer]), self._activation
        if current is not None and (current.request.recipe, current.new) == (request.recipe, activation.new):
            current.answers.append(answer)  # somebody grew tired of waiting, and asks again
        elif activation.new == old:
            told = f"recipe {request.recipe}: model {old} is in use already"
            answer((ControlStatus.DUPLICATE, told, {}))
        elif current is not None or self._unsaved is not None:
            answer((ControlStatus.REFUSED, "another change of a model is under way; try again when it is done", {}))
        else:
            self._activation = activation

    def held_ready(self) -> list[JudgingPlan]:
        """Plans whose models must be loaded although no frame is judged by them: the next one, and the last one."""
        plans = []
        if self._activation is not None:
            plans.append(self._plan(self._activation.request.recipe, self._activation.new))
        current = self._rules.recipes.current.name
        previous = self._previous(current)
        if previous is not None:
            plans.append(self._plan(current, previous))
        return plans

    def held_for(self, recipe: str) -> JudgingPlan:
        """The plan of a recipe that is about to be selected."""
        newest = self._rules.recipes.models.newest(recipe)
        assert newest is not None, "every recipe has a model"
        return self._plan(recipe, newest.model)

    # -- as time goes by

    def step(self, reports: Iterable[PlanReport] | None, now_ns: int) -> None:
        """Go on with what is under way.

        Args:
            reports: What the inspector says of its plans; None: there is no inspector.
        """
        self._reports = {report.key: report for report in reports or ()}
        self._save_again(now_ns)
        if self._activation is not None:
            self._go_on(self._activation, now_ns)
        self._fall_back_if_due(now_ns)
        if reports is None:
            self.has_told(self._rules.recipes.models.untold())

    def move_missed(self, now_ns: int) -> None:
        """Move moments that come too soon to be told now; for the last look at the clock before the inspector is told.

        Whatever came since a moment was fixed may have taken longer than its lead: a full socket, a machine that stood
        still.
        """
        for change in self._rules.recipes.models.untold():
            if change.from_ns < now_ns + LEAD_NS // 2:
                moment_ns = self._moment(change.recipe, now_ns)
                self._note(ModelChange(change.recipe, change.model, moment_ns, change.revision))

    def has_told(self, changes: Iterable[ModelChange]) -> None:
        """The inspector knows these moments: they are final, and everybody else may know them."""
        for change in changes:
            final = self._rules.recipes.models.told(change.recipe)
            self._rules.note(model_note(final))
            event = self._noted.pop(change.recipe, None)
            if event is not None:
                self._tell(replace(event, from_ns=final.from_ns))
            activation = self._activation
            if event is not None and activation is not None and activation.event == event:
                self._end(activation, ControlStatus.OK, "", {"effective_at": wall_from_monotonic(final.from_ns)})

    def _go_on(self, activation: _Activation, now_ns: int) -> None:
        if activation.request.recipe in self._noted:
            return
        recipe, new = activation.request.recipe, activation.new
        report = self._reports.get(self._plan(recipe, new).key)
        if activation.saving is not None:
            if activation.saving.done():
                self._finish(activation, activation.saving.result(), now_ns)
        elif report is not None and report.state is PlanState.READY:
            activation.saving = self._begin_choice(activation)
        elif report is not None and report.state is PlanState.FAILED:
            self._end(activation, ControlStatus.REFUSED, f"model {new.name}: {report.detail}")
        elif now_ns >= activation.until_ns:
            told = f"the inspector has not loaded model {new.name} within {LOAD_WITHIN_NS // NS_PER_S} s"
            self._end(activation, ControlStatus.REFUSED, f"{told}; nothing was changed")

    def _begin_choice(self, activation: _Activation) -> "Future[str | None]":
        self._choose(activation.request.recipe, activation.new, activation.by, previous=activation.old)
        return self._save(activation.event)

    def _finish(self, activation: _Activation, trouble: str | None, now_ns: int) -> None:
        recipe = activation.request.recipe
        if trouble is not None:
            self._choices = self._file.read()
            self._end(activation, ControlStatus.REFUSED, f"{trouble}; nothing was changed")
            return
        change = ModelChange(recipe, activation.new, self._moment(recipe, now_ns), self._choices.revision)
        if not self._note(change):
            told = "the choice is stored, but the runtime directory is full: it is carried out at the next start"
            self._end(activation, ControlStatus.REFUSED, told)
            return
        self._changed(activation.event)

    def _end(
        self, activation: _Activation, status: ControlStatus, told: str, more: dict[str, Any] | None = None
    ) -> None:
        self._activation = None
        if status is not ControlStatus.OK:
            log.error("model %s is not activated for recipe %s: %s", activation.new, activation.request.recipe, told)
        for answer in activation.answers:
            answer((status, told, more or {}))

    # -- a model that fails

    def heard(self, finding: Finding) -> None:
        """Take notice of a finding: it tells whether its model works."""
        plan = self._rules.recipes.current
        assert plan.model is not None
        if finding.model is None or not finding.model.is_asked_by(plan.model):
            return
        if self.health.heard(finding, plan.model_errors_to_fail):
            detail = f"{plan.model_errors_to_fail} model errors in a row, the last one: {finding.detail}"
            log.error("recipe %s: model %s has failed: %s", plan.name, plan.model, detail)
            self.health.has_failed(plan.name, plan.model, detail)
            event = ModelEvent("failed", plan.name, plan.model, None, OURSELVES, detail, time.monotonic_ns())
            self._tell(event)
            self._thread.submit(_audit, self._state_dir, event)

    def _fall_back_if_due(self, now_ns: int) -> None:
        failed, plan = self.health.failed, self._rules.recipes.current
        if failed is None or not plan.falls_back or self._activation is not None or plan.model is None:
            return
        previous = self._previous(plan.name)
        if previous is None or not self._is_ready(plan.name, previous):
            return
        old = self._pinned(plan.model)
        self._choose(plan.name, previous, OURSELVES, fell_back_from=old)
        self._note(ModelChange(plan.name, previous, self._moment(plan.name, now_ns), self._choices.revision))
        event = ModelEvent("fell_back", plan.name, old, previous, OURSELVES, failed.detail)
        self._unsaved, self._save_at_ns = event, now_ns
        self._changed(event)

    @property
    def hindrance(self) -> str | None:
        """Why no part can be judged; None while the model in use works."""
        failed = self.health.failed
        if failed is None:
            return None
        return f"model {failed.model.name} of recipe {failed.recipe} fails: {failed.detail}; roll back, or take another"

    # -- status

    def learn(self, reports: Iterable[PlanReport]) -> None:
        """Take notice of which models there are, before any finding speaks of them."""
        self._identities |= {report.model: report.identity for report in reports if report.identity is not None}

    def identity(self, ref: ModelRef | None) -> ModelIdentity | None:
        """What is known of a model that was asked for."""
        return self._identities.get(ref) if ref is not None else None

    def status(self) -> dict[str, Any]:
        """By recipe: its model, since when, what it can go back to, what failed."""
        return {name: self._told_of(name) for name in self._rules.recipes.shelf.recipes}

    def _told_of(self, recipe: str) -> dict[str, Any]:
        newest = self._rules.recipes.models.newest(recipe)
        assert newest is not None, "every recipe has a model"
        choice = self._choices.of(self._rules.recipes.shelf.recipes[recipe])
        failed, activation, identity = self.health.failed, self._activation, self.identity(newest.model)
        is_loading = activation is not None and activation.request.recipe == recipe
        return {
            "model": identity.reference if identity is not None else {"name": newest.model.name, "sha256": None},
            "since": choice.since.isoformat() if choice is not None else None,
            "by": choice.by if choice is not None else None,
            "previous": choice.previous.name if choice is not None and choice.previous is not None else None,
            "fell_back_from": choice.fell_back_from.name if choice and choice.fell_back_from else None,
            "failed": failed.detail if failed is not None and failed.recipe == recipe else None,
            "loading": activation.request.model if activation is not None and is_loading else None,
        }

    def close(self) -> None:
        """Wait for the disk; give up the right to choose."""
        self._thread.shutdown(wait=True)
        self._file.close()

    # -- inside

    def _plan(self, recipe: str, model: ModelRef) -> JudgingPlan:
        return JudgingPlan(self._rules.recipes.shelf.plans[recipe].sha256, model, ())

    def _previous(self, recipe: str) -> ModelRef | None:
        choice = self._choices.of(self._rules.recipes.shelf.recipes[recipe])
        return choice.previous.ref if choice is not None and choice.previous is not None else None

    def _is_ready(self, recipe: str, model: ModelRef) -> bool:
        report = self._reports.get(self._plan(recipe, model).key)
        return report is not None and report.state is PlanState.READY

    def _pinned(self, model: ModelRef) -> ModelRef:
        """The very bundle that is loaded, where the recipe only gives a name."""
        identity = self._identities.get(model)
        return ModelRef(model.name, identity.contract_sha256) if identity is not None else model

    def _moment(self, recipe: str, now_ns: int) -> int:
        return now_ns + LEAD_NS + self._rules.recipes.shelf.plans[recipe].earliest_view_ns

    def _note(self, change: ModelChange) -> bool:
        is_noted = self._rules.note(model_note(change))
        if is_noted:
            self._rules.recipes.models.restore(change)
        return is_noted

    def _changed(self, event: ModelEvent) -> None:
        """A moment is noted; what it is in the end stands in the event once the inspector knows it."""
        self.health.changed(event.recipe)
        how = event.word.replace("_", " ")
        log.warning("recipe %s: model %s in place of %s, %s by %s", event.recipe, event.new, event.old, how, event.by)
        self._noted[event.recipe] = event

    def _choose(
        self, recipe: str, model: ModelRef, by: str, previous: ModelRef | None = None,
        fell_back_from: ModelRef | None = None,
    ) -> None:  # fmt: skip
        choice = ModelChoice(
            model=ChosenModel.of(model),
            recipe_model=self._rules.recipes.shelf.recipes[recipe].model,
            since=datetime.now(UTC),
            by=by,
            previous=ChosenModel.of(previous) if previous is not None else None,
            fell_back_from=ChosenModel.of(fell_back_from) if fell_back_from is not None else None,
        )
        self._choices = self._choices.with_choice(recipe, choice)

    def _save(self, event: ModelEvent) -> "Future[str | None]":
        return self._thread.submit(_write, self._file, self._choices, self._state_dir, event)

    def _save_again(self, now_ns: int) -> None:
        """Write down what the appliance chose by itself, until the disk takes it."""
        if self._saving is not None and self._saving.done():
            trouble, self._saving = self._saving.result(), None
            if trouble is None:
                self._unsaved = None
            else:
                log.error("the model in use can't be written down, trying again: %s", trouble)
        if self._unsaved is not None and self._saving is None and now_ns >= self._save_at_ns:
            self._save_at_ns = now_ns + _SAVE_AGAIN_NS
            self._saving = self._save(self._unsaved)


def _locked(state_dir: Path) -> ChoicesFile:
    file = ChoicesFile(state_dir)
    end = time.monotonic() + _LOCK_WITHIN_S
    while not file.try_lock():  # a command that chooses holds it for a moment
        if time.monotonic() > end:
            file.close()
            raise ConfigError(f"{state_dir}: another publisher, or `model activate`, has the models in hand; stop it")
        time.sleep(0.01)
    return file


def _write(file: ChoicesFile, choices: Choices, state_dir: Path, event: ModelEvent) -> str | None:
    """In the thread: make a choice durable; gives what went wrong."""
    try:
        file.write(choices)
    except ApplianceError as error:
        return str(error)
    _audit(state_dir, event)
    return None


def _audit(state_dir: Path, event: ModelEvent) -> None:
    """In the thread: write down who changed what."""
    entry = AuditEntry(
        at=rfc3339(time.time_ns()),
        by=event.by,
        what=event.word,
        recipe=event.recipe,
        old=vars(event.old),
        new=vars(event.new) if event.new is not None else None,
        detail=event.detail or None,
    )
    try:
        append_audit(state_dir, entry)
    except ApplianceError as error:
        log.error("not in the audit log: %s", error)  # noqa: TRY400 (a full disk, not a bug)
