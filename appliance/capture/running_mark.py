"""A file that tells a killed grabber's successor from a fresh start.

After a kill, parts that passed meanwhile were asked for and not seen: each one gets a trigger. After a stop that
somebody wanted, nobody asked. It also tells whether the camera was ever there: a wrong serial number at a fresh start
is an error, an absent camera after a kill is waited for.
"""

from pathlib import Path

from appliance.config import CameraConfig, GenicamSource


class RunningMark:
    """Written once the camera was opened, removed at an orderly end.

    Attributes:
        was_left: Whether a grabber of the same camera was killed before this one started.
    """

    def __init__(self, runtime_dir: Path, camera: CameraConfig) -> None:
        source = camera.source
        self._path = runtime_dir / f"capturing.{camera.name}"
        self._identity = source.serial if isinstance(source, GenicamSource) else str(source.images)
        self.was_left = self._read() == self._identity

    def write(self) -> None:
        """Note that the camera is ours."""
        self._path.write_text(self._identity, encoding="utf-8")

    def remove(self) -> None:
        """Note that the end was meant."""
        self._path.unlink(missing_ok=True)

    def _read(self) -> str | None:
        try:
            return self._path.read_text(encoding="utf-8")
        except FileNotFoundError:
            return None
