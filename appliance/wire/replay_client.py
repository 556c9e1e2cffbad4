"""The client's end of replay: asks for journalled rows, acknowledges them."""

from collections.abc import Sequence

from appliance.errors import PublishError
from appliance.wire.client_keys import ClientKeys
from appliance.wire.replay import Acked, Answer, BadEpoch, Gone, JournalHead, Refused, Rows
from appliance.wire.requests import RequestClient

_MAX_FRAME_BYTES = 16 * 1024 * 1024


class ReplayClient(RequestClient):
    """Asks the recorder.

    Each question raises PeerSilent when no answer comes in time, PublishError when it is refused.
    """

    def __init__(self, endpoint: str, keys: ClientKeys | None = None) -> None:
        super().__init__(endpoint, keys, max_frame_bytes=_MAX_FRAME_BYTES)

    def get(self, epoch: str, first_seq: int, last_seq: int, timeout_s: float = 2.0) -> Rows | Gone | BadEpoch:
        """Fetch rows; fewer than asked for may come: ask on from the last one. No rows: the range is empty."""
        answer = self._ask((b"GET", epoch.encode(), b"%d" % first_seq, b"%d" % last_seq), timeout_s)
        if isinstance(answer, Rows | Gone | BadEpoch):
            return answer
        raise _unexpected(self._endpoint, "GET", answer)

    def acknowledge(self, consumer: str, epoch: str, seq: int, timeout_s: float = 2.0) -> Acked | BadEpoch:
        """Say that the consumer has everything up to `seq` in its own durable store."""
        answer = self._ask((b"ACK", consumer.encode(), epoch.encode(), b"%d" % seq), timeout_s)
        if isinstance(answer, Acked | BadEpoch):
            return answer
        raise _unexpected(self._endpoint, "ACK", answer)

    def head(self, timeout_s: float = 2.0) -> JournalHead:
        """Ask for the journal's epoch and ends."""
        answer = self._ask((b"HEAD",), timeout_s)
        if isinstance(answer, JournalHead):
            return answer
        raise _unexpected(self._endpoint, "HEAD", answer)

    def _ask(self, request: Sequence[bytes], timeout_s: float) -> Answer:
        return decode_answer(self.exchange(request, timeout_s))


def decode_answer(frames: Sequence[bytes]) -> Answer:
    """Read an answer.

    Raises:
        PublishError: Not an answer of this protocol.
    """
    try:
        match frames:
            case [b"ROWS", epoch, head, *rows]:
                pairs = [(int(seq), body) for seq, body in zip(rows[::2], rows[1::2], strict=True)]
                return Rows(epoch.decode(), int(head), pairs)
            case [b"GONE", oldest]:
                return Gone(int(oldest))
            case [b"BADEPOCH", epoch]:
                return BadEpoch(epoch.decode())
            case [b"ACKED", consumer, seq]:
                return Acked(consumer.decode(), int(seq))
            case [b"HEAD", epoch, oldest, head]:
                return JournalHead(epoch.decode(), int(oldest), int(head))
            case [b"ERROR", text]:
                return Refused(text.decode())
    except ValueError as error:
        raise PublishError(f"replay answer {frames[0]!r} is damaged: {error}") from error
    raise PublishError(f"replay answer {frames[0][:20]!r} with {len(frames)} frames is unknown: another version?")


def _unexpected(endpoint: str, request: str, answer: Answer) -> PublishError:
    said = answer.text if isinstance(answer, Refused) else f"answered with {type(answer).__name__}"
    return PublishError(f"{endpoint}: {request} refused: {said}")
