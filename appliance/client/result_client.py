"""Results of an appliance, each one once and in order, for a program that waits in a thread."""

import time
from collections.abc import Iterator
from types import TracebackType
from typing import Self

from appliance.client.items import Cursor, StreamItem
from appliance.client.result_feed import ResultFeed
from appliance.client.waiting import wait_readable
from appliance.wire.client_keys import ClientKeys

PRODUCTION_TOPICS = ("result.",)
"""Results of simulated runs come on `sim.result.` and are asked for on purpose only."""
CLOSE_S = 1.0


class ResultClient:
    """Follows the journal from a cursor on; hides reconnects, gaps, doubles and replay. One thread.

        for item in client:
            with database:  # one transaction: what the item says, and its cursor
                ...
            client.ack(item)

    Args:
        endpoint: Of the result lane.
        replay_endpoint: Of replay and acknowledgements.
        consumer: Who acknowledges; with keys it must be the key's name.
        cursor: Of the last item dealt with; None to begin at the oldest result kept.
        topics: Prefixes of the topics wanted; other results of the same journal are skipped.
        keys: For an appliance that isn't on this machine: the file that `appliance keys add` wrote.

    Raises:
        PublishError: Not ZeroMQ endpoints.
    """

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
        """Why the appliance refuses this consumer's acknowledgements; they are repeated meanwhile. None: it doesn't."""
        return self._feed.stream.refusal

    def receive(self, timeout_s: float | None = None) -> StreamItem | None:
        """Wait for the next item: a result, or what became of results that won't come. None after the time-out.

        Raises:
            PublishError: The appliance goes on refusing to give results, or its journal was set back to an older copy.
        """
        end = None if timeout_s is None else time.monotonic() + timeout_s
        while (item := self._feed.next_item()) is None:
            if self._feed.advance():
                continue
            left = self._feed.sleep_s() if end is None else min(self._feed.sleep_s(), end - time.monotonic())
            if left <= 0:
                return None
            wait_readable(self._feed.descriptors(), left)
        return item

    def __iter__(self) -> Iterator[StreamItem]:
        while (item := self.receive()) is not None:
            yield item

    def ack(self, item: StreamItem | Cursor) -> None:
        """Acknowledge an item, and with it all before it: after your own commit. Doesn't wait; repeated until noted.

        Raises:
            PublishError: As `receive`.
        """
        self._feed.acknowledge(item if isinstance(item, Cursor) else item.cursor)

    def close(self) -> None:
        """Hang up; an acknowledgement under way gets a second."""
        try:
            end = time.monotonic() + CLOSE_S
            while self._feed.stream.is_acknowledging and (left := end - time.monotonic()) > 0:
                if not self._feed.converse():
                    wait_readable(self._feed.descriptors(), min(left, self._feed.sleep_s()))
        finally:
            self._feed.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
