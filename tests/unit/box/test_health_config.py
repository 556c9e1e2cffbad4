"""Plain HTTP knows no security: nobody leaves loopback by accident."""

from pathlib import Path

import pytest

from appliance.box.process_table import process_table
from appliance.config import HealthConfig, load

EXAMPLE = Path(__file__).parents[3] / "examples/full.toml"


@pytest.mark.parametrize("host", ["0.0.0.0", "192.168.1.5", "::"])
def test_an_address_that_others_reach_must_be_allowed(host: str) -> None:
    with pytest.raises(ValueError, match=r"plain HTTP has no keys.*allow_remote"):
        HealthConfig(host=host)
    assert HealthConfig(host=host, allow_remote=True).host == host


def test_a_name_is_no_address() -> None:
    with pytest.raises(ValueError, match="must be an IP address"):
        HealthConfig(host="localhost")


def test_health_is_told_only_where_it_is_enabled_and_to_the_end() -> None:
    config = load(EXAMPLE)
    enabled = config.model_copy(update={"health": HealthConfig(enabled=True)})
    tables = [process_table(each, EXAMPLE, supervisor_pid=1) for each in (config, enabled)]
    assert "health" not in {spec.name for spec in tables[0]}
    assert tables[1][-1].name == "health"
    assert tables[1][-1].stop_rank == max(spec.stop_rank for spec in tables[1])
