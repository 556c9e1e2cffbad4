"""Weights that an exporter wrote beside the ONNX file (`model.onnx.data`): taken in, so that all else sees one file.

What the file names is read by us, never by a library: a plain name in the same folder, a regular file, no link.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

import onnx
from onnx import TensorProto

from appliance.errors import ImportRefused
from appliance.limited import run_limited
from appliance.modelling.importer.limits import limits_for
from appliance.modelling.importer.protos import tensors_in_attributes, tensors_of

MAX_BYTES = 2 << 30
"""What protobuf can hold, and so the network in the bundle."""
_MARK = b"location"
"""Key that every reference to a side file has."""
_MAX_FILES = 1000


@dataclass(frozen=True)
class ForeignFile:
    """What somebody brought.

    Attributes:
        onnx_bytes: The network with all its weights.
        names: Files it was read from; `cat` of them has `bytes_read`.
    """

    onnx_bytes: bytes
    names: tuple[str, ...]
    bytes_read: bytes


def read_foreign(file: Path) -> ForeignFile:
    """Read an ONNX file and the side files it names.

    Raises:
        ImportRefused: A file is missing, too large, a link, elsewhere, or shorter than the network says.
        ModelError: Parsing crashed the child, or took more memory or time than allowed.
    """
    content = read_regular(file)
    whole = ForeignFile(content, (file.name,), content)
    if _MARK not in content:
        return whole
    limits = limits_for(len(content))
    names = run_limited(names_job, {}, [content], where=file.name, limits=limits).answer["names"]
    if not names:
        return whole
    sides = [read_side(file, name) for name in names]
    limits = limits_for(len(content) + sum(map(len, sides)))
    ran = run_limited(join_job, {"names": names}, [content, *sides], where=file.name, limits=limits)
    return ForeignFile(ran.blobs[0], (file.name, *names), b"".join([content, *sides]))


def names_job(
    _request: dict[str, Any], blobs: list[memoryview], _tell: Callable[[dict[str, Any]], None]
) -> tuple[dict[str, Any], Sequence[bytes]]:
    """Child: names of the side files, in order; none where the bytes are no network: others tell that better."""
    try:
        model = onnx.load_model_from_string(bytes(blobs[0]))
    except Exception:  # protobuf's DecodeError, whose package has no types
        return {"names": []}, []
    return {"names": sorted({_reference(tensor)["location"] for tensor in _outside(model)})}, []


def join_job(
    request: dict[str, Any], blobs: list[memoryview], _tell: Callable[[dict[str, Any]], None]
) -> tuple[dict[str, Any], Sequence[bytes]]:
    """Child: write the side files' bytes into the network."""
    model = onnx.load_model_from_string(bytes(blobs[0]))
    sides = dict(zip(request["names"], blobs[1:], strict=True))
    for tensor in _outside(model):
        reference = _reference(tensor)
        side, start = sides[reference["location"]], _number(tensor, reference, "offset", 0)
        length = _number(tensor, reference, "length", len(side) - start)
        if not 0 <= start <= start + length <= len(side) or length != _bytes_of(tensor):
            raise ImportRefused(
                f"weight '{tensor.name}': expected {_bytes_of(tensor)} bytes, the file says bytes {start} to "
                f"{start + length} of {reference['location']}, which has {len(side)}; copy both files again"
            )
        tensor.raw_data = bytes(side[start : start + length])
        tensor.data_location = TensorProto.DEFAULT
        del tensor.external_data[:]
    return {}, [model.SerializeToString(deterministic=True)]


def read_regular(path: Path) -> bytes:
    """Read a file that a person named.

    Raises:
        ImportRefused: It can't be read, or is no file of at most 2 GiB.
    """
    try:
        return _read(path, os.O_RDONLY)
    except OSError as error:
        raise ImportRefused(f"{path}: can't be read: {error.strerror}; give the path of an ONNX file") from error


def read_side(file: Path, name: str) -> bytes:
    """Read a file that a network names: beside it, and nowhere else.

    Raises:
        ImportRefused: Another place, a link, not a file, or not there.
    """
    if name in ("", ".", "..") or Path(name).name != name or "\\" in name:
        raise ImportRefused(
            f"{file.name}: names weights in {name!r}; expected the plain name of a file beside it: export it anew"
        )
    try:
        return _read(file.parent / name, os.O_RDONLY | os.O_NOFOLLOW)
    except OSError as error:
        raise ImportRefused(
            f"{file.name}: its weights are in {name}, which can't be read: {error.strerror}; copy it beside {file.name}"
        ) from error


def _read(path: Path, flags: int) -> bytes:
    descriptor = os.open(path, flags | os.O_CLOEXEC | os.O_NONBLOCK)
    try:
        state = os.fstat(descriptor)
        if not stat.S_ISREG(state.st_mode) or state.st_size > MAX_BYTES:
            raise ImportRefused(f"{path}: expected a regular file of 2 GiB at most, got something else")
        with os.fdopen(descriptor, "rb", closefd=False) as opened:
            return opened.read(MAX_BYTES + 1)
    finally:
        os.close(descriptor)


def _outside(model: Any) -> list[Any]:
    tensors = [*tensors_of(model.graph)]
    for function in model.functions:
        tensors += [tensor for node in function.node for tensor in tensors_in_attributes(node)]
    found = [tensor for tensor in tensors if tensor.data_location == TensorProto.EXTERNAL]
    if len({_reference(tensor)["location"] for tensor in found}) > _MAX_FILES:
        raise ImportRefused(f"weights in more than {_MAX_FILES} files; save them into one")
    return found


def _reference(tensor: Any) -> dict[str, str]:
    return {"location": "", **{entry.key: entry.value for entry in tensor.external_data}}


def _number(tensor: Any, reference: dict[str, str], key: str, default: int) -> int:
    said = reference.get(key, str(default))
    if not said.isdecimal() or len(said) > 15:
        raise ImportRefused(f"weight '{tensor.name}': {key} {said!r} of its side file is no number; export it anew")
    return int(said)


def _bytes_of(tensor: Any) -> int:
    try:
        size = onnx.helper.tensor_dtype_to_np_dtype(tensor.data_type).itemsize
    except KeyError as error:
        raise ImportRefused(f"weight '{tensor.name}' is of no known type; export it anew") from error
    count = int(prod(tensor.dims))
    packed = {TensorProto.INT4, TensorProto.UINT4}
    return (count + 1) // 2 if tensor.data_type in packed else count * int(size)
