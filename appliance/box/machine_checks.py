"""The doctor's checks of the machine itself: interpreter, libraries, memory, directories, clock."""

import ctypes
import importlib.metadata
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from appliance.box.check import CheckResult, bad, doubtful, good
from appliance.modelling.providers import PROVIDERS

_LEAST_CORES = 2
_LEAST_AVAILABLE_MB = 1000
_LEAST_RUNTIME_MB = 64
_TIME_ERROR = 5  # adjtimex(2): the clock isn't synchronised
_TIMEX_BYTES = 208


def examine_machine() -> Iterator[CheckResult]:
    """Check what doesn't depend on a configuration."""
    yield _python()
    yield _genicam()
    yield _compiler()
    yield _cores_and_memory()
    yield _shared_memory()
    yield _clock()


def execution_provider(wanted: str) -> CheckResult:
    """Look whether ONNX Runtime has the provider; in a process of its own, as it takes long to load."""
    if len(builds := installed_runtimes()) > 1:
        setup = PROVIDERS[wanted].setup if wanted in PROVIDERS else "cpu"
        both = " and ".join(builds)
        return bad(
            "execution provider",
            f"{both} are installed together and overwrite each other's files",
            f"pip uninstall -y {' '.join(builds)}, then make setup PROVIDER={setup}",
        )
    said = _python_says("import onnxruntime; print(','.join(onnxruntime.get_available_providers()))")
    if said.returncode:
        return bad("execution provider", f"onnxruntime can't be imported: {_last_line(said.stderr)}", "make setup")
    providers = said.stdout.strip().split(",")
    if wanted not in providers:
        fix = PROVIDERS[wanted].fix if wanted in PROVIDERS else "set inspector.execution_provider"
        return bad("execution provider", f"{wanted} isn't live", f"{fix} to one of {', '.join(providers)}")
    return good("execution provider", wanted)


def installed_runtimes(paths: Sequence[str] | None = None) -> list[str]:
    """Name the installed distributions that bring ONNX Runtime: one is right, two are a mixture of files.

    Args:
        paths: Where packages are looked for; default: where Python does.
    """
    known = {provider.distribution for provider in PROVIDERS.values()}
    found = importlib.metadata.distributions(path=list(paths)) if paths else importlib.metadata.distributions()
    return sorted({one.name for one in found} & known)


def runtime_directory(path: Path) -> CheckResult:
    """Check that the runtime directory can be written, and never waits for a disk."""
    written = writable_directory("runtime directory", path)
    if written.fix is not None:
        return written
    kind = filesystem_type(path)
    if kind not in {"tmpfs", "ramfs"}:
        return doubtful(
            "runtime directory", f"{path} is on {kind}: verdicts may wait for a disk", "put runtime_dir on a tmpfs"
        )
    free_mb = shutil.disk_usage(_nearest_existing(path)).free // 1_000_000
    if free_mb < _LEAST_RUNTIME_MB:
        return bad("runtime directory", f"{path} has {free_mb} MB left", "free space there, or enlarge the tmpfs")
    return good("runtime directory", f"{path} on {kind}, {free_mb} MB free")


def writable_directory(name: str, path: Path) -> CheckResult:
    """Check that a directory, or the nearest existing one above it, can be written."""
    nearest = _nearest_existing(path)
    if not nearest.is_dir() or not os.access(nearest, os.W_OK | os.X_OK):
        return bad(name, f"{nearest} can't be written by this user", f"sudo install -d -o $USER -m 700 {path}")
    return good(name, str(path))


def filesystem_type(path: Path, mounts: Path = Path("/proc/self/mounts")) -> str:
    """Find the type of the file system that holds a path, e.g. "tmpfs"."""
    target = path.resolve()
    best, found = Path("/"), "unknown"
    for line in mounts.read_text(encoding="utf-8").splitlines():
        _, mount_point, kind = line.split()[:3]
        place = Path(mount_point.replace("\\040", " "))
        if target.is_relative_to(place) and len(place.parts) >= len(best.parts):
            best, found = place, kind
    return found


def _nearest_existing(path: Path) -> Path:
    return next(parent for parent in (path, *path.parents) if parent.exists())


def _python() -> CheckResult:
    version = ".".join(str(part) for part in sys.version_info[:3])
    return good("python", f"{version} at {sys.executable}")


def _genicam() -> CheckResult:
    said = _python_says("import genicam.genapi, genicam.gentl, harvesters.core")
    if said.returncode == 0:
        return good("genicam", "harvesters and genicam can be imported")
    library = f"libpython{sys.version_info[0]}.{sys.version_info[1]}"
    return bad("genicam", _last_line(said.stderr), f"sudo apt-get install {library}, or make setup")


def _compiler() -> CheckResult:
    compiler = shutil.which("gcc") or shutil.which("cc")
    if compiler is None:
        return doubtful(
            "compiler", "no gcc: the simulated camera can't be compiled", "sudo apt-get install gcc libc6-dev"
        )
    return good("compiler", compiler)


def _cores_and_memory() -> CheckResult:
    cores = len(os.sched_getaffinity(0))
    fields = dict(line.split(":", 1) for line in Path("/proc/meminfo").read_text(encoding="ascii").splitlines())
    available_mb = int(fields["MemAvailable"].split()[0]) // 1000
    told = f"{cores} cores, {available_mb} MB of memory available"
    if cores < _LEAST_CORES or available_mb < _LEAST_AVAILABLE_MB:
        return doubtful("cores and memory", told, f"{_LEAST_CORES} cores and {_LEAST_AVAILABLE_MB} MB are the least")
    return good("cores and memory", told)


def _shared_memory() -> CheckResult:
    try:
        fd = os.memfd_create("doctor", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    except OSError as error:
        return bad("shared memory", f"memfd_create: {error.strerror}", "use a kernel and container that allow memfd")
    os.close(fd)
    share = Path("/dev/shm")  # noqa: S108 (looked at, not written)
    if not share.is_dir():
        return doubtful("shared memory", "memfd works, /dev/shm is missing", "mount a tmpfs on /dev/shm")
    return good("shared memory", f"memfd works, /dev/shm has {shutil.disk_usage(share).free // 1_000_000} MB free")


def _clock() -> CheckResult:
    state = ctypes.CDLL(None).adjtimex(ctypes.create_string_buffer(_TIMEX_BYTES))
    if state == _TIME_ERROR:
        return doubtful("clock", "not synchronised: times in records may be wrong", "sudo timedatectl set-ntp true")
    if state < 0:
        return doubtful("clock", "its state can't be read here", "look at timedatectl on the host")
    return good("clock", "synchronised")


def _python_says(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(  # noqa: S603 (our own interpreter and words)
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False
    )


def _last_line(text: str) -> str:
    return (text.strip().splitlines() or ["no message"])[-1]
