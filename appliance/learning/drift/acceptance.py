"""When a person says that the present is right: after a new lamp or lens, last week is no reference any more.

state_dir/drift/accepted.json    written by `appliance drift accept`, read by the watcher
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

from pydantic import AwareDatetime

from appliance.config import ConfinedModel
from appliance.learning.drift.comparison import LAST_WEEK
from appliance.learning.drift.signals import StreamKey
from appliance.rollout.files import read_json, write_json

_FILE = "accepted.json"
_MOST = 200


class Acceptance(ConfinedModel):
    """One such word.

    Attributes:
        camera, recipe: Which streams; None: all.
        since: What was before is no reference.
    """

    since: AwareDatetime
    by: str
    camera: str | None = None
    recipe: str | None = None

    def concerns(self, stream: StreamKey) -> bool:
        """Whether a stream is meant."""
        return self.recipe in (None, stream[0]) and self.camera in (None, stream[1])

    def settles(self, stream: StreamKey, alarm: Mapping[str, Any]) -> bool:
        """Whether it ends an alarm: one against last week that stood when it was said."""
        is_earlier = datetime.fromisoformat(alarm["raised_at"]) <= self.since
        return self.concerns(stream) and alarm["reference"] == LAST_WEEK and is_earlier


class _Acceptances(ConfinedModel):
    schema_version: Literal[1] = 1
    accepted: tuple[Acceptance, ...] = ()


def read_acceptances(folder: Path) -> tuple[Acceptance, ...]:
    """Read all that were said, oldest first.

    Raises:
        ConfigError: The file can't be read, or holds something else.
    """
    found = read_json(folder / _FILE, _Acceptances)
    return found.accepted if found is not None else ()


def write_acceptance(folder: Path, acceptance: Acceptance) -> None:
    """Add one; the oldest ones go.

    Raises:
        ConfigError: The file can't be read or written.
    """
    kept = read_acceptances(folder)[-(_MOST - 1) :]
    write_json(folder / _FILE, _Acceptances(accepted=(*kept, acceptance)))
