"""The control lane: line controller and MES ask, the publisher answers. One JSON object each way, in one frame.

REQ and DEALER clients both work (a DEALER may put an empty frame before its object, as REQ does).
"""

import json
from collections.abc import Iterator
from typing import Any, NamedTuple

from appliance.wire.client_keys import ClientKeys, Role
from appliance.wire.keys import KeyStore
from appliance.wire.requests import Peer, RequestClient, RequestLane

MAX_MESSAGE_BYTES = 64 * 1024
_SNDHWM = 64
_BATCH = 64


class ControlRequest(NamedTuple):
    """One request; `client` is the asking key's name, empty on an endpoint without keys."""

    peer: Peer
    client: str
    body: dict[str, Any]


class ControlServer(RequestLane):
    """Binds the control lane."""

    def __init__(self, endpoint: str, keys: KeyStore | None = None) -> None:
        super().__init__(
            endpoint,
            role=Role.CONTROL,
            keys=keys,
            setting="delivery.control_endpoint",
            max_frame_bytes=MAX_MESSAGE_BYTES,
            sndhwm=_SNDHWM,
        )
        self.invalid = 0
        """Messages that were no JSON object."""

    def requests(self, limit: int = _BATCH) -> Iterator[ControlRequest]:
        """Yield waiting requests; what is no JSON object is answered with status "invalid" here."""
        for peer, frames in self.messages(limit):
            body = _decode(frames[0]) if len(frames) == 1 else "one frame with a JSON object expected"
            if isinstance(body, str):
                self.invalid += 1
                self.reply(peer, {"id": None, "status": "invalid", "message": body})
            else:
                yield ControlRequest(peer, peer.client, body)

    def reply(self, peer: Peer, answer: dict[str, Any]) -> bool:
        """Answer a request; False when its sender has gone or doesn't read (counted in `dropped`)."""
        return self.send_frames(peer, [json.dumps(answer, separators=(",", ":")).encode()])


class ControlClient(RequestClient):
    """Asks the publisher."""

    def __init__(self, endpoint: str, keys: ClientKeys | None = None) -> None:
        super().__init__(endpoint, keys, max_frame_bytes=MAX_MESSAGE_BYTES)

    def ask(self, request: dict[str, Any], timeout_s: float = 2.0) -> dict[str, Any]:
        """Send a request and wait for its answer.

        Raises:
            PeerSilent: No answer in time; the request may have been carried out or not.
        """
        frames = self.exchange([json.dumps(request, separators=(",", ":")).encode()], timeout_s)
        answer = _decode(frames[-1])
        if not isinstance(answer, dict):
            self.give_up(timeout_s)
        return answer


def _decode(message: bytes) -> dict[str, Any] | str:
    """Read a JSON object, or say what is wrong with it."""
    try:
        body = json.loads(message, parse_constant=_refuse_constant)
        json.dumps(body, ensure_ascii=False).encode()  # half a surrogate pair would blow up wherever it is stored
    except (ValueError, RecursionError) as error:
        return f"not JSON: {error}"
    return body if isinstance(body, dict) else f"a JSON object expected, got {type(body).__name__}"


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is no JSON number")
