"""What publisher and inspector say to each other of recipes and models: what is wanted, and how far it is."""

import contextlib
import time

from appliance import seqpacket
from appliance.delivery.control_desk import ControlDesk
from appliance.delivery.line_rules import LineRules
from appliance.delivery.model_desk import ModelDesk
from appliance.delivery.peer import Peer
from appliance.messages.plan import JudgingPlan, encode_plans


class PlanTalk:
    """Single-threaded, in the publisher's loop."""

    def __init__(self, rules: LineRules, desk: ControlDesk, models: ModelDesk) -> None:
        self._rules = rules
        self._desk = desk
        self._models = models

    def step(self, inspector: Peer | None, now_ns: int) -> None:
        """Let the inspector judge by all that may matter, and let those know who wait for it."""
        reports = inspector.reports if inspector is not None else None
        self._models.step(reports, now_ns)
        if inspector is not None:
            self._models.move_missed(time.monotonic_ns())
            self._tell(inspector, self._wanted(now_ns))
        if self._desk.wanted_recipes:
            by_key = {report.key: report for report in reports or ()}
            plans = map(self._rules.recipes.newest, self._rules.recipes.shelf.plans)
            found = {plan.name: by_key.get((plan.sha256, plan.model)) for plan in plans if plan.model is not None}
            self._desk.loaded({name: report for name, report in found.items() if report is not None}, now_ns)

    def _wanted(self, now_ns: int) -> list[JudgingPlan]:
        """Plans to judge by, then those to hold ready; each once."""
        wanted = {plan.key: plan for plan in self._rules.judging(now_ns)}
        for plan in (*self._models.held_ready(), *map(self._models.held_for, self._desk.wanted_recipes)):
            wanted.setdefault(plan.key, plan)
        return list(wanted.values())

    def _tell(self, inspector: Peer, wanted: list[JudgingPlan]) -> None:
        """Tell what has changed; changes of models that it has now heard of are final."""
        if wanted != inspector.told:
            with contextlib.suppress(ConnectionError):  # its end is read in the next step
                inspector.told = wanted if seqpacket.send(inspector.socket, encode_plans(wanted)) else None
        if inspector.told is not None:
            self._models.has_told(self._rules.recipes.models.untold())
