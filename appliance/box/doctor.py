"""Is everything there that the appliance needs? One line a check, each with a way to put it right."""

from collections.abc import Callable, Iterator
from pathlib import Path

from appliance.box import machine_checks
from appliance.box.cameras import find_cameras
from appliance.box.check import CheckResult, bad, doubtful, good
from appliance.box.status import read_status
from appliance.capture.simcam.build import DEFAULT_DESTINATION
from appliance.config import ApplianceConfig, load, load_recipe
from appliance.errors import ApplianceError
from appliance.inspection.judge import check_recipe
from appliance.modelling.signature import load_trusted
from appliance.wire.keys import KeyStore
from appliance.wire.verdict_lane import VerdictPublisher


def examine(config_path: Path | None, gentl_path: str) -> Iterator[CheckResult]:
    """Run all checks, each one yielded as it is done; without a configuration only those of the machine.

    Args:
        gentl_path: GENICAM_GENTL64_PATH of the caller's environment, "" when it isn't set.
    """
    yield from machine_checks.examine_machine()
    yield _simulated_camera()
    yield _gentl_path(gentl_path)
    if config_path is None:
        yield doubtful("configuration", "none given and none running", "name one: appliance doctor --config FILE")
        return
    try:
        config = load(config_path)
    except ApplianceError as error:
        yield bad("configuration", str(error), "correct the file")
        return
    yield good("configuration", str(config_path))
    yield _attempt("execution provider", lambda: machine_checks.execution_provider(config.inspector.execution_provider))
    yield _attempt("recipe and model", lambda: _recipe_and_model(config))
    yield from _cameras(config)
    yield _attempt("verdict endpoint", lambda: _endpoint(config))
    yield machine_checks.runtime_directory(config.runtime_dir)
    yield machine_checks.writable_directory("state directory", config.state_dir)


def _attempt(name: str, check: Callable[[], CheckResult]) -> CheckResult:
    """Turn a deliberate error into a failed check: its message already says the next step."""
    try:
        return check()
    except ApplianceError as error:
        return bad(name, str(error))


def _simulated_camera() -> CheckResult:
    if DEFAULT_DESTINATION.is_file():
        return good("simulated camera", str(DEFAULT_DESTINATION))
    return doubtful("simulated camera", "not compiled", "make setup (needs gcc and libc6-dev)")


def _gentl_path(gentl_path: str) -> CheckResult:
    folders = [Path(folder) for folder in gentl_path.split(":") if folder]
    producers = [path.name for folder in folders for path in sorted(folder.glob("*.cti"))]
    if producers:
        return good("GenTL path", f"GENICAM_GENTL64_PATH has {', '.join(producers)}")
    where = gentl_path or "not set"
    return good("GenTL path", f"GENICAM_GENTL64_PATH: {where}; producers are named in the configuration")


def _recipe_and_model(config: ApplianceConfig) -> CheckResult:
    recipe = load_recipe(config.recipe)
    bundle = load_trusted(config, recipe.model)
    check_recipe(recipe, bundle)
    return good(
        "recipe and model",
        f"{recipe.name} version {recipe.version} fits {bundle.name} (sha256 {bundle.sha256[:12]}…, every file matches)",
    )


def _cameras(config: ApplianceConfig) -> Iterator[CheckResult]:
    try:
        present = [presence for presence in find_cameras(config) if presence.name is not None]
    except ApplianceError as error:
        yield bad("cameras", str(error))
        return
    for presence in present:
        what = f"{presence.serial} {presence.model} {presence.state}".replace("  ", " ")
        if presence.state == "missing":
            yield bad(f"camera {presence.name}", f"{what}: {presence.detail}", "check cable, power and serial number")
        elif presence.state == "in use" and read_status(config.runtime_dir, f"grab-{presence.name}") is None:
            yield bad(f"camera {presence.name}", f"{what} by another program", "close that program")
        else:
            yield good(f"camera {presence.name}", what)


def _endpoint(config: ApplianceConfig) -> CheckResult:
    endpoint = config.delivery.verdict_endpoint
    publisher = read_status(config.runtime_dir, "publish")
    if publisher is not None and publisher.get("endpoint") == endpoint:
        return good("verdict endpoint", f"{endpoint}: our publisher has it")
    VerdictPublisher(endpoint, KeyStore(config.effective_keys_dir)).close()
    return good("verdict endpoint", f"{endpoint}: free")
