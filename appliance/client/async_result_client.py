"""Results of an appliance, each one once and in order, for a program that runs in asyncio."""

import asyncio
from collections.abc import AsyncIterator
from types import TracebackType
from typing import Self

from appliance.client.items import Cursor, StreamItem
from appliance.client.result_client import CLOSE_S, PRODUCTION_TOPICS
from appliance.client.result_feed import ResultFeed
from appliance.client.waiting import readable
from appliance.wire.client_keys import ClientKeys


class AsyncResultClient:
    """`ResultClient` for asyncio: same arguments, same promises. One task at a time."""

    def __init__(
        self,
        endpoint: str,
        replay_endpoint: str,
        consumer: str,
        cursor: Cursor | None = None,
        *,
        topics: tuple[str, ...] = PRODUCTION_TOPICS,
        keys: ClientKeys | None = None,
    ) -> None:
        self._feed = ResultFeed(endpoint, replay_endpoint, consumer, cursor, topics=topics, keys=keys)

    @property
    def is_connected(self) -> bool:
        """Whether the recorder is there: False from 1.5 s after its last sign of life on."""
        return self._feed.is_connected

    @property
    def acknowledged(self) -> Cursor | None:
        """The newest acknowledgement that the appliance has confirmed in this client's life."""
        return self._feed.stream.acknowledged

    @property
    def refusal(self) -> str | None:
        """Why the appliance refuses this consumer's acknowledgements; None: it doesn't."""
        return self._feed.stream.refusal

    async def receive(self, timeout_s: float | None = None) -> StreamItem | None:
        """Wait for the next item; None after the time-out. Cancelling it loses nothing.

        Raises:
            PublishError: As `ResultClient.receive`.
        """
        loop = asyncio.get_running_loop()
        end = None if timeout_s is None else loop.time() + timeout_s
        while (item := self._feed.next_item()) is None:
            if self._feed.advance():
                await asyncio.sleep(0)  # others have their turn, however much there is to read
                continue
            left = self._feed.sleep_s() if end is None else min(self._feed.sleep_s(), end - loop.time())
            if left <= 0:
                return None
            await readable(self._feed.descriptors(), left)
        return item

    async def __aiter__(self) -> AsyncIterator[StreamItem]:
        while (item := await self.receive()) is not None:
            yield item

    def ack(self, item: StreamItem | Cursor) -> None:
        """Acknowledge as `ResultClient.ack` does; doesn't wait."""
        self._feed.acknowledge(item if isinstance(item, Cursor) else item.cursor)

    async def close(self) -> None:
        """Hang up; an acknowledgement under way gets a second."""
        try:
            async with asyncio.timeout(CLOSE_S):
                while self._feed.stream.is_acknowledging:
                    if not self._feed.converse():
                        await readable(self._feed.descriptors(), self._feed.sleep_s())
        except TimeoutError:
            pass  # it stays unacknowledged: the next client's acknowledgement covers it
        finally:
            self._feed.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()
