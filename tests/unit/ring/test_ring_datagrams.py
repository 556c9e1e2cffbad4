import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.errors import RingError
from appliance.messages import BYTES_PER_PIXEL, ClockSource, FrameGeometry, Reason, Trigger, TriggerFlag
from appliance.ring import ReaderRole, RingLayout
from appliance.ring import datagrams as protocol

U16, U32, U64 = (st.integers(0, 2**bits - 1) for bits in (16, 32, 64))
TRIGGERS = st.builds(
    Trigger,
    trigger_id=U64,
    exposed_ns=U64,
    frame_id=U64,
    device_timestamp_ns=U64,
    encoder_count=U64,
    received_after_us=U32,
    clock_source=st.sampled_from(ClockSource),
    clock_uncertainty_us=U32,
    stream_epoch=U32,
    width=U16,
    height=U16,
    flags=st.integers(0, 7).map(TriggerFlag),
    reason=st.sampled_from(Reason),
)
LAYOUTS = st.builds(
    RingLayout.plan,
    st.builds(FrameGeometry, st.integers(1, 20_000), st.integers(1, 20_000), st.sampled_from(sorted(BYTES_PER_PIXEL))),
    st.integers(4, 128),
    tail_bytes=st.integers(0, 10_000),
    alignment=st.sampled_from([1, 4, 64, 4096]),
)


@given(U16, U32, TRIGGERS)
def test_frame_descriptors_round_trip(slot: int, generation: int, trigger: Trigger) -> None:
    assert protocol.decode_frame(protocol.encode_frame(slot, generation, trigger)) == (slot, generation, trigger)


@given(U16, U32)
def test_releases_round_trip(slot: int, generation: int) -> None:
    assert protocol.decode_release(protocol.encode_release(slot, generation)) == (slot, generation)


@given(U32, LAYOUTS)
def test_layouts_round_trip(generation: int, layout: RingLayout) -> None:
    assert protocol.decode_layout(protocol.encode_layout(generation, layout)) == (generation, layout)


@pytest.mark.parametrize("role", ReaderRole)
def test_hellos_round_trip(role: ReaderRole) -> None:
    assert protocol.decode_hello(protocol.encode_hello(role)) is role


@given(st.binary(max_size=200))
def test_garbage_is_refused_as_a_ring_error_everywhere(garbage: bytes) -> None:
    for decode in (protocol.decode_hello, protocol.decode_release, protocol.decode_frame, protocol.decode_layout):
        try:
            decode(garbage)
        except RingError:
            continue
        # The only random bytes that decode are 7 that begin with R.
        assert decode is protocol.decode_release
        assert garbage[:1] == b"R"


@pytest.mark.parametrize(
    "hello",
    [
        b"H",
        b"H{}",
        b"H[]",
        b"Hnull",
        b"H\xff\xfe",
        b'H{"version": 1, "role": "supervisor"}',
        b'H{"version": 1, "role": []}',
        b'H{"version": 2, "role": "inspector"}',
        b"H" + b"[" * 60_000,
    ],
    ids=lambda hello: repr(hello[:30]),
)
def test_broken_hellos_are_refused_as_ring_errors(hello: bytes) -> None:
    with pytest.raises(RingError):
        protocol.decode_hello(hello)


@given(TRIGGERS, st.integers(0, 63), st.integers(0, 7))
def test_a_flipped_bit_in_a_frame_descriptor_is_noticed(trigger: Trigger, byte: int, bit: int) -> None:
    message = bytearray(protocol.encode_frame(1, 1, trigger))
    message[-64 + byte] ^= 1 << bit
    with pytest.raises(RingError, match="damaged"):
        protocol.decode_frame(bytes(message))
