"""`appliance model …`: bring models in, prove them, and put them to work. One file a group of commands."""

import typer

from appliance.cli import (
    model_bench,
    model_card,
    model_evaluate,
    model_fit,
    model_import,
    model_life,
    model_quantise,
    model_run,
    model_shadow,
    model_show,
    model_verify,
)

app = typer.Typer(help="Import, prove, compare and switch models.", no_args_is_help=True)

model_import.add(app)
model_show.add(app)
model_run.add(app)
model_verify.add(app)
model_evaluate.add(app)
model_quantise.add(app)
model_fit.add(app)
model_bench.add(app)
model_card.add(app)
model_life.add(app)
model_shadow.add(app)
