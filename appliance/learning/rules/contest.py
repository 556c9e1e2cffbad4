"""A whole contest: data read, references made, rules tuned, everything measured once, and told."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from appliance.errors import DatasetError
from appliance.learning.datasets import Dataset, LabelledImage, splits_of
from appliance.learning.rules import METHODS, RuleParameters, Rules, make_method, suitable
from appliance.learning.rules.golden import Golden
from appliance.learning.rules.rivalry import Contest, Rival, model_score_on
from appliance.learning.rules.rules_file import read_rules
from appliance.learning.rules.tuning import Budget
from appliance.learning.tabs.export import is_rendered
from appliance.modelling import ModelBundle

Bar = Callable[[str], AbstractContextManager[Callable[[int, int], None]]]
"""Opens a progress bar of a name."""


@dataclass(frozen=True)
class Entry:
    """A set of rules that takes part.

    Attributes:
        parameters: From a file; None: they are tuned.
    """

    method: str
    parameters: RuleParameters | None = None

    @classmethod
    def chosen(cls, methods: Sequence[str] | None, files: Sequence[Path] | None) -> tuple[Entry, ...]:
        """Return what a command asked for; nothing: what fits the data set takes part.

        Raises:
            ConfigError: A file can't be used.
            DatasetError: An unknown method.
        """
        if strange := sorted(set(methods or ()) - set(METHODS)):
            raise DatasetError(f"--method {strange[0]}: expected one of {', '.join(METHODS)}")
        return (*(cls(*read_rules(path, METHODS)) for path in files or ()), *map(cls, dict.fromkeys(methods or ())))


@dataclass(frozen=True)
class Plan:
    """What shall be held against what.

    Attributes:
        measured: The set that is measured on, with the model's classes.
        read: Reads a split of the development set, likewise.
        development: Its folder and split. file_format: As it was asked for.
        kinds: The rules' name of a class to the model's.
        reference_parts: Good parts of a golden reference.
        score: The model's; None: the bundle's. tune_score: Choose it on the development split.
    """

    measured: Dataset
    read: Callable[[str | None], Dataset]
    development: tuple[Path, str]
    file_format: str
    entries: tuple[Entry, ...]
    kinds: Mapping[str, str]
    budget: Budget
    reference_parts: int
    score: float | None = None
    tune_score: bool = False


def hold(bundle: ModelBundle, plan: Plan, machine: dict[str, Any], bar: Bar) -> tuple[list[Rival], dict[str, Any]]:
    """Carry a contest out.

    Args:
        machine: Describes the machine, for the report.
    Returns:
        Each rival's result, and the JSON form of all.
    Raises:
        DatasetError, ModelError, ConfigError: What can't be read, judged or tuned.
    """
    folder, split = plan.development
    there = splits_of(folder, file_format=plan.file_format)
    wanted = split if there else None
    if (folder, wanted) == (plan.measured.folder, plan.measured.split):
        raise DatasetError(
            f"data set {folder}: rules tuned on what they are measured on would look better than they are; "
            "expected another split (--tune-split) or another set (--tune-data)"
        )
    development = plan.read(wanted)
    score = plan.score
    if plan.tune_score:
        with bar(f"{bundle.name}: score") as progress:
            score = model_score_on(bundle, development, progress)
    with bar(bundle.name) as progress:
        contest = Contest(bundle, plan.measured, score=score, progress=progress)
    entries = plan.entries or tuple(map(Entry, suitable(plan.measured.file_format)))
    good, notes = _reference_images(plan, development, there) if _needs_reference(entries) else ((), ())
    rivals = []
    for entry in entries:
        rules = Rules.of(make_method(entry.method, good), bundle.class_names, dict(plan.kinds), entry.parameters)
        is_golden = entry.method == Golden.name
        tuned_on = [image for image in development.images if not is_golden or image not in good]
        with bar(f"tuning: {rules.method.title}") as progress:
            rivals.append(
                contest.against(
                    rules,
                    tuned_on if entry.parameters is None else None,
                    plan.budget,
                    notes if is_golden else (),
                    progress,
                )
            )
    told = {
        "model": {"name": bundle.name, "contract_sha256": bundle.contract_sha256, "score": contest.score},
        "dataset": {
            "path": str(plan.measured.folder),
            "format": plan.measured.file_format,
            "split": plan.measured.split,
            "notes": list(plan.measured.notes),
        },
        "development": {"path": str(development.folder), "split": development.split},
        "rendered": is_rendered(plan.measured.folder),
        "machine": machine,
        "rivals": [rival.figures() for rival in rivals],
    }
    return rivals, told


def _needs_reference(entries: Sequence[Entry]) -> bool:
    return any(entry.method == Golden.name for entry in entries)


def _reference_images(
    plan: Plan, development: Dataset, splits: Sequence[str]
) -> tuple[tuple[LabelledImage, ...], tuple[str, ...]]:
    """Take good parts of the training split, as the model did; without one, of the development split."""
    is_trained_on = "train" in splits and development.split != "train"
    source = plan.read("train") if is_trained_on else development
    good = tuple(image for image in source.images if image.is_ok)[: plan.reference_parts]
    kept = "" if is_trained_on else ", which the tuning didn't see"
    return good, (f"golden reference: the first {len(good)} good parts of split {source.split or 'all'}{kept}",)
