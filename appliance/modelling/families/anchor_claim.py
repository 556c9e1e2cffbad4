"""Recognising raw heads with anchors: numbers before the grid maths, which YOLOv3 and YOLOv5 do differently."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from appliance.modelling.families.dense_evidence import dense_lists, kind_of_values
from appliance.modelling.families.exporters import exporter, preprocessing_of
from appliance.modelling.families.grid import grid_sizes
from appliance.modelling.importer.facts import Claim, Preprocessing

if TYPE_CHECKING:
    from appliance.modelling.importer.facts import GraphFacts

Scales = tuple[tuple[tuple[float, float], ...], ...]
_POSSIBLE_STRIDES = (4, 8, 16, 32, 64, 128)
_SMALLEST_ROW = 6  # box, objectness, one class


@dataclass(frozen=True, slots=True)
class RawHead:
    """A head before its grid maths.

    Attributes:
        form: As in `[decode]`.
        outputs: Names, finest scale first for maps.
        strides: px of each scale, finest first.
        per_cell: Anchors of a cell.
        rows: (A, row) float32, what the trial gave for one picture.
    """

    form: str
    layout: str
    outputs: tuple[str, ...]
    strides: tuple[int, ...]
    per_cell: int
    rows: NDArray[np.float32]

    def described(self) -> str:
        """One half sentence for people."""
        return (
            f"raw numbers in {', '.join(self.outputs)}: strides {'/'.join(map(str, self.strides))}, "
            f"{self.per_cell} a cell, rows of {self.rows.shape[1]}"
        )


def raw_heads(facts: GraphFacts, per_cell: int) -> list[RawHead]:
    """Every reading of the outputs as a raw head with so many candidates a cell."""
    lists = [
        RawHead("raw_list", one.layout, (one.output,), one.strides, one.per_cell, one.rows)
        for one in dense_lists(facts)
        if one.boxes is None and one.per_cell == per_cell and len(one.strides) > 1 and one.row >= _SMALLEST_ROW
    ]
    maps = _maps(facts, per_cell)
    return [*lists, maps] if maps is not None else lists


def claim_of_raw_head(
    family: str, facts: GraphFacts, published: Mapping[tuple[int, ...], Scales], *, usual: Preprocessing
) -> Claim | None:
    """Claim a raw head with three anchors a cell, or None where there is none of this family's kind.

    Args:
        family: "yolov3" or "yolov5".
        facts: Of the network.
        published: Anchors that the family was published with, by strides.
        usual: Preprocessing where the metadata don't say otherwise.
    """
    heads = raw_heads(facts, per_cell=3)
    if not heads or exporter(facts) == "ultralytics":
        return None  # its exporter finishes every box
    head = heads[0]
    likely = _likely_family(facts)
    asked_for = facts.options.family is not None
    if not asked_for and likely not in (family, None):
        return None
    decode: dict[str, Any] = {
        "form": head.form,
        "layout": head.layout,
        "objectness": True,
        "logits": kind_of_values(head.rows) != "shares",
        "strides": list(head.strides),
    }
    anchors = published.get(head.strides)
    if anchors is not None:
        decode["anchors"] = [[list(anchor) for anchor in scale] for scale in anchors]
    return Claim(
        family,
        seen=f"{head.described()}; {_activations(facts)}",
        decode=decode,
        class_count=head.rows.shape[1] - 5,
        preprocessing=preprocessing_of(facts, usual),
        nms_iou=0.45,
        outputs=head.outputs,
        doubts=tuple(_doubts(family, facts, likely, head, anchors)),
    )


def _doubts(family: str, facts: GraphFacts, likely: str | None, head: RawHead, anchors: Scales | None) -> Sequence[str]:
    asked_for = facts.options.family is not None
    doubts = []
    room = head.rows.shape[1] - 5
    if facts.class_count not in (None, room):
        doubts.append(
            f"rows of {room + 5} values have room for {room} classes and an objectness, but {facts.class_count} names "
            "are known: pass all of them with --classes"
        )
    if likely is None and not asked_for:
        doubts.append("YOLOv3 and YOLOv5 heads look alike and decode differently: pass --family yolov3 or yolov5")
    if "anchors" not in facts.options.decode and (anchors is None or not asked_for):
        doubts.append(
            "the anchors aren't in the file: pass --decode anchors=[[[w,h],…],…] from the cfg or yaml, finest stride "
            f"first{f', or --family {family} for the published ones' if anchors is not None else ''}"
        )
    if family == "yolov3" and facts.options.fit is None and not asked_for:
        doubts.append("Darknet itself letterboxes, many converters stretch: pass --fit letterbox_floor or stretch")
    return doubts


def _likely_family(facts: GraphFacts) -> str | None:
    """Darknet's networks have leaky activations (YOLOv4: also Mish), YOLOv5's have SiLU or Hardswish."""
    count = facts.operators.get
    if count("LeakyRelu", 0) >= 5 and count("Sigmoid", 0) < count("LeakyRelu", 0):
        return "yolov3"
    if count("Sigmoid", 0) >= 5 or count("HardSwish", 0) >= 5 or count("Swish", 0) >= 5:
        return "yolov5"
    return None


def _activations(facts: GraphFacts) -> str:
    kinds = ("LeakyRelu", "Sigmoid", "HardSwish", "Swish", "Mish", "Softplus", "Relu")
    found = [f"{facts.operators[kind]} {kind}" for kind in kinds if facts.operators.get(kind)]
    return f"activations {', '.join(found) or 'unknown'}"


def _maps(facts: GraphFacts, per_cell: int) -> RawHead | None:
    """One output for each of at least two scales, all with rows of the same length."""
    found: dict[int, tuple[str, NDArray[np.float32]]] = {}
    for output, array in zip(facts.outputs, facts.trial, strict=True):
        if array.ndim not in (4, 5) or array.dtype.kind != "f":
            continue
        for stride in _POSSIBLE_STRIDES:
            (size,) = grid_sizes(facts.input_height, facts.input_width, (stride,))
            rows = _rows_of_map(np.asarray(array[0], np.float32), size, per_cell)
            if rows is not None:
                found.setdefault(stride, (output.name, rows))
    lengths = {rows.shape[1] for _, rows in found.values()}
    if len(found) < 2 or len(lengths) != 1 or min(lengths) < _SMALLEST_ROW:
        return None
    strides = tuple(sorted(found))
    names = tuple(found[stride][0] for stride in strides)
    rows = np.concatenate([found[stride][1] for stride in strides])
    return RawHead("raw_maps", "anchors_first", names, strides, per_cell, rows)


def _rows_of_map(array: NDArray[np.float32], size: tuple[int, int], per_cell: int) -> NDArray[np.float32] | None:
    """Rows (A, row) of one scale; None where the array isn't a map of this size."""
    cells = size[0] * size[1]
    if array.ndim == 4:
        return array.reshape(-1, array.shape[3]) if array.shape[:3] == (per_cell, *size) else None
    if array.shape[1:] == size and array.shape[0] % per_cell == 0:
        return array.reshape(per_cell, -1, cells).transpose(0, 2, 1).reshape(per_cell * cells, -1)
    if array.shape[:2] == size and array.shape[2] % per_cell == 0:
        return array.reshape(cells * per_cell, -1)
    return None
