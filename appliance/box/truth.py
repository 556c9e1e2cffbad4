"""What replayed images are known to show, beside what the appliance said: escapes and false rejects, with counts.

A folder of replayed images may hold `truth.json`:

    {"0001.png": {"verdict": "NG", "defects": [{"class_name": "short", "box_px": [10, 20, 30, 40]}]}, …}

Images are replayed in order of name, so a verdict names its image: by the line's pulse number (`encoder_count`) where
the camera is triggered by its line, which runs on while nobody listens; else by `frame_id`, counted from 1.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from appliance.config import ApplianceConfig, CameraConfig, GenicamSource
from appliance.errors import ConfigError

TRUTH_NAME = "truth.json"
_SIMULATED_LINE = {"TriggerMode": "On", "TriggerSource": "Line0"}


class CameraTruth:
    """The truth of one camera's replayed images.

    Args:
        verdicts: OK, NG or None (unknown) for each image, in the order of replay.
        is_line_triggered: Whether `encoder_count` or `frame_id` says which image it was.
    """

    def __init__(self, verdicts: tuple[str | None, ...], *, is_line_triggered: bool) -> None:
        self._verdicts = verdicts
        self._is_line_triggered = is_line_triggered

    def verdict_of(self, view: Mapping[str, Any]) -> str | None:
        """Tell what the image behind a view shows: OK or NG; None when the view names no image."""
        number: int | None = view["encoder_count"] if self._is_line_triggered else view["frame_id"]
        if number is None:
            return None
        return self._verdicts[(number if self._is_line_triggered else number - 1) % len(self._verdicts)]


def load_truth(config: ApplianceConfig) -> dict[str, CameraTruth]:
    """Read the truth of every camera whose replayed folder holds one.

    Raises:
        ConfigError: A truth file is not what it should be.
    """
    truths: dict[str, CameraTruth] = {}
    for camera in config.cameras:
        folder = camera.replayed_folder
        if folder is not None and (folder / TRUTH_NAME).is_file():
            verdicts = _read(folder / TRUTH_NAME)
            truths[camera.name] = CameraTruth(verdicts, is_line_triggered=_is_line_triggered(camera))
    return truths


@dataclass
class Scoreboard:
    """Verdicts on parts whose truth is known.

    `escapes` are NG parts passed as OK, `false_rejects` OK parts called NG. UNKNOWN rejects the part too, but says so:
    it is counted on its own.
    """

    ng_parts: int = 0
    ok_parts: int = 0
    escapes: int = 0
    false_rejects: int = 0
    unknown_ng_parts: int = 0
    unknown_ok_parts: int = 0

    def add(self, verdict: str, truth: str) -> str:
        """Count one part and give its mark for the display: OK, ESCAPE, FALSE REJECT or UNKNOWN."""
        is_good = truth == "OK"
        self.ok_parts += is_good
        self.ng_parts += not is_good
        if verdict == "UNKNOWN":
            self.unknown_ok_parts += is_good
            self.unknown_ng_parts += not is_good
            return "UNKNOWN"
        if verdict == truth:
            return "OK"
        if is_good:
            self.false_rejects += 1
            return "FALSE REJECT"
        self.escapes += 1
        return "ESCAPE"

    def lines(self) -> list[str]:
        """Say it for people, with both denominators."""
        return [
            f"escapes {self.escapes} of {self.ng_parts} NG parts ({self.unknown_ng_parts} NG parts were UNKNOWN)",
            f"false rejects {self.false_rejects} of {self.ok_parts} OK parts ({self.unknown_ok_parts} were UNKNOWN)",
        ]


def _is_line_triggered(camera: CameraConfig) -> bool:
    source = camera.source
    return isinstance(source, GenicamSource) and _SIMULATED_LINE.items() <= source.features.items()


def _read(path: Path) -> tuple[str | None, ...]:
    """Give the verdict of each image of the folder, in the order of replay."""
    # Brings OpenCV with it, which no process but a run's own needs.
    from appliance.capture.simcam.pack import IMAGE_SUFFIXES  # noqa: PLC0415

    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        verdicts = {name: entry["verdict"] for name, entry in content.items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ConfigError(f'{path}: expected {{"<image>": {{"verdict": "OK" or "NG"}}}}, got {error!r}') from error
    strange = [f"{name}: {verdict!r}" for name, verdict in verdicts.items() if verdict not in {"OK", "NG"}]
    if strange:
        raise ConfigError(f"{path}: a verdict must be OK or NG, got {strange[0]}")
    images = sorted(file.name for file in path.parent.iterdir() if file.suffix.lower() in IMAGE_SUFFIXES)
    unknown = sorted(verdicts.keys() - set(images))
    if unknown or not images:
        raise ConfigError(f"{path}: names {unknown[:1] or 'nothing'}, the folder holds {len(images)} images")
    return tuple(verdicts.get(name) for name in images)
