import subprocess
import sys

import pytest

from appliance.cli.app import command_tree

_IMPORTED = """
import sys
from appliance.cli.app import command_tree
command_tree({noun!r})
print(" ".join(name for name in sys.modules if name.startswith(("appliance.", "rich"))))
"""


@pytest.mark.parametrize(("noun", "is_small"), [("stage", True), ("status", False), (None, False)])
def test_a_stage_loads_nothing_of_the_commands_for_people(noun: str | None, is_small: bool) -> None:
    done = subprocess.run(
        [sys.executable, "-c", _IMPORTED.format(noun=noun)], capture_output=True, text=True, check=True
    )
    imported = done.stdout.split()
    for name in ("appliance.cli.results", "appliance.client", "appliance.contracts", "rich.live"):
        assert (name not in imported) is is_small, name


def test_every_command_is_in_the_tree_that_people_see() -> None:
    tree = command_tree(None)
    groups = {group.name for group in tree.registered_groups}
    commands = {command.name for command in tree.registered_commands}
    assert {"camera", "line", "part", "recipe", "results", "keys", "bench", "stage"} <= groups
    assert {"run", "status", "watch", "doctor", "schemas"} <= commands
