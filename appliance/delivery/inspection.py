"""An inspection: one part, all its views, one verdict."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from appliance.delivery.assembly import PartPlan
from appliance.delivery.parts import Announcement
from appliance.messages import Finding, ModelIdentity, Part, Reason, Trigger, VerdictWord, View

Answer = tuple[VerdictWord, Reason]
NOBODY = Part()


@dataclass(frozen=True)
class Ending:
    """What an inspection ended with; `is_sent`: its one message was handed to the wire, or was about to be."""

    verdict_seq: int
    verdict: VerdictWord
    reason: Reason
    is_sent: bool


@dataclass(eq=False)
class Inspection:
    """A part on its way to a verdict. Times are CLOCK_MONOTONIC.

    Attributes:
        inspection_id: Monotone within a ledger epoch.
        plan: Of the recipe and the model that were in use at the part's first trigger.
        part_ns: The part's time: an exposure less its offset.
        views: In order of the recipe; the default recipe has one. Missing ones aren't in it.
        taken: Exposures of the plan that have a trigger.
        orphans: Trigger ids whose grabber died while they were open.
        announcement: Which part this is, where somebody said so.
        is_given_up: Views were still missing when the part had to be complete.
        ending: None while open.
    """

    inspection_id: int
    plan: PartPlan
    part_ns: int
    views: list[View] = field(default_factory=list)
    taken: set[int] = field(default_factory=set)
    orphans: set[tuple[str, int]] = field(default_factory=set)
    announcement: Announcement | None = None
    is_given_up: bool = False
    ending: Ending | None = None
    _judged_otherwise: set[tuple[str, int]] = field(default_factory=set)

    @property
    def deadline_ns(self) -> int:
        """After it nothing may be sent."""
        return self.part_ns + self.plan.deadline_ns

    @property
    def speak_at_ns(self) -> int:
        """When a verdict must be given to ZeroMQ, findings or not."""
        return self.deadline_ns - self.plan.speak_before_ns

    def latest_send_ns(self, verdict: VerdictWord) -> int:
        """From when on silence is safer: an OK must not come late, and what comes late helps nobody.

        A reject may use half the margin; the other half is for its way to the receiver.
        """
        if verdict is VerdictWord.OK:
            return self.speak_at_ns
        return self.deadline_ns - self.plan.speak_before_ns // 2

    @property
    def complete_at_ns(self) -> int:
        """When views that haven't been exposed by then are missing for good."""
        return self.part_ns + self.plan.complete_ns if len(self.plan.exposures) > 1 else self.speak_at_ns

    @property
    def part(self) -> Part:
        """Who it is; nobody where it was not announced."""
        return self.announcement.part if self.announcement is not None else NOBODY

    @property
    def missing_views(self) -> list[str]:
        """Views whose exposure has no trigger."""
        exposures = enumerate(self.plan.exposures) if self.taken else ()
        return [name for number, exposure in exposures if number not in self.taken for name in exposure.views]

    def add(self, camera: str, trigger: Trigger, exposure: int | None) -> None:
        """Take a trigger's views; `exposure` is its number in the plan, None outside any plan."""
        self.views += [View(camera, trigger, name=name) for name in self.plan.views_of(exposure)]
        if exposure is not None:
            self.taken.add(exposure)
            order = [name for one in self.plan.exposures for name in one.views]
            self.views.sort(key=lambda view: order.index(view.name))

    def triggers(self) -> list[tuple[str, Trigger, int | None]]:
        """Camera, trigger and number of the exposure, once each; several views may share one."""
        numbers = {name: number for number, one in enumerate(self.plan.exposures) for name in one.views}
        found = {
            (view.camera, view.trigger.trigger_id): (view.camera, view.trigger, numbers.get(view.name))
            for view in self.views
        }
        return list(found.values())

    def amend(self, camera: str, trigger: Trigger) -> None:
        """Take a trigger's new announcement."""
        self._replace(
            lambda view: (view.camera, view.trigger.trigger_id) == (camera, trigger.trigger_id),
            lambda view: replace(view, trigger=trigger),
        )

    def answer(self, finding: Finding) -> None:
        """Take a finding for one view; one that was made by another recipe or model is no answer."""
        if finding.recipe_sha256 != self.plan.sha256 or not self._asks(finding.model):
            self._judged_otherwise.add((finding.camera, finding.trigger_id))
            return
        self._replace(
            lambda view: (
                (view.camera, view.trigger.trigger_id, view.name) == (finding.camera, finding.trigger_id, finding.view)
            ),
            lambda view: replace(view, finding=finding),
        )

    def _asks(self, model: ModelIdentity | None) -> bool:
        wanted = self.plan.model
        return model is None or wanted is None or model.is_asked_by(wanted)

    @property
    def model(self) -> ModelIdentity | None:
        """Whose findings these are; None where nothing was found."""
        return next((view.finding.model for view in self.views if view.finding is not None), None)

    def _replace(self, concerns: Callable[[View], bool], change: Callable[[View], View]) -> None:
        self.views = [change(view) if concerns(view) else view for view in self.views]

    @property
    def is_complete(self) -> bool:
        """Whether every view has an answer: a finding, or an announcement that says why there can be none."""
        if not self.is_given_up and self.missing_views:
            return False
        return all(view.finding is not None or view.trigger.reason for view in self.views)

    def verdict(self, silent_because: Reason) -> Answer:
        """Combine the views' answers; `silent_because` is the reason of a view that has none."""
        if self.announcement is not None and self.announcement.recipe not in {None, self.plan.name}:
            return VerdictWord.UNKNOWN, Reason.NOT_READY
        missing = [(VerdictWord.UNKNOWN, Reason.VIEW_MISSING)] if self.missing_views or self.is_given_up else []
        return combine(missing + [self._answer_of(view, silent_because) for view in self.views])

    def _answer_of(self, view: View, silent_because: Reason) -> Answer:
        if view.finding is not None:
            return view.finding.verdict, view.finding.reason
        if view.trigger.reason:
            return VerdictWord.UNKNOWN, view.trigger.reason
        trigger = (view.camera, view.trigger.trigger_id)
        if trigger in self._judged_otherwise:
            return VerdictWord.UNKNOWN, Reason.NOT_READY
        return VerdictWord.UNKNOWN, Reason.GRABBER_DOWN if trigger in self.orphans else silent_because


def combine(answers: Sequence[Answer]) -> Answer:
    """Combine views into a part's verdict: any NG is NG; else any UNKNOWN, or no view at all, is UNKNOWN; else OK."""
    if any(verdict is VerdictWord.NG for verdict, _ in answers):
        return VerdictWord.NG, Reason.NONE
    for verdict, reason in answers:
        if verdict is VerdictWord.UNKNOWN:
            return verdict, reason
    if not answers:
        return VerdictWord.UNKNOWN, Reason.PART_NOT_FOUND
    return VerdictWord.OK, Reason.NONE
