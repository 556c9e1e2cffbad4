"""The commands for people. Kept out of a stage's process, which must be up again soon after its death."""

import typer

from appliance.cli import (
    bench,
    camera,
    dataset,
    doctor,
    keys,
    line,
    model,
    results,
    review,
    run,
    schemas,
    status,
    train,
    watch,
)


def add_commands(app: typer.Typer) -> None:
    """Hang them into the tree."""
    app.command("run")(run.run)
    app.command("status")(status.status)
    app.command("watch")(watch.watch)
    app.command("doctor")(doctor.doctor)
    app.command("schemas")(schemas.schemas)
    app.add_typer(camera.app, name="camera")
    app.add_typer(line.app, name="line")
    app.add_typer(line.part_app, name="part")
    app.add_typer(line.recipe_app, name="recipe")
    app.add_typer(results.app, name="results")
    app.add_typer(model.app, name="model")
    app.add_typer(review.app, name="review")
    app.add_typer(dataset.app, name="dataset")
    app.command("train")(train.train)
    app.add_typer(keys.app, name="keys")
    app.add_typer(bench.app, name="bench")
