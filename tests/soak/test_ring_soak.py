from pathlib import Path

import pytest

from appliance.testing.ring_kills import kill_readers, kill_writers, stop_reader

pytestmark = [pytest.mark.soak, pytest.mark.timeout(3600)]


@pytest.mark.parametrize("seed", range(10, 14))
def test_a_thousand_killed_readers(tmp_path: Path, seed: int) -> None:
    kill_readers(tmp_path, 1000, seed=seed)


@pytest.mark.parametrize("seed", range(20, 24))
def test_five_hundred_killed_writers(tmp_path: Path, seed: int) -> None:
    kill_writers(tmp_path, 500, seed=seed)


@pytest.mark.parametrize("seed", range(30, 60))
def test_stopped_readers(tmp_path: Path, seed: int) -> None:
    stop_reader(tmp_path, seed=seed)
