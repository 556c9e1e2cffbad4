"""`appliance model …`: bring models in, prove them, and put them to work. One file a group of commands."""

import typer

from appliance.cli import model_evaluate, model_import, model_run, model_show, model_verify

app = typer.Typer(help="Import, prove, compare and switch models.", no_args_is_help=True)

model_import.add(app)
model_show.add(app)
model_run.add(app)
model_verify.add(app)
model_evaluate.add(app)
