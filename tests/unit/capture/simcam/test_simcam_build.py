import os
import re
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest

from appliance.capture.simcam.build import SOURCE_FOLDER, build
from appliance.errors import ExitCode, ToolMissing


def test_a_missing_compiler_is_one_line_that_names_the_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CC", "gcc-that-is-not-there")
    with pytest.raises(ToolMissing, match="sudo apt-get install gcc") as caught:
        build(tmp_path / "camera.cti")
    assert "\n" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_the_command_says_it_too_and_exits_with_its_code(tmp_path: Path) -> None:
    script = (
        "from pathlib import Path; from appliance.capture.simcam import build as module;"
        f"module.DEFAULT_DESTINATION = Path({str(tmp_path / 'camera.cti')!r}); raise SystemExit(module.main())"
    )
    done = subprocess.run(
        [sys.executable, "-c", script],
        env={**os.environ, "CC": "gcc-that-is-not-there"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == ExitCode.TOOL
    assert done.stderr.count("\n") == 1


def test_building_twice_compiles_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = build(tmp_path / "folder" / "camera.cti")
    made = path.stat().st_mtime_ns
    monkeypatch.setenv("PATH", "")
    assert build(path) == path
    assert path.stat().st_mtime_ns == made


def test_only_the_standards_functions_are_exported(tmp_path: Path) -> None:
    symbols = subprocess.run(
        ["nm", "-D", "--defined-only", str(build())], capture_output=True, text=True, check=True
    ).stdout
    exported = {line.split()[-1] for line in symbols.splitlines()}
    declared = set(re.findall(r"^GC_API (\w+)\(", (SOURCE_FOLDER / "gentl.h").read_text(), re.MULTILINE))
    assert exported == declared


def test_every_register_of_the_xml_is_in_the_register_map() -> None:
    in_c = {
        int(address, 16): size
        for address, size in re.findall(r"\{(0x[0-9A-F]{4}), (\w+), ", (SOURCE_FOLDER / "registers.c").read_text())
    }
    found = set()
    for node in ElementTree.parse(SOURCE_FOLDER / "nodes.xml").getroot():
        values = {child.tag.partition("}")[2]: child.text or "" for child in node}
        if values.get("pPort") == "Device":
            address = int(values["Address"], 16)
            size = {"TEXT_BYTES": "64"}.get(in_c[address], in_c[address])
            assert values["Length"] == size, node.attrib["Name"]
            found.add(address)
    assert found == set(in_c)
