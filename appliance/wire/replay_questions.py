"""Replay for those who may not wait: a question is sent, its answer is fetched when it has come.

`appliance.wire.replay_client` asks and waits; this is the same conversation for a loop that watches other sockets too.
"""

import zmq

from appliance.wire.client_keys import ClientKeys
from appliance.wire.replay import Answer
from appliance.wire.replay_client import decode_answer
from appliance.wire.sockets import ClientSocket

_MAX_FRAME_BYTES = 16 * 1024 * 1024


class ReplayQuestions:
    """Asks the recorder, one question at a time. One thread.

    Raises:
        PublishError: Not a ZeroMQ endpoint.
    """

    def __init__(self, endpoint: str, keys: ClientKeys | None = None) -> None:
        self._endpoint = endpoint
        self._keys = keys
        self._client = self._connect()

    def fileno(self) -> int:
        """Descriptor that ends a sleep; another one after `forget`. Then `answer` until None."""
        return self._client.fileno()

    def get(self, epoch: str, first_seq: int, last_seq: int) -> None:
        """Ask for rows, both ends included."""
        self._send(b"GET", epoch.encode(), b"%d" % first_seq, b"%d" % last_seq)

    def acknowledge(self, consumer: str, epoch: str, seq: int) -> None:
        """Say that the consumer has everything up to `seq` in its own durable store."""
        self._send(b"ACK", consumer.encode(), epoch.encode(), b"%d" % seq)

    def head(self) -> None:
        """Ask for the journal's epoch and ends."""
        self._send(b"HEAD")

    def answer(self) -> Answer | None:
        """Take the answer if it has come.

        Raises:
            PublishError: Not an answer of this protocol.
        """
        frames = self._client.receive(0)
        return None if frames is None else decode_answer(frames)

    def forget(self) -> None:
        """Give the question up: its answer, should it still come, is never taken for the next one's."""
        self._client.close()
        self._client = self._connect()

    def close(self) -> None:
        """Hang up."""
        self._client.close()

    def _connect(self) -> ClientSocket:
        return ClientSocket(zmq.DEALER, self._endpoint, keys=self._keys, max_frame_bytes=_MAX_FRAME_BYTES)

    def _send(self, *frames: bytes) -> None:
        self._client.send(*frames)  # a server that refuses our handshake is one that doesn't answer: `forget` then
