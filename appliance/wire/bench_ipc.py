"""The ring's rival in `bench ring`: the same frame through a ZeroMQ ipc socket. Nothing else uses it."""

from pathlib import Path

import zmq
from zmq.utils.garbage import gc


class IpcFrames:
    """One end of a PUSH/PULL pair over a Unix socket; frames go without a copy on ZeroMQ's Python side.

    Args:
        path: Socket file; the sender binds it.
        is_sender: Which end this is.
    """

    def __init__(self, path: Path, *, is_sender: bool) -> None:
        self._context = zmq.Context()
        self._socket = self._context.socket(zmq.PUSH if is_sender else zmq.PULL)
        self._socket.linger = 0
        self._socket.set_hwm(2)
        if is_sender:
            self._socket.bind(f"ipc://{path}")
        else:
            self._socket.connect(f"ipc://{path}")

    def send(self, frame: memoryview) -> None:
        """Queue one frame; its memory must stay as it is until the other end has it."""
        self._socket.send(frame, copy=False)

    def receive(self) -> memoryview:
        """Wait for one frame."""
        return memoryview(self._socket.recv(copy=False).buffer)

    def close(self) -> None:
        """Close the socket, throwing away what is queued."""
        self._socket.close()
        self._context.term()
        gc.stop()  # pyzmq's thread behind copy=False
