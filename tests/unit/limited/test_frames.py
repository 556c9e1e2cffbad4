import json
import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.limited.frames import HEAD, FrameReader, GarbledFrame, write_frame

FRAMES = [(b"S", {"network": "none"}), (b"B", b"\x00\x01" * 300), (b"P", {"step": "load"}), (b"R", {"answer": {}})]


def written(frames: list[tuple[bytes, object]]) -> bytes:
    reader, writer = os.pipe()
    try:
        for kind, payload in frames:
            write_frame(writer, kind, payload)
        return os.read(reader, 1 << 16)
    finally:
        os.close(reader)
        os.close(writer)


@given(st.lists(st.integers(1, 200), min_size=1))
def test_frames_come_out_whole_however_the_pipe_cuts_them(cuts: list[int]) -> None:
    stream = written(FRAMES)
    reader, found, start = FrameReader(10_000), [], 0
    while start < len(stream):
        length = cuts[len(found) % len(cuts)]
        found += list(reader.feed(stream[start : start + length]))
        start += length
    assert found == FRAMES


@pytest.mark.parametrize(
    "stream",
    [
        b"hello, I am not a frame",
        HEAD.pack(b"X", 0),
        HEAD.pack(b"R", 1 << 40),
        HEAD.pack(b"B", 1 << 40),
        HEAD.pack(b"R", 3) + b"{]}",
        HEAD.pack(b"R", 2) + b"[]",
        HEAD.pack(b"R", 4) + b"\xff\xfe\xfd\xfc",
        HEAD.pack(b"R", 100_000) + b"[" * 100_000,
        HEAD.pack(b"B", 2_000_000) + bytes(2_000_000),
    ],
)
def test_nonsense_is_refused(stream: bytes) -> None:
    with pytest.raises(GarbledFrame):
        list(FrameReader(1_000_000).feed(stream))


@given(st.binary(max_size=400))
def test_any_bytes_give_frames_or_a_refusal(stream: bytes) -> None:
    try:
        for kind, content in FrameReader(1000).feed(stream):
            assert kind == b"B" or json.dumps(content)
    except GarbledFrame:
        pass
