"""Sends the PLC's commands to the publisher, one after another, without making the event loop wait for an answer."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from appliance.errors import PeerSilent
from appliance.gateway.commands import Command, Commands
from appliance.wire.client_keys import ClientKeys
from appliance.wire.control_lane import ControlClient

ANSWER_TIMEOUT_S = 1.0


class Questioner:
    """Has a thread that asks; everything else happens in the event loop's.

    Args:
        wake: Called in the loop when `step` has something to do.
    """

    def __init__(self, endpoint: str, keys: ClientKeys | None, commands: Commands, wake: Callable[[], None]) -> None:
        self._commands = commands
        self._wake = wake
        self._pool = ThreadPoolExecutor(max_workers=1, thread_name_prefix="modbus-control")
        self._client = self._pool.submit(ControlClient, endpoint, keys).result()
        self._asked: tuple[Command, asyncio.Future[dict[str, Any] | None]] | None = None

    def step(self) -> None:
        """Take the answer that has come, ask the next question."""
        if self._asked is not None and self._asked[1].done():
            command, answer = self._asked
            self._asked = None
            self._commands.answer(command, answer.result())
        if self._asked is None and (following := self._commands.take()) is not None:
            asking = asyncio.get_running_loop().run_in_executor(self._pool, self._ask, following.request)
            asking.add_done_callback(lambda _: self._wake())
            self._asked = following, asking

    def close(self) -> None:
        """Wait for the question that is asked, hang up."""
        self._pool.submit(self._client.close)
        self._pool.shutdown(wait=True)

    def _ask(self, request: dict[str, Any]) -> dict[str, Any] | None:
        try:
            return self._client.ask(request, ANSWER_TIMEOUT_S)
        except PeerSilent:
            return None
