"""Files of the watcher's own: JSON that says which version of its form it has."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

SCHEMA_VERSION = 1


def read_versioned(path: Path) -> dict[str, Any]:
    """Read such a file.

    Raises:
        OSError: It can't be read.
        ValueError: It isn't JSON, or of a form that is not known here.
    """
    content = json.loads(path.read_bytes())
    if not isinstance(content, dict) or content.get("schema_version") != SCHEMA_VERSION:
        raise ValueError(f"expected schema_version {SCHEMA_VERSION}, got {content!r:.60}")
    return content
