"""`appliance model …`: bring models in, prove them, and put them to work. One file a group of commands."""

import typer

from appliance.cli import model_import

app = typer.Typer(help="Import, prove, compare and switch models.", no_args_is_help=True)

model_import.add(app)
