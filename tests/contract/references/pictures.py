"""The pictures of tests/cases/models/pictures, in colour, and a foreign file's own answer to one of them."""

from functools import lru_cache
from pathlib import Path

import cv2
import numpy as np
import onnxruntime as ort

CASES = Path(__file__).parents[2] / "cases" / "models"
TINT = np.array([1.0, 0.93, 0.85])  # blue, green, red differ, so that swapped channels show


def pictures():
    """Every picture as BGR; their sizes differ, from one another and mostly from the models' input."""
    for file in sorted((CASES / "pictures").glob("*.png")):
        grey = cv2.imread(str(file), cv2.IMREAD_GRAYSCALE)
        yield file.stem, (grey[..., None] * TINT).round().astype(np.uint8)


def run_file(file, values, **more):
    """Run the file itself, as it came from its library: its outputs, of one picture."""
    session = _session(file)
    return session.run(None, {session.get_inputs()[0].name: values, **more})


@lru_cache(maxsize=4)
def _session(file):
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 4
    return ort.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])
