"""From a file to a bundle in the models folder: examine, recognise, wrap, prove, write, pass the gate, move there."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from appliance.errors import ImportRefused, ModelError
from appliance.modelling.bundle import MODEL_FILE, ModelBundle
from appliance.modelling.bundle_writer import put_in_place, write_bundle
from appliance.modelling.gate.verify import verify
from appliance.modelling.importer.build import Built, build
from appliance.modelling.importer.examination import examine
from appliance.modelling.importer.facts import GraphFacts, ImportOptions, Preprocessing
from appliance.modelling.importer.golden import GoldenImage, write_golden
from appliance.modelling.importer.recognition import Recognised, recognise
from appliance.modelling.importer.side_files import ForeignFile, read_foreign

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")
SCORE_METHOD = "usual for networks of this family; measure it with `appliance model threshold`"
SCORE_SAID = "chosen at the import"


@dataclass(frozen=True)
class Order:
    """What is to be imported, and where to.

    Attributes:
        file: The ONNX file.
        models_dir: Gets the folder `name`.
        overwrites: A model of this name may be replaced.
        golden: Pictures to keep with what the model finds in them.
        command: What the person typed, for the bundle's `made_by`.
    """

    file: Path
    name: str
    models_dir: Path
    options: ImportOptions
    overwrites: bool = False
    golden: Sequence[GoldenImage] = ()
    command: str = ""


@dataclass(frozen=True)
class Imported:
    """What came of it.

    Attributes:
        seen: Why it is of this family.
        farthest_apart: Largest relative difference between the file and the bundle in the proof.
        notes: What a person should know.
    """

    bundle: ModelBundle
    folder: Path
    seen: str
    farthest_apart: float
    notes: tuple[str, ...]


def import_model(order: Order, report: Callable[[str], None] = lambda _: None) -> Imported:
    """Make a bundle of a foreign file; the models folder changes in one step, at the end.

    Args:
        report: Called with each step that begins.
    Raises:
        ImportRefused: The file isn't understood beyond doubt, or can't be run as it was trained.
        ModelError: The name is taken, the folder can't be written, or the gate refuses the bundle.
    """
    _check_name(order)
    foreign, where = read_foreign(order.file), order.file.name
    content = foreign.onnx_bytes
    report("trial run")
    facts = examine(content, order.options, where)
    recognised = recognise(facts, where)
    report("proof")
    claim = recognised.claim
    built = build(
        content,
        order.options,
        claim.preprocessing,
        outputs=claim.outputs or [output.name for output in facts.outputs],
        rows=claim.rows,
        where=where,
    )
    contract = contract_of(order, facts, recognised, built, foreign)
    with _folder_for(order) as folder:
        (folder / MODEL_FILE).write_bytes(built.onnx_bytes)
        bundle = write_bundle(folder, contract)
        if order.golden:
            write_golden(folder, bundle, order.golden)
            bundle = write_bundle(folder, contract)
        report("gate")
        verify(bundle)
        target = order.models_dir / order.name
        put_in_place(folder, target)
    return Imported(bundle, target, claim.seen, built.farthest_apart, (*recognised.notes, *built.notes))


def is_model_name(name: str) -> bool:
    """Whether a model can be called so."""
    return _NAME.fullmatch(name) is not None


def _check_name(order: Order) -> None:
    if not is_model_name(order.name):
        raise ImportRefused(
            f"--name {order.name!r}: expected letters, digits, '_', '.' and '-', 64 at most, a letter or digit first"
        )
    target = order.models_dir / order.name
    if os.path.lexists(target) and not order.overwrites:
        raise ModelError(f"model {order.name}: {target} exists; choose another --name, or pass --overwrite")


def contract_of(
    order: Order, facts: GraphFacts, recognised: Recognised, built: Built, foreign: ForeignFile
) -> dict[str, Any]:
    """Say all that `model.toml` says but for the hashes."""
    claim, preprocessing = recognised.claim, recognised.claim.preprocessing
    return {
        "schema_version": 2,
        "name": order.name,
        "task": recognised.family.task,
        "family": claim.family,
        "created_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "opset": facts.opset,
        "input": {
            "name": built.input_name,
            "layout": "NCHW" if preprocessing.pixel_format == "Mono8" else "NHWC",
            "dtype": "uint8",
            "pixel_format": preprocessing.pixel_format,
            "height": facts.input_height,
            "width": facts.input_width,
            "batch": built.batch,
            "fit": preprocessing.fit,
            "resize": preprocessing.resize,
            "pad_value": preprocessing.pad_value,
        },
        "outputs": [{"name": name, "shape": list(shape), "dtype": "float32"} for name, shape in built.outputs],
        "decode": json.loads(json.dumps(dict(claim.decode))),
        "classes": {"names": list(recognised.class_names)},
        "thresholds": {
            "score": claim.score,
            "nms_iou": claim.nms_iou,
            "score_method": SCORE_METHOD if order.options.score is None else SCORE_SAID,
        },
        "source": {
            "file": " ".join(foreign.names),
            "sha256": hashlib.sha256(foreign.bytes_read).hexdigest(),
            "bytes": len(foreign.bytes_read),
            "producer": facts.producer or "unknown",
            "preprocessing": preprocessing_words(facts, preprocessing),
            "made_by": order.command or "appliance.modelling.importer",
        },
    }


def preprocessing_words(facts: GraphFacts, preprocessing: Preprocessing) -> str:
    """Say what happens to a picture before the network's first layer."""
    fitted = f"{preprocessing.fit} to {facts.input_width}x{facts.input_height} ({preprocessing.resize})"
    if preprocessing.fit.startswith("letterbox"):
        fitted += f", grey {preprocessing.pad_value} beside it"
    if preprocessing.pixel_format == "Mono8" and facts.channels == 3:
        channels = "grey repeated for 3 channels"
    else:
        channels = {"Mono8": "grey", "RGB8": "red, green, blue", "BGR8": "blue, green, red"}[preprocessing.pixel_format]
    steps = [] if facts.image.dtype == "uint8" else _scaling_words(preprocessing)
    fixed = [f"{name} = {', '.join(f'{value:g}' for value in values)}" for name, values in facts.constants.items()]
    return "; ".join([fitted, channels, *(steps or ["values 0..255"]), f"{facts.layout} {facts.image.dtype}", *fixed])


def _scaling_words(preprocessing: Preprocessing) -> list[str]:
    steps = []
    if preprocessing.divisor != 1:
        steps.append(f"/ {preprocessing.divisor:g}")
    if any(preprocessing.mean):
        steps.append("- (" + ", ".join(f"{value:g}" for value in preprocessing.mean) + ")")
    if any(value != 1 for value in preprocessing.std):
        steps.append("/ (" + ", ".join(f"{value:g}" for value in preprocessing.std) + ")")
    return steps


@contextlib.contextmanager
def _folder_for(order: Order) -> Iterator[Path]:
    """Make a folder beside the target to work in; whatever is left of it goes."""
    try:
        order.models_dir.mkdir(parents=True, exist_ok=True)
        folder = Path(tempfile.mkdtemp(prefix=f".importing-{order.name}-", dir=order.models_dir))
    except OSError as error:
        raise ModelError(f"models folder {order.models_dir} can't be written: {error.strerror}") from error
    try:
        folder.chmod(0o755)  # other users of the machine run the appliance
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
