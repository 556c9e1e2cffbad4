"""The `appliance` command: one file a noun. A command parses, calls one function and prints."""

from appliance.cli.app import main

__all__ = ["main"]
