"""ONNX Runtime on a network that isn't a bundle yet. What somebody brought is only ever run in a limited child."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from appliance.errors import ImportRefused
from appliance.modelling.session import one_line

_MAX_THREADS = 4


class ForeignSession:
    """A network as its file describes it, on the CPU."""

    def __init__(self, onnx_bytes: bytes) -> None:
        """Load it.

        Raises:
            ImportRefused: ONNX Runtime doesn't take it.
        """
        options = ort.SessionOptions()
        options.intra_op_num_threads = min(_MAX_THREADS, os.cpu_count() or 1)
        options.inter_op_num_threads = 1
        options.log_severity_level = 4  # every error is raised, and told once
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        try:
            # Without enable_fallback=0 a refused network is tried a second time, with words of ORT's own on stdout.
            self._session = ort.InferenceSession(
                onnx_bytes, options, providers=["CPUExecutionProvider"], enable_fallback=0
            )
        except Exception as error:  # ONNX Runtime's errors share no base class but Exception
            raise ImportRefused(f"ONNX Runtime {ort.__version__} refuses the network: {one_line(error)}") from error
        self.output_names = [output.name for output in self._session.get_outputs()]

    def output_shapes(self) -> list[tuple[int | str | None, ...]]:
        """Shapes as far as ONNX Runtime can tell them without a run."""
        return [tuple(output.shape) for output in self._session.get_outputs()]

    def run(self, feeds: Mapping[str, NDArray[Any]]) -> list[NDArray[Any]]:
        """Run once.

        Raises:
            ImportRefused: The network fails on this input, or answers with something else than tensors.
        """
        try:
            outputs: list[NDArray[Any]] = self._session.run(None, dict(feeds))
        except Exception as error:  # as above
            raise ImportRefused(f"the network fails on a picture of its own input size: {one_line(error)}") from error
        for name, output in zip(self.output_names, outputs, strict=True):
            if not isinstance(output, np.ndarray) or output.dtype == object:
                raise ImportRefused(f"output '{name}' is no tensor of numbers; export the network without it")
        return outputs
