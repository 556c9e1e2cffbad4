from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from appliance.testing.ring_stand import RingStand


@pytest.fixture
def stand(tmp_path: Path) -> Iterator[RingStand]:
    with ExitStack() as stack:
        yield RingStand(tmp_path / "ring", stack)
