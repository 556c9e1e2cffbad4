"""Networks in the making, run by ONNX Runtime: any outputs, no bundle, one thread."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import onnx
import onnxruntime as ort

from appliance.errors import ModelError


def open_session(model: Any, *, is_optimised: bool = True) -> Any:
    """Open a network.

    Args:
        is_optimised: False keeps every node as it is written, so that each tensor can be looked at.
    Raises:
        ModelError: ONNX Runtime refuses it.
    """
    options = _options()
    if not is_optimised:
        options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    return _session(model.SerializeToString(), options)


def folded(model: Any) -> Any:
    """Return the network after ONNX Runtime's basic rewriting: constants computed, normalisation inside convolutions.

    Raises:
        ModelError: ONNX Runtime refuses it.
    """
    options = _options()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_BASIC
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "folded.onnx"
        options.optimized_model_filepath = str(path)
        _session(model.SerializeToString(), options)
        return onnx.load(str(path))


def _options() -> Any:
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.log_severity_level = 4  # what matters is raised
    return options


def _session(content: bytes, options: Any) -> Any:
    try:
        return ort.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # ONNX Runtime's errors share no base class but Exception
        raise ModelError(
            f"ONNX Runtime {ort.__version__} refuses the network: {' '.join(str(error).split())[:300]}"
        ) from error
