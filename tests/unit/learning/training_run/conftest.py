"""A desk with labelled squares and a trainer that needs no PyTorch."""

import sys
from pathlib import Path

import pytest

from appliance.testing.labelled_squares import write_squares


@pytest.fixture
def trainer(tmp_path: Path) -> Path:
    """Return what stands in for the training environment's interpreter."""
    script = tmp_path / "trainer"
    script.write_text(f'#!/bin/sh\nexec {sys.executable} {Path(__file__).parent / "fake_trainer.py"} "$@"\n')
    script.chmod(0o755)
    return script


@pytest.fixture
def squares(tmp_path: Path) -> Path:
    """Return a set with splits."""
    lefts = (None, 4, 12, 20, 28, 36, 44, 4, None, 12, 20, 28)
    write_squares(tmp_path / "squares", {"train": lefts, "val": (None, 4, 20, 44, 12, None), "test": (None, 28, 36)})
    return tmp_path / "squares"
