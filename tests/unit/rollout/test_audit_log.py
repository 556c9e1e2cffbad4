import os
from pathlib import Path

from appliance.rollout import AuditEntry, append_audit, read_audit
from appliance.rollout.audit import FILE, whoami


def entry(number: int) -> AuditEntry:
    return AuditEntry("2026-11-23T00:00:00Z", "test", "activated", "a", {"name": "old"}, {"name": str(number)})


def test_lines_come_back_in_order_and_only_the_owner_reads_them(tmp_path: Path) -> None:
    assert not list(read_audit(tmp_path))
    for number in range(3):
        append_audit(tmp_path, entry(number))
    assert list(read_audit(tmp_path)) == [entry(number) for number in range(3)]
    assert (tmp_path / FILE).stat().st_mode & 0o777 == 0o600


def test_a_torn_line_is_left_out(tmp_path: Path) -> None:
    append_audit(tmp_path, entry(1))
    with (tmp_path / FILE).open("ab") as file:
        file.write(b'{"at": "2026\n')
    append_audit(tmp_path, entry(2))
    assert list(read_audit(tmp_path)) == [entry(1), entry(2)]


def test_who_did_it_is_a_name_and_a_process() -> None:
    assert whoami().endswith(f"pid {os.getpid()}")
    assert len(whoami().split(",")[0]) > 0
