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


@pytest.mark.parametrize(
    ("noun", "loaded"),
    [
        ("stage", set()),
        ("status", {"appliance.cli.status"}),
        ("results", {"appliance.cli.results"}),
        ("stattus", {"appliance.cli.status", "appliance.cli.results", "appliance.cli.dataset"}),
        (None, {"appliance.cli.status", "appliance.cli.results", "appliance.cli.dataset"}),
    ],
)
def test_only_the_command_that_was_asked_for_is_loaded(noun: str | None, loaded: set[str]) -> None:
    done = subprocess.run(
        [sys.executable, "-c", _IMPORTED.format(noun=noun)], capture_output=True, text=True, check=True
    )
    imported = set(done.stdout.split())
    assert imported & {"appliance.cli.status", "appliance.cli.results", "appliance.cli.dataset"} == loaded
    if noun == "stage":
        assert not imported & {"appliance.client", "appliance.contracts", "rich.live"}


def test_every_command_is_in_the_tree_that_people_see() -> None:
    tree = command_tree(None)
    groups = {group.name for group in tree.registered_groups}
    commands = {command.name for command in tree.registered_commands}
    assert {"camera", "line", "part", "recipe", "results", "keys", "bench", "stage"} <= groups
    assert {"run", "status", "watch", "doctor", "schemas"} <= commands
