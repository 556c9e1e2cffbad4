"""An inspection: one part, all its views, one verdict."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from appliance.messages import Finding, Reason, Trigger, VerdictWord, View

Answer = tuple[VerdictWord, Reason]


@dataclass
class Inspection:
    """A part on its way to a verdict. Times are CLOCK_MONOTONIC.

    Attributes:
        inspection_id: Monotone within a ledger epoch.
        deadline_ns: After it nothing may be sent.
        speak_at_ns: When a verdict must be given to ZeroMQ, findings or not.
        views: One per trigger, in order of the recipe; the default recipe has one.
        orphans: Trigger ids whose grabber died while they were open.
    """

    inspection_id: int
    deadline_ns: int
    speak_at_ns: int
    views: list[View] = field(default_factory=list)
    orphans: set[tuple[str, int]] = field(default_factory=set)

    def amend(self, camera: str, trigger: Trigger) -> None:
        """Take a trigger's new announcement."""
        self._replace(camera, trigger.trigger_id, lambda view: replace(view, trigger=trigger))

    def answer(self, finding: Finding) -> None:
        """Take a finding for one view."""
        self._replace(finding.camera, finding.trigger_id, lambda view: replace(view, finding=finding))

    def _replace(self, camera: str, trigger_id: int, change: Callable[[View], View]) -> None:
        self.views = [
            change(view) if (view.camera, view.trigger.trigger_id) == (camera, trigger_id) else view
            for view in self.views
        ]

    @property
    def is_complete(self) -> bool:
        """Whether every view has an answer: a finding, or an announcement that says why there can be none."""
        return all(view.finding is not None or view.trigger.reason for view in self.views)

    def verdict(self, silent_because: Reason) -> Answer:
        """Combine the views' answers; `silent_because` is the reason of a view that has none."""
        return combine([self._answer_of(view, silent_because) for view in self.views])

    def _answer_of(self, view: View, silent_because: Reason) -> Answer:
        if view.finding is not None:
            return view.finding.verdict, view.finding.reason
        if view.trigger.reason:
            return VerdictWord.UNKNOWN, view.trigger.reason
        is_orphan = (view.camera, view.trigger.trigger_id) in self.orphans
        return VerdictWord.UNKNOWN, Reason.GRABBER_DOWN if is_orphan else silent_because


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
