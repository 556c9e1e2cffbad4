"""The C interface of a GenTL producer, by ctypes: prototypes, numbers, and one exception for every error code.

harvesters loads the same `.cti`; the loader gives both the same library, so handles can be shared. Calls through
ctypes release the GIL, which nothing in the `genicam` package does.

Source: EMVA, GenICam GenTL Standard 1.6, chapter 6.
"""

import ctypes
from ctypes import POINTER, byref, c_char_p, c_int32, c_size_t, c_uint64, c_void_p
from enum import IntEnum
from pathlib import Path

from appliance.errors import SourceError, SourceLost

INFINITE = 0xFFFFFFFFFFFFFFFF
_CODE = c_int32
_SIZE_P = POINTER(c_size_t)
_TYPE_P = POINTER(c_int32)


class Code(IntEnum):
    """Error codes that are answered in a particular way; any other is an error like ERROR."""

    SUCCESS = 0
    ERROR = -1001
    NOT_IMPLEMENTED = -1003
    RESOURCE_IN_USE = -1004
    INVALID_HANDLE = -1006
    NO_DATA = -1008
    INVALID_PARAMETER = -1009
    IO = -1010
    TIMEOUT = -1011
    ABORT = -1012
    NOT_AVAILABLE = -1014
    OUT_OF_MEMORY = -1021


class BufferInfo(IntEnum):
    """BUFFER_INFO_CMD."""

    BASE = 0
    TIMESTAMP = 3
    IS_INCOMPLETE = 7
    SIZE_FILLED = 9
    WIDTH = 10
    HEIGHT = 11
    FRAME_ID = 16
    IMAGE_OFFSET = 18
    TIMESTAMP_NS = 28


class StreamInfo(IntEnum):
    """STREAM_INFO_CMD."""

    NUM_UNDERRUN = 2
    BUF_ANNOUNCE_MIN = 12
    BUF_ALIGNMENT = 13


class StopFlag(IntEnum):
    """ACQ_STOP_FLAGS: let the current buffer finish, or not."""

    DEFAULT = 0
    KILL = 1


QUEUE_ALL_DISCARD = 4
START_DEFAULT = 0


class NewBuffer(ctypes.Structure):
    """EVENT_NEW_BUFFER_DATA."""

    _pack_ = 1
    _fields_ = (("buffer", c_void_p), ("user", c_void_p))


class ChunkPlace(ctypes.Structure):
    """SINGLE_CHUNK_DATA: where one chunk lies in a buffer."""

    _pack_ = 1
    _fields_ = (("id", c_uint64), ("offset", ctypes.c_ssize_t), ("length", c_size_t))


class GentlError(SourceLost):
    """A producer's function failed; `code` is a GC_ERROR."""

    def __init__(self, function: str, code: int, where: str, text: str) -> None:
        name = Code(code).name if code in Code._value2member_map_ else "error"
        super().__init__(f"{where}: {function} answered {code} ({name}){': ' + text if text else ''}")
        self.code = code


_PROTOTYPES: dict[str, list[type]] = {
    "GCGetLastError": [POINTER(_CODE), c_char_p, _SIZE_P],
    "DSAnnounceBuffer": [c_void_p, c_void_p, c_size_t, c_void_p, POINTER(c_void_p)],
    "DSAllocAndAnnounceBuffer": [c_void_p, c_size_t, c_void_p, POINTER(c_void_p)],
    "DSRevokeBuffer": [c_void_p, c_void_p, POINTER(c_void_p), POINTER(c_void_p)],
    "DSQueueBuffer": [c_void_p, c_void_p],
    "DSFlushQueue": [c_void_p, c_int32],
    "DSStartAcquisition": [c_void_p, c_int32, c_uint64],
    "DSStopAcquisition": [c_void_p, c_int32],
    "DSGetInfo": [c_void_p, c_int32, _TYPE_P, c_void_p, _SIZE_P],
    "DSGetBufferInfo": [c_void_p, c_void_p, c_int32, _TYPE_P, c_void_p, _SIZE_P],
    "DSGetBufferChunkData": [c_void_p, c_void_p, POINTER(ChunkPlace), _SIZE_P],
    "EventGetData": [c_void_p, c_void_p, _SIZE_P, c_uint64],
    "EventFlush": [c_void_p],
    "EventKill": [c_void_p],
}


class Producer:
    """A loaded `.cti`. Its functions are called by name; each one that fails raises.

    Args:
        path: The file harvesters loaded.
        where: Camera, for messages.
    """

    def __init__(self, path: Path, where: str) -> None:
        self._where = where
        try:
            library = ctypes.CDLL(str(path))
        except OSError as error:
            raise SourceError(f"{path}: not a GenTL producer that loads here: {error}") from error
        self._functions = {}
        for name, argument_types in _PROTOTYPES.items():
            function = getattr(library, name, None)
            if function is not None:
                function.argtypes, function.restype = argument_types, _CODE
                self._functions[name] = function

    def has(self, function: str) -> bool:
        """Tell whether the producer exports a function; older ones lack some."""
        return function in self._functions

    def try_call(self, function: str, *arguments: object) -> int:
        """Call and give the error code; NOT_IMPLEMENTED for a function that isn't exported."""
        call = self._functions.get(function)
        return int(call(*arguments)) if call is not None else Code.NOT_IMPLEMENTED

    def call(self, function: str, *arguments: object) -> None:
        """Call.

        Raises:
            GentlError: Any code but SUCCESS.
        """
        code = self.try_call(function, *arguments)
        if code != Code.SUCCESS:
            raise GentlError(function, code, self._where, self._last_error())

    def number(self, function: str, *arguments: object) -> int | None:
        """Ask an info function for an unsigned number of any width; None where the producer has no answer."""
        value, size, kind = c_uint64(0), c_size_t(8), c_int32(0)
        code = self.try_call(function, *arguments, byref(kind), byref(value), byref(size))
        return value.value if code == Code.SUCCESS else None

    def _last_error(self) -> str:
        code, text, size = _CODE(0), ctypes.create_string_buffer(256), c_size_t(256)
        if self.try_call("GCGetLastError", byref(code), text, byref(size)) != Code.SUCCESS:
            return ""
        return text.value.decode(errors="replace")
