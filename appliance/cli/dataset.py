"""`appliance dataset …`: labelled images. One file a group of commands."""

import typer

from appliance.cli import dataset_capture, dataset_labels, dataset_profile, dataset_tabs

app = typer.Typer(help="Make and look after labelled images.", no_args_is_help=True)

for commands in (dataset_capture, dataset_labels, dataset_profile, dataset_tabs):
    commands.add(app)
