"""A process on the other end of the publisher's socket."""

import json
import socket
from dataclasses import dataclass, field
from typing import Any

from appliance.delivery.assembly import PartPlan
from appliance.delivery.recipes import RecipeShelf
from appliance.messages.plan import JudgingPlan, PlanReport, PlanState, decode_plans, decode_report


@dataclass
class Peer:
    """A grabber, an inspector or a recorder; its role is None until it has introduced itself.

    Attributes:
        recipe_sha256: Of an inspector: what its findings mean that name no recipe.
        told: Plans that an inspector was asked to judge by; None: nothing that we know of.
        reports: What it says of them.
    """

    socket: socket.socket
    role: str | None = None
    camera: str = ""
    recipe_sha256: str = ""
    told: list[JudgingPlan] | None = None
    reports: list[PlanReport] = field(default_factory=list)

    def introduce_inspector(self, hello: dict[str, Any], shelf: RecipeShelf) -> None:
        """Take what an inspector says of itself.

        Raises:
            ValueError: It has read other recipes than we have.
        """
        for recipe in hello["recipes"]:
            ours = shelf.plans.get(recipe["name"])
            if ours is None or ours.sha256 != recipe["sha256"]:
                raise ValueError("the inspector's recipe differs from ours: the file was changed; restart both")
        if not hello["recipes"]:
            raise ValueError("an inspector that has read no recipe")
        self.recipe_sha256 = hello["recipes"][0]["sha256"]
        content = json.dumps(hello).encode()
        self.reports = decode_report(content)
        self.told = decode_plans(content)

    def is_ready_for(self, plan: PartPlan) -> bool:
        """Whether an inspector has what it needs to judge by a plan."""
        wanted = plan.sha256, plan.model
        return any(report.state is PlanState.READY and report.key == wanted for report in self.reports)
