"""What is known of a file: read and run once in a limited child, told to the parent as plain data."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
from numpy.typing import NDArray

from appliance.limited import run_limited
from appliance.modelling.gate.graph_check import check_graph
from appliance.modelling.importer.facts import GraphFacts, ImportOptions, Preprocessing, StemStep, TensorFacts
from appliance.modelling.importer.foreign_session import ForeignSession
from appliance.modelling.importer.image_input import names_in_metadata
from appliance.modelling.importer.limits import limits_for
from appliance.modelling.importer.picture import natural_picture
from appliance.modelling.importer.prepared import Prepared, prepare, stem_of
from appliance.modelling.importer.preprocess import network_values
from appliance.modelling.importer.protos import operators_of, opset_of

TRIAL_SEED = 7


def examine(onnx_bytes: bytes, options: ImportOptions, where: str) -> GraphFacts:
    """Find out all that `GraphFacts` tells; the foreign bytes are parsed and run in a limited child only.

    Raises:
        ImportRefused: The file isn't a network that can be run here.
        ModelError: It crashed the child, or took more memory or time than allowed.
    """
    request = {"options": asdict(options), "where": where}
    ran = run_limited(examine_job, request, [onnx_bytes], where=where, limits=limits_for(len(onnx_bytes)))
    return facts_of(ran.answer, ran.blobs, options)


def facts_of(told: Mapping[str, Any], blobs: Sequence[bytes], options: ImportOptions) -> GraphFacts:
    """Read what `examine_job` answered."""
    arrays = tuple(
        np.frombuffer(blob, dtype).reshape(shape) for blob, (dtype, shape) in zip(blobs, told["arrays"], strict=True)
    )
    count = len(told["outputs"])
    return GraphFacts(
        image=_tensor(told["image"]),
        layout=told["layout"],
        channels=told["channels"],
        input_height=told["height"],
        input_width=told["width"],
        inputs=tuple(map(_tensor, told["inputs"])),
        outputs=tuple(map(_tensor, told["outputs"])),
        constants={name: tuple(values) for name, values in told["constants"].items()},
        metadata=told["metadata"],
        producer=told["producer"],
        opset=told["opset"],
        operators=told["operators"],
        stem=tuple(StemStep(name, None if one is None else tuple(one)) for name, one in told["stem"]),
        options=options,
        trial=arrays[:count],
        trial_255=arrays[count:],
        class_names=options.classes or names_in_metadata(told["metadata"]),
    )


def examine_job(
    request: dict[str, Any], blobs: list[memoryview], tell: Callable[[dict[str, Any]], None]
) -> tuple[dict[str, Any], Sequence[bytes]]:
    """Child: parse, make ready, run twice."""
    tell({"step": "parse"})
    model = check_graph(blobs[0], request["where"])
    prepared = prepare(model, options_from(request["options"]))
    image = prepared.image
    stem = stem_of(model.graph, image.facts.name)
    tell({"step": "load"})
    session = ForeignSession(prepared.model.SerializeToString())
    tell({"step": "trial run"})
    arrays = [*_trial(session, prepared, 255.0), *_trial(session, prepared, 1.0)]
    answer = {
        "image": asdict(image.facts),
        "layout": image.layout,
        "channels": image.channels,
        "height": image.height,
        "width": image.width,
        "inputs": [asdict(one) for one in prepared.inputs],
        "outputs": [asdict(one) for one in prepared.outputs],
        "constants": dict(prepared.constants),
        "metadata": {one.key: one.value for one in model.metadata_props},
        "producer": f"{model.producer_name} {model.producer_version}".strip(),
        "opset": opset_of(model),
        "operators": dict(operators_of(model.graph)),
        "stem": [(step.operator, step.constant) for step in stem],
        "arrays": [(str(array.dtype), array.shape) for array in arrays],
    }
    return answer, [np.ascontiguousarray(array).tobytes() for array in arrays]


def options_from(told: Mapping[str, Any]) -> ImportOptions:
    """Read options back from JSON, where tuples are lists."""
    fields: dict[str, Any] = {name: tuple(value) if isinstance(value, list) else value for name, value in told.items()}
    fields["constants"] = {name: tuple(values) for name, values in told["constants"].items()}
    return ImportOptions(**fields)


def _trial(session: ForeignSession, prepared: Prepared, divisor: float) -> list[NDArray[Any]]:
    image = prepared.image
    picture = natural_picture(image.height, image.width, TRIAL_SEED)
    values = network_values(picture[..., : image.channels], image, Preprocessing(divisor=divisor))
    if image.has_batch_axis and image.batch:
        values = np.repeat(values, image.batch, axis=0)
    return session.run({image.facts.name: values})


def _tensor(told: Mapping[str, Any]) -> TensorFacts:
    return TensorFacts(told["name"], tuple(told["shape"]), told["dtype"])
