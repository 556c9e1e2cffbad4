"""The audit log tells everything once and floods nobody."""

import logging

import pytest

from appliance.wire.audit import LINES_PER_MINUTE, REPEAT_S, AuditLog


class Clock:
    """A clock that is set by hand."""

    now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


def test_a_repeated_happening_is_counted_and_told_again_later(caplog: pytest.LogCaptureFixture) -> None:
    clock = Clock()
    audit = AuditLog("tcp://x (verdict)", clock)
    for _ in range(5):
        audit.note(logging.WARNING, "someone refused")
    clock.now_s += REPEAT_S
    audit.note(logging.WARNING, "someone refused")
    assert [record.getMessage() for record in caplog.records] == [
        "tcp://x (verdict): someone refused",
        "tcp://x (verdict): someone refused (4 more were not told)",
    ]


def test_many_strangers_make_few_lines_and_an_administrators_act_is_always_told(
    caplog: pytest.LogCaptureFixture,
) -> None:
    audit = AuditLog("tcp://x (verdict)", Clock())
    for stranger in range(5000):
        audit.note(logging.WARNING, f"key {stranger} refused")
    audit.note(logging.WARNING, "plc1 was revoked", is_limited=False)
    assert len(caplog.records) == LINES_PER_MINUTE + 1
    assert caplog.records[-1].getMessage().endswith(f"plc1 was revoked ({5000 - LINES_PER_MINUTE} more were not told)")
