"""Requests to the appliance: which part passes when, which recipe, how many triggers, and how the line is."""

import itertools
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

from appliance.messages.binding import Binding, EncoderPosition, TriggerNumber
from appliance.messages.control import (
    ControlRequest,
    ControlStatus,
    LineCount,
    LineRelease,
    LineResync,
    LineStateQuery,
    PartSet,
    RecipeSelect,
    ResultAck,
)
from appliance.wire import control_lane
from appliance.wire.client_keys import ClientKeys

TIMEOUT_S = 5.0
"""A recipe switch is answered when the inspector has loaded the recipe: within two seconds."""


def at_count(controller_count: int) -> Binding:
    """Name a trigger by the controller's own count."""
    return Binding(controller_count=controller_count)


def at_encoder(camera: str, count: int, tolerance: int = 0) -> Binding:
    """Name a trigger by the counter latched with its frame."""
    return Binding(encoder=EncoderPosition(camera=camera, count=count, tolerance=tolerance))


def at_trigger(camera: str, trigger_id: int) -> Binding:
    """Name a trigger by the id that its verdict carries."""
    return Binding(trigger=TriggerNumber(camera=camera, trigger_id=trigger_id))


@dataclass(frozen=True)
class ControlReply:
    """An answer.

    Attributes:
        message: For people.
        content: The whole answer.
    """

    status: ControlStatus
    message: str
    content: dict[str, Any]

    @property
    def holds(self) -> bool:
        """Whether what was asked for is so now."""
        return self.status in {ControlStatus.OK, ControlStatus.DUPLICATE}


class ControlClient:
    """Asks and waits. One thread. Every method raises PeerSilent when no answer comes in time; asking again is safe.

    Raises:
        PublishError: Not a ZeroMQ endpoint.
    """

    def __init__(self, endpoint: str, keys: ClientKeys | None = None, timeout_s: float = TIMEOUT_S) -> None:
        self._lane = control_lane.ControlClient(endpoint, keys)
        self._timeout_s = timeout_s
        self._numbers = itertools.count(1)

    def part_set(
        self,
        bind: Binding,
        part_id: str,
        *,
        job_id: str | None = None,
        lot: str | None = None,
        lane: str | None = None,
        recipe: str | None = None,
    ) -> ControlReply:
        """Announce which part passes at a trigger; `recipe` is a check, not a selection."""
        names = {"job_id": job_id, "lot": lot, "lane": lane, "recipe": recipe}
        return self.ask(PartSet(request="part.set", bind=bind, part_id=part_id, **names))

    def recipe_select(self, recipe: str, start: Binding) -> ControlReply:
        """Use another recipe from a named trigger on."""
        fields = {"request": "recipe.select", "recipe": recipe, "from": start}
        return self.ask(RecipeSelect.model_validate(fields))

    def line_count(self, controller_count: int) -> ControlReply:
        """Tell the controller's trigger count, to be compared with the appliance's."""
        return self.ask(LineCount(request="line.count", controller_count=controller_count))

    def line_resync(self, controller_count: int, bind: Binding | None = None) -> ControlReply:
        """Declare a trigger, by default the last one of a line that stands still, to be the controller's N-th."""
        return self.ask(LineResync(request="line.resync", controller_count=controller_count, bind=bind))

    def line_release(self) -> ControlReply:
        """Take a stop request back."""
        return self.ask(LineRelease(request="line.release"))

    def result_ack(self, verdict_seq: int | None = None) -> ControlReply:
        """Say that a verdict has been taken, by default the last one."""
        return self.ask(ResultAck(request="result.ack", verdict_seq=verdict_seq))

    def state(self) -> ControlReply:
        """Ask how the line is: `content["state"]`."""
        return self.ask(LineStateQuery(request="line.state"))

    def ask(self, request: ControlRequest) -> ControlReply:
        """Send any request."""
        body = request.model_dump(mode="json", by_alias=True, exclude_none=True) | {"id": next(self._numbers)}
        answer = self._lane.ask(body, self._timeout_s)
        return ControlReply(ControlStatus(answer["status"]), answer["message"], answer)

    def close(self) -> None:
        """Hang up."""
        self._lane.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
