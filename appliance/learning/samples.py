"""Take a few parts of the test groups as sample images: `python -m appliance.learning.samples --help`.

The choice looks at names only: evenly spaced in sorted order, then shuffled with a fixed seed. How well a
model does plays no part in it.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from appliance.errors import ApplianceError, ExitCode
from appliance.learning.datasets import LabelledImage, read_dataset
from appliance.learning.datasets.deeppcb import CLASS_NAMES

SHUFFLE_SEED = 1


def main(arguments: Sequence[str] | None = None) -> int:
    """Parse, choose, copy; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m appliance.learning.samples", description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="a DeepPCB checkout")
    parser.add_argument("--out", type=Path, required=True, help="folder for the images and truth.json")
    parser.add_argument("--ng", type=int, default=40, help="parts with defects")
    parser.add_argument("--ok", type=int, default=20, help="clean parts")
    options = parser.parse_args(arguments)
    try:
        images = read_dataset(options.data, file_format="deeppcb", split="test").images
        write_samples(choose(images, options.ng, options.ok), options.out)
    except ApplianceError as error:
        print(f"error: {error}", file=sys.stderr)
        return int(error.exit_code)
    return int(ExitCode.OK)


def choose(parts: Sequence[LabelledImage], ng_count: int, ok_count: int) -> list[LabelledImage]:
    """Choose evenly spaced parts of each kind, in a fixed irregular order."""
    chosen: list[LabelledImage] = []
    for is_ok, amount in ((False, ng_count), (True, ok_count)):
        kind = [part for part in parts if part.is_ok == is_ok]
        places = np.linspace(0, len(kind) - 1, min(amount, len(kind))).round().astype(int)
        chosen += [kind[place] for place in places]
    return [chosen[place] for place in np.random.default_rng(SHUFFLE_SEED).permutation(len(chosen))]


def write_samples(parts: Sequence[LabelledImage], folder: Path) -> None:
    """Copy the original files, numbered in the order given, and write `truth.json`."""
    folder.mkdir(parents=True, exist_ok=True)
    truth: dict[str, Any] = {}
    for number, part in enumerate(parts, start=1):
        file = f"{number:04d}_{part.path.name}"
        shutil.copyfile(part.path, folder / file)
        defects = [
            {"class_name": CLASS_NAMES[class_id], "box_px": [int(x) for x in box]}
            for box, class_id in zip(part.boxes, part.class_ids, strict=True)
        ]
        truth[file] = {"verdict": "OK" if part.is_ok else "NG", "defects": defects}
    rows = (f"{json.dumps(file)}: {json.dumps(row)}" for file, row in truth.items())
    (folder / "truth.json").write_text("{\n" + ",\n".join(rows) + "\n}\n", encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
