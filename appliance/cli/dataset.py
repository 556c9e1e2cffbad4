"""`appliance dataset …`: labelled images. One file a group of commands."""

import typer

from appliance.cli import dataset_tabs

app = typer.Typer(help="Make and look after labelled images.", no_args_is_help=True)
app.callback()(lambda: None)  # keeps the group a group while it has one command

dataset_tabs.add(app)
