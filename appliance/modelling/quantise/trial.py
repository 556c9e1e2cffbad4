"""A bundle around a network in the making, so that it is measured as it would run."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from appliance.modelling.bundle import MODEL_FILE, ModelBundle
from appliance.modelling.bundle_writer import write_bundle


def contract_of(bundle: ModelBundle) -> dict[str, Any]:
    """Return the content of a bundle's `model.toml` without `[files]`, as `write_bundle` takes it."""
    return bundle.model_dump(mode="json", exclude={"files"}, exclude_none=True)


def with_network(bundle: ModelBundle, onnx_bytes: bytes, changes: Mapping[str, Any] | None = None) -> ModelBundle:
    """Return a bundle with another network, written and read back like any other; nothing of it stays on the disk.

    Raises:
        ModelError: The result isn't a bundle that the appliance accepts.
    """
    folder = Path(tempfile.mkdtemp(prefix="quantise-"))
    try:
        (folder / MODEL_FILE).write_bytes(onnx_bytes)
        return write_bundle(folder, {**contract_of(bundle), **(changes or {})})
    finally:
        shutil.rmtree(folder)
