"""`appliance dataset profile`: what a model's training pictures were like, for `appliance drift`."""

import json
from typing import Annotated

import typer

from appliance.cli.model_choice import ModelsDirOption, find_bundle
from appliance.cli.model_evaluate import ClassesOption, DatasetArgument, FormatOption, RecipeOption
from appliance.cli.options import ConfigOption, JsonOption
from appliance.cli.progress import progress_bar
from appliance.config import load_recipe


def add(app: typer.Typer) -> None:
    """Hang the command into `appliance dataset`."""
    app.command("profile")(profile)


def profile(
    dataset: DatasetArgument,
    *,
    model: Annotated[str, typer.Option("--model", help="Name of a model, or the path of a bundle.")],
    split: Annotated[
        str | None, typer.Option("--split", help="Part of the set; default: train where it has one, else all.")
    ] = None,
    recipe: RecipeOption = None,
    file_format: FormatOption = "auto",
    classes: ClassesOption = None,
    models_dir: ModelsDirOption = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Add a profile of training pictures to a model's bundle: brightness, sharpness, scores of good parts.

    The network stays as it is; the bundle's own hash changes, and a signature goes.
    """
    from appliance.learning.datasets import read_dataset  # noqa: PLC0415 (OpenCV would slow every other command down)
    from appliance.learning.drift.profiling import add_profile, profile_of_dataset  # noqa: PLC0415
    from appliance.modelling import load_bundle  # noqa: PLC0415
    from appliance.modelling.detector import Detector  # noqa: PLC0415

    folder = find_bundle(model, models_dir, config)
    bundle = load_bundle(folder)
    names = tuple(name.strip() for name in classes.split(",")) if classes else ()
    labelled = read_dataset(
        dataset, file_format=file_format, split=split, preferred=("train",), class_names=names, task=bundle.task
    )
    tiling = load_recipe(recipe).tiling if recipe is not None else None
    with progress_bar(f"{bundle.name}: good pictures") as progress:
        made = profile_of_dataset(Detector(bundle, tiling=tiling), labelled, progress)
    after = add_profile(folder, made)
    was_signed = bundle.signature_bytes is not None
    if as_json:
        identity = {"before": bundle.contract_sha256, "after": after.contract_sha256}
        told = {"model": after.name, "contract_sha256": identity, "signature_removed": was_signed}
        print(json.dumps(told | {"profile": made.model_dump()}, indent=2))
        return
    print(f"{after.name} has a profile of {made.made_from}")
    print(
        f"the bundle's identity was {bundle.contract_sha256[:12]}, is {after.contract_sha256[:12]}; its network stays"
    )
    print(f"where it was activated by hand, do so again: appliance model activate {after.name}")
    if was_signed:
        print(f"its signature is gone: appliance model sign {after.name} --key FILE")
