"""Modbus knows no security: nobody leaves loopback by accident."""

from pathlib import Path

import pytest

from appliance.box.process_table import process_table
from appliance.config import ModbusConfig, load

EXAMPLE = Path(__file__).parents[3] / "examples/full.toml"


@pytest.mark.parametrize("host", ["0.0.0.0", "192.168.1.5", "::"])
def test_an_address_that_others_reach_must_be_allowed(host: str) -> None:
    with pytest.raises(ValueError, match="allow_remote"):
        ModbusConfig(host=host)
    assert ModbusConfig(host=host, allow_remote=True).host == host


@pytest.mark.parametrize("host", ["localhost", "", "plc.example"])
def test_a_name_is_no_address(host: str) -> None:
    with pytest.raises(ValueError, match="must be an IP address"):
        ModbusConfig(host=host)


@pytest.mark.parametrize("host", ["127.0.0.1", "127.1.2.3", "::1"])
def test_loopback_needs_no_leave(host: str) -> None:
    assert ModbusConfig(host=host).allow_remote is False


def test_the_gateway_runs_only_where_it_is_enabled() -> None:
    config = load(EXAMPLE)
    enabled = config.model_copy(update={"modbus": ModbusConfig(enabled=True)})
    names = [[spec.name for spec in process_table(each, EXAMPLE, supervisor_pid=1)] for each in (config, enabled)]
    assert "modbus" not in names[0]
    assert names[1] == [*names[0], "modbus"]
