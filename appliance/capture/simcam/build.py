"""Compile the producer: `build()` or `python -m appliance.capture.simcam.build`.

The sources lie beside this file; gcc (or $CC) and the C library are all it takes, about two seconds.
"""

import hashlib
import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from appliance.errors import ApplianceError, ToolMissing

SOURCE_FOLDER = Path(__file__).parent
DEFAULT_DESTINATION = SOURCE_FOLDER / "build" / "appliance_simcam.cti"
FLAGS = ("-std=c11", "-D_GNU_SOURCE", "-O2", "-g1", "-Wall", "-Wextra", "-Werror")
LINK_FLAGS = ("-fvisibility=hidden", "-shared", "-fPIC", "-pthread")


def build(destination: Path | None = None, *, extra_flags: Sequence[str] = ()) -> Path:
    """Compile the producer unless it is up to date, and return its absolute path.

    Args:
        destination: The `.cti` to write; its folder is made. Replaced in one step, so a loaded one stays whole.
        extra_flags: For instance `-fsanitize=address`.
    Raises:
        ToolMissing: There is no C compiler; the message names the package.
        ApplianceError: The compiler refused the sources; the message carries its first lines.
    """
    target = (destination or DEFAULT_DESTINATION).resolve()
    compiler = shlex.split(os.environ.get("CC", "gcc"))
    sources = sorted(SOURCE_FOLDER.glob("*.c"))
    arguments = [*FLAGS, *LINK_FLAGS, *extra_flags, *(source.name for source in sources), "-lm"]
    stamp = target.with_suffix(".stamp")
    fingerprint = _fingerprint([*compiler, *arguments])
    if target.exists() and stamp.exists() and stamp.read_text() == fingerprint:
        return target
    if shutil.which(compiler[0]) is None:
        raise ToolMissing(
            f"the simulated camera needs a C compiler and found no '{compiler[0]}': sudo apt-get install gcc libc6-dev"
        )
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = target.with_suffix(f".{os.getpid()}.partial")
    try:
        _compile([*compiler, *arguments, "-o", str(partial)])
        partial.replace(target)
    finally:
        partial.unlink(missing_ok=True)
    stamp.write_text(fingerprint)
    return target


def _fingerprint(command: Sequence[str]) -> str:
    digest = hashlib.sha256(shlex.join(command).encode())
    for path in [*sorted(SOURCE_FOLDER.glob("*.[ch]")), SOURCE_FOLDER / "nodes.xml"]:
        digest.update(path.read_bytes())
    return digest.hexdigest()


def _compile(command: Sequence[str]) -> None:
    """Run the compiler in the source folder: nodes_xml.c includes nodes.xml by its bare name."""
    done = subprocess.run(command, cwd=SOURCE_FOLDER, capture_output=True, text=True, check=False)  # noqa: S603
    if done.returncode != 0:
        if "stdio.h" in done.stderr and "No such file" in done.stderr:
            raise ToolMissing("the C library's headers are missing: sudo apt-get install libc6-dev")
        first_lines = " | ".join(done.stderr.strip().splitlines()[:3])
        raise ApplianceError(f"compiling the simulated camera failed: {first_lines}")


def main() -> int:
    """Build and print where the producer lies."""
    try:
        print(build())
    except ApplianceError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
