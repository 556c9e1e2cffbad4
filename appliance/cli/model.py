"""`appliance model …`: bring models in, prove them, and put them to work. One file a group of commands."""

import typer

app = typer.Typer(help="Import, prove, compare and switch models.", no_args_is_help=True)
