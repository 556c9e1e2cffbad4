"""Verdicts at once, for line controllers and gateways. Nothing is repeated: what doesn't come in time means reject."""

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from types import TracebackType
from typing import Self

from appliance.client.verdict import LaneMessage, Verdict, decode_lane_message
from appliance.client.waiting import readable
from appliance.wire.client_keys import ClientKeys
from appliance.wire.verdict_lane import VerdictSubscriber

PRODUCTION_VERDICTS = ("verdict.",)
"""Verdicts of simulated runs come on `sim.verdict.` and are asked for on purpose only."""


class VerdictClient:
    """Follows the verdict lane; discards what arrives behind its deadline. One thread.

    A receiver's rule: reject the part unless an OK for it comes in time, and stop the line while `is_connected` is
    False. Deadlines are wall time: on another machine than the appliance its clock must agree with the appliance's.

    Args:
        topics: Prefixes; with `line.` among them the line's states come too.
        keys: For an appliance that isn't on this machine.

    Raises:
        PublishError: Not a ZeroMQ endpoint.
    """

    def __init__(
        self, endpoint: str, topics: tuple[str, ...] = PRODUCTION_VERDICTS, keys: ClientKeys | None = None
    ) -> None:
        self._lane = VerdictSubscriber(endpoint, topics, keys)
        self.discarded = 0
        """Verdicts that came too late."""

    @property
    def is_connected(self) -> bool:
        """Whether the publisher answers: False from 1.5 s after its last sign of life on."""
        return self._lane.is_connected

    def receive(self, timeout_s: float) -> LaneMessage | None:
        """Wait for the next message; None after the time-out.

        Raises:
            PublishError: A message is neither verdict nor line state.
        """
        end = time.monotonic() + timeout_s
        while True:
            received = self._lane.receive(max(end - time.monotonic(), 0.0))
            if received is None:
                return None
            if (message := self._fresh(*received)) is not None:
                return message

    def fileno(self) -> int:
        """Descriptor that ends a sleep; then `receive(0)` until None."""
        return self._lane.fileno()

    def _fresh(self, topic: str, body: bytes) -> LaneMessage | None:
        message = decode_lane_message(topic, body)
        if isinstance(message, Verdict) and message.is_stale:
            self.discarded += 1
            return None
        return message

    def __iter__(self) -> Iterator[LaneMessage]:
        while True:
            if (message := self.receive(1.0)) is not None:
                yield message

    def close(self) -> None:
        """Hang up."""
        self._lane.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class AsyncVerdictClient:
    """`VerdictClient` for asyncio: same arguments, same promises. One task at a time."""

    def __init__(
        self, endpoint: str, topics: tuple[str, ...] = PRODUCTION_VERDICTS, keys: ClientKeys | None = None
    ) -> None:
        self._client = VerdictClient(endpoint, topics, keys)

    @property
    def is_connected(self) -> bool:
        """Whether the publisher answers: False from 1.5 s after its last sign of life on."""
        return self._client.is_connected

    @property
    def discarded(self) -> int:
        """Verdicts that came too late."""
        return self._client.discarded

    async def receive(self, timeout_s: float) -> LaneMessage | None:
        """Wait for the next message; None after the time-out."""
        loop = asyncio.get_running_loop()
        end = loop.time() + timeout_s
        while (message := self._client.receive(0.0)) is None and (left := end - loop.time()) > 0:
            await readable([self._client.fileno()], left)
        return message

    async def __aiter__(self) -> AsyncIterator[LaneMessage]:
        while True:
            if (message := await self.receive(1.0)) is not None:
                yield message

    def close(self) -> None:
        """Hang up."""
        self._client.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
