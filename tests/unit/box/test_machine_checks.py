from pathlib import Path

from appliance.box.check import Outcome
from appliance.box.machine_checks import (
    examine_machine,
    execution_provider,
    filesystem_type,
    installed_runtimes,
    runtime_directory,
    writable_directory,
)


def test_every_check_of_this_machine_says_something_and_a_fix_where_one_is_needed() -> None:
    for result in examine_machine():
        assert result.detail
        assert result.outcome is Outcome.OK or result.fix


def test_file_system_is_that_of_the_deepest_mount_point(tmp_path: Path) -> None:
    inner = tmp_path / "a b" / "c"
    inner.mkdir(parents=True)
    mounts = tmp_path / "mounts"
    mounts.write_text(f"disk / ext4 rw 0 0\ntmp {str(tmp_path / 'a b').replace(' ', chr(92) + '040')} tmpfs rw 0 0\n")
    assert filesystem_type(inner, mounts) == "tmpfs"
    assert filesystem_type(tmp_path, mounts) == "ext4"


def test_runtime_directory_on_a_tmpfs_is_good() -> None:
    assert runtime_directory(Path("/dev/shm/appliance-doctor")).outcome is Outcome.OK


def test_directory_that_cannot_be_made_is_bad(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    result = writable_directory("state directory", tmp_path / "file" / "state")
    assert result.outcome is Outcome.FAIL
    assert result.fix


def test_execution_provider_that_is_not_live_is_refused_with_those_that_are() -> None:
    assert execution_provider("CPUExecutionProvider").outcome is Outcome.OK
    missing = execution_provider("NoSuchExecutionProvider")
    assert missing.outcome is Outcome.FAIL
    assert "CPUExecutionProvider" in (missing.fix or "")


def test_two_builds_of_onnx_runtime_side_by_side_are_seen(tmp_path: Path) -> None:
    for name in ("onnxruntime", "onnxruntime-openvino", "something-else"):
        (tmp_path / f"{name}-1.0.dist-info").mkdir()
        (tmp_path / f"{name}-1.0.dist-info" / "METADATA").write_text(f"Name: {name}\nVersion: 1.0\n")
    assert installed_runtimes([str(tmp_path)]) == ["onnxruntime", "onnxruntime-openvino"]
    assert len(installed_runtimes()) == 1
