"""The commands for people, by the word they begin with. Only the one that was asked for is imported.

All of them take a second of processor time to import. A stage's process imports none: it must be up again soon after
its death.
"""

import importlib

import typer

_COMMANDS = {
    "run": ("run", "run"),
    "status": ("status", "status"),
    "watch": ("watch", "watch"),
    "doctor": ("doctor", "doctor"),
    "schemas": ("schemas", "schemas"),
    "camera": ("camera", "app"),
    "line": ("line", "app"),
    "part": ("line", "part_app"),
    "recipe": ("line", "recipe_app"),
    "results": ("results", "app"),
    "model": ("model", "app"),
    "review": ("review", "app"),
    "compare-rules": ("compare_rules", "compare_rules"),
    "dataset": ("dataset", "app"),
    "train": ("train", "train"),
    "drift": ("drift", "app"),
    "keys": ("keys", "app"),
    "bench": ("bench", "app"),
}
"""Word: its module in this room, and what that calls its function or its group of commands."""


def add_commands(app: typer.Typer, noun: str | None) -> None:
    """Hang them into the tree: the one called `noun`, or all where there is none such (help, a misspelt word)."""
    for word in [noun] if noun in _COMMANDS else _COMMANDS:
        module, name = _COMMANDS[word]
        found = getattr(importlib.import_module(f"appliance.cli.{module}"), name)
        if isinstance(found, typer.Typer):
            app.add_typer(found, name=word)
        else:
            app.command(word)(found)
