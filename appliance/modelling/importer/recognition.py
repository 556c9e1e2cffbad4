"""Which decode family a file is of: every family is asked, one must be sure, else a person decides."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from numpy.typing import NDArray

from appliance.errors import ImportRefused
from appliance.modelling.families import FAMILIES, Family
from appliance.modelling.importer.facts import Claim, GraphFacts, Preprocessing, TensorFacts

ALIASES = {
    "yolov9": "yolov8",
    "yolo11": "yolov8",
    "yolov11": "yolov8",
    "yolo12": "yolov8",
    "yolov12": "yolov8",
    "yolov3u": "yolov8",
    "yolov5u": "yolov8",
    "yolov10": "end_to_end",
    "yolo26": "end_to_end",
    "yolov3-tiny": "yolov3",
    "yolov4": "yolov3",
    "yolov6": "yolov5",
    "yolov7": "yolov5",
    "rtdetr": "detr",
    "rt-detr": "detr",
    "dfine": "detr",
    "d-fine": "detr",
    "deim": "detr",
    "patchcore": "anomaly_map",
    "padim": "anomaly_map",
    "efficientad": "anomaly_map",
}
"""What networks are called, and the family whose outputs they have."""


@dataclass(frozen=True)
class Recognised:
    """What is certain enough to make a bundle of.

    Attributes:
        claim: Of the one family, options applied.
        class_names: In the order of the network's class ids.
        notes: What a person should know, each a sentence.
    """

    family: Family
    claim: Claim
    class_names: tuple[str, ...]
    notes: tuple[str, ...] = ()


def recognise(facts: GraphFacts, where: str, families: Mapping[str, Family] = FAMILIES) -> Recognised:
    """Ask the families, or the one that the options name, and settle classes and preprocessing.

    Raises:
        ImportRefused: No family claims the file, several do, one has doubts, or the class names aren't known.
    """
    asked = _asked(facts, families)
    claims = [claim for family in asked.values() if (claim := family.recognise(facts)) is not None]
    sure = [claim for claim in claims if not claim.doubts]
    if len(sure) != 1:
        if not claims:
            raise ImportRefused(_unknown(facts, asked, families, where))
        raise ImportRefused(
            _doubtful(facts, claims[0], where) if len(claims) == 1 else _undecided(facts, claims, where)
        )
    claim = replace(sure[0], preprocessing=_preprocessing(facts, sure[0]))
    names, notes = _class_names(facts, claim, where)
    options = facts.options
    return Recognised(
        families[claim.family],
        replace(
            claim,
            score=claim.score if options.score is None else options.score,
            nms_iou=claim.nms_iou if options.nms_iou is None else options.nms_iou,
            decode={**claim.decode, **options.decode},
        ),
        names,
        notes,
    )


def _asked(facts: GraphFacts, families: Mapping[str, Family]) -> Mapping[str, Family]:
    wanted = facts.options.family
    if wanted is None:
        return families
    name = ALIASES.get(wanted.lower(), wanted)
    if name not in families:
        raise ImportRefused(f"--family {wanted}: no such family; known are {', '.join([*families, *ALIASES])}, or auto")
    return {name: families[name]}


def _preprocessing(facts: GraphFacts, claim: Claim) -> Preprocessing:
    """Put the options over what the family claims.

    Raises:
        ImportRefused: They don't fit the network.
    """
    options = facts.options
    names = ("pixel_format", "divisor", "mean", "std", "fit", "resize", "pad_value")
    said = {name: value for name in names if (value := getattr(options, name)) is not None}
    if facts.channels == 1 and said.get("pixel_format", "Mono8") != "Mono8":
        raise ImportRefused(
            f"--pixel-format {options.pixel_format}: the network reads one channel; leave the option out"
        )
    scaling = sorted({"divisor", "mean", "std"} & set(said))
    if facts.image.dtype == "uint8" and scaling:
        raise ImportRefused(f"--{scaling[0]}: the network reads uint8 pixels and scales them itself; leave it out")
    grey = {"pixel_format": "Mono8"} if facts.channels == 1 else {}
    chosen = replace(claim.preprocessing, **{**grey, **said})
    for name in ("mean", "std"):
        if len(getattr(chosen, name)) not in (0, 1, facts.channels):
            raise ImportRefused(f"--{name}: expected 1 or {facts.channels} numbers, got {len(getattr(chosen, name))}")
    if chosen.divisor == 0 or 0 in chosen.std:
        raise ImportRefused("--divisor and --std: expected numbers other than 0")
    return chosen


def _class_names(facts: GraphFacts, claim: Claim, where: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Settle the class names; gives them, and a note where nobody knows them."""
    options = facts.options
    names = options.classes or claim.class_names or facts.class_names
    if names is None and claim.class_count is not None:
        names = tuple(f"class_{index}" for index in range(claim.class_count))
        return names, (f"the file names none of its {len(names)} classes: pass --classes in the order of training",)
    if names is None:
        raise ImportRefused(
            f"{where}: family {claim.family}: neither the outputs nor the file tell how many classes there are; "
            f"pass --classes with their names in the order of training"
        )
    if claim.class_count is not None and len(names) != claim.class_count:
        source = "--classes names" if options.classes else "the metadata name"
        raise ImportRefused(
            f"{where}: family {claim.family}: the outputs have {claim.class_count} classes, {source} {len(names)}; "
            f"pass --classes with {claim.class_count} names in the order of training"
        )
    if len(set(names)) != len(names):
        double = next(name for name in names if names.count(name) > 1)
        raise ImportRefused(f"{where}: class name {double!r} stands twice; pass --classes with names that differ")
    return names, ()


def _unknown(facts: GraphFacts, asked: Mapping[str, Family], families: Mapping[str, Family], where: str) -> str:
    who = "no family knows" if len(asked) > 1 else f"family {next(iter(asked))} doesn't know"
    lines = [f"{where}: {who} these outputs; the file isn't imported", *_seen(facts)]
    # Class names that aren't the network's, or a wrong --family, are what people get wrong most.
    free = replace(facts, class_names=None, options=replace(facts.options, classes=None, family=None))
    others = [claim for family in families.values() if (claim := family.recognise(free)) is not None]
    if not others:
        return "\n".join([*lines, f"  next: pass --family NAME ({', '.join(families)}) if you know better"])
    for claim in others:
        count = "" if claim.class_count is None else f", {claim.class_count} classes"
        lines.append(f"  without --family and class names: {claim.family}{count} ({claim.seen})")
    return "\n".join([*lines, "  next: correct --classes or --family"])


def _undecided(facts: GraphFacts, claims: list[Claim], where: str) -> str:
    lines = [f"{where}: {len(claims)} families know these outputs; the file isn't imported"]
    for claim in claims:
        lines += [f"  {claim.family}: {claim.seen}", *(f"    unclear: {doubt}" for doubt in claim.doubts)]
    hint = "pass " + " or ".join(f"--family {claim.family}" for claim in claims)
    return "\n".join([*lines, *_seen(facts), f"  next: {hint}"])


def _doubtful(facts: GraphFacts, claim: Claim, where: str) -> str:
    lines = [f"{where}: looks like family {claim.family} ({claim.seen}), but it isn't certain; the file isn't imported"]
    lines += [f"  unclear: {doubt}" for doubt in claim.doubts]
    return "\n".join([*lines, *_seen(facts)])


def _seen(facts: GraphFacts) -> list[str]:
    """What the file has, for the person who is to decide."""
    metadata = ", ".join(f"{key}={value:.40}" for key, value in list(facts.metadata.items())[:6]) or "none"
    ranges = [
        f"{_shape(output)} {output.dtype}, {_range(array)} in a trial run"
        for output, array in zip(facts.outputs, facts.trial, strict=True)
    ]
    classes = "not named" if facts.class_names is None else f"{len(facts.class_names)} named"
    image, size = facts.image, f"{facts.input_width}x{facts.input_height} px"
    return [
        f"  input: {_shape(image)} {image.dtype}, {facts.layout}, {size}; classes: {classes}",
        f"  producer: {facts.producer or 'unknown'}, opset {facts.opset}",
        *(f"  output: {line}" for line in ranges),
        f"  metadata: {metadata}",
    ]


def _shape(tensor: TensorFacts) -> str:
    return f"'{tensor.name}' ({', '.join('*' if size is None else str(size) for size in tensor.shape)})"


def _range(values: NDArray[Any]) -> str:
    return f"{values.shape} {values.min():.4g} to {values.max():.4g}" if values.size else f"{values.shape} empty"
