"""ONNX Runtime behind one door: a detector's network, loaded from verified bytes, that reads pixels where they lie."""

import os
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from appliance.errors import ModelContractMismatch, ModelError
from appliance.modelling.bundle import ModelBundle
from appliance.modelling.families import OutputShapes
from appliance.modelling.providers import CPU, PROVIDERS, Provider, provider_of

_WARM_UP_RUNS = 2  # the first run of a size allocates its memory; the second shows the time it takes


def default_threads() -> int:
    """Give ONNX Runtime all cores but one: grabber and publisher need theirs."""
    return max(1, (os.cpu_count() or 1) - 1)


def available_providers() -> list[str]:
    """Name the providers that this ONNX Runtime has and we know; whether one starts shows only when it is used."""
    return [name for name in PROVIDERS if name in ort.get_available_providers()]


def runtime_version() -> str:
    """Name ONNX Runtime and its version."""
    return f"onnxruntime {ort.__version__}"


class ModelSession:
    """One network, ready to run. Single-threaded: one owner, the inspector's loop.

    Attributes:
        provider: The execution provider that is live.
        threads: Threads within one operator, ONNX Runtime's `intra_op_num_threads`.
        output_shapes: Output name to shape, in the network's order; a free dimension is a name or None.
        nodes_by_provider: How many nodes each provider took; empty for the CPU's, which takes all.
    """

    def __init__(
        self,
        bundle: ModelBundle,
        *,
        provider: str,
        threads: int | None = None,
        max_batch: int = 1,
        provider_options: Mapping[str, str] | None = None,
    ) -> None:
        """Load the network and hold it against the bundle's contract; `warm_up` before the first real frame.

        Args:
            bundle: Gives the very bytes that were hashed.
            provider: Execution provider that must be live; ONNX Runtime's name, or the short one.
            threads: None for all cores but one.
            max_batch: Largest batch that will be run.
            provider_options: ONNX Runtime's options for the provider, over those of `PROVIDERS`.
        Raises:
            ModelError: The provider isn't live or takes no node, or ONNX Runtime refuses the network.
            ModelContractMismatch: The network's input or outputs differ from model.toml.
        """
        chosen = provider_of(provider)
        self.provider = chosen.name
        self.threads = threads or default_threads()
        self.max_batch = max_batch
        self._input = bundle.input
        self.frame_shape = bundle.input.frame_shape
        self._where = f"model {bundle.name}"
        self._session = self._load(bundle.onnx_bytes, chosen, provider_options or {})
        self.nodes_by_provider = self._assigned()
        self.output_shapes: OutputShapes = {output.name: tuple(output.shape) for output in self._session.get_outputs()}
        self._check_input()
        self._check_outputs(bundle)
        self._binding = self._session.io_binding()

    def warm_up(self) -> Iterator[tuple[int, int]]:
        """Run every batch size on grey noise; yields size and the nanoseconds its last run took.

        Raises:
            ModelError: The network fails on valid input, or gives numbers that aren't finite.
        """
        noise = np.random.default_rng(0).integers(64, 192, (self.max_batch, *self.frame_shape), np.uint8)
        for size in range(1, self.max_batch + 1):
            took_ns = 0
            for _ in range(_WARM_UP_RUNS):
                start_ns = time.monotonic_ns()
                outputs = self.run(noise[:size])
                took_ns = time.monotonic_ns() - start_ns
            self._refuse_infinite(outputs)
            yield size, took_ns

    def _refuse_infinite(self, outputs: list[NDArray[np.float32]]) -> None:
        for name, output in zip(self.output_shapes, outputs, strict=True):
            if not np.isfinite(output).all():
                raise ModelError(
                    f"{self._where}: output '{name}' holds NaN or infinite values for an ordinary image (grey noise); "
                    f"such frames could never be judged: export the model anew"
                )

    def run(self, batch: NDArray[np.uint8]) -> list[NDArray[np.float32]]:
        """Run the network once, reading the batch where it lies: no copy is made of it.

        Args:
            batch: (N, C, H, W) or (N, H, W, C) uint8 as the bundle's layout says, C-contiguous, 1 <= N <= max_batch;
                may be read-only. Borrowed until return; read where it lies, unless a fixed batch needs padding.
        Returns:
            One array per output, in the order of `output_shapes`, owned by the caller.
        Raises:
            ModelContractMismatch: The batch has another shape or type.
            ModelError: ONNX Runtime failed.
        """
        if batch.dtype != np.uint8 or batch.shape[1:] != self.frame_shape or not batch.flags.c_contiguous:
            raise ModelContractMismatch(
                f"{self._where}: expected a contiguous uint8 batch (N, {', '.join(map(str, self.frame_shape))}), "
                f"got {batch.shape} {batch.dtype}"
            )
        try:
            if self._input.batch:
                return self._run_fixed(batch)
            self._bind(batch)
            return self._run_bound()
        except Exception as error:  # ONNX Runtime's errors share no base class but Exception
            raise ModelError(f"{self._where}: session run of {len(batch)} frames failed: {one_line(error)}") from error
        finally:
            self._binding.clear_binding_inputs()
            self._binding.clear_binding_outputs()

    def _run_fixed(self, batch: NDArray[np.uint8]) -> list[NDArray[np.float32]]:
        """Run a network of one batch size: as often as needed, the last time filled up with black frames."""
        size, parts = self._input.batch, []
        for first in range(0, len(batch), size):
            part = batch[first : first + size]
            count = len(part)
            if count < size:
                part = np.concatenate([part, np.zeros((size - count, *self.frame_shape), np.uint8)])
            self._bind(part)
            parts.append([output[:count] for output in self._run_bound()])
        return [np.concatenate(outputs) if len(outputs) > 1 else outputs[0] for outputs in zip(*parts, strict=True)]

    def _bind(self, batch: NDArray[np.uint8]) -> None:
        address = batch.__array_interface__["data"][0]
        self._binding.bind_input(self._input.name, "cpu", 0, np.uint8, batch.shape, address)
        for name in self.output_shapes:
            self._binding.bind_output(name)  # anew for each run: the arrays of the last one belong to its caller

    def _run_bound(self) -> list[NDArray[np.float32]]:
        self._session.run_with_iobinding(self._binding)
        return [output.numpy() for output in self._binding.get_outputs()]

    def _load(self, onnx_bytes: bytes, provider: Provider, own_options: Mapping[str, str]) -> Any:
        if provider.name not in (available := ort.get_available_providers()):
            raise ModelError(
                f"execution provider {provider.name} is not in this onnxruntime (it has {', '.join(available)}); "
                f"{provider.fix}"
            )
        options = provider.options | dict(own_options)
        if provider.threads_option is not None:
            options.setdefault(provider.threads_option, str(self.threads))
        try:
            session = ort.InferenceSession(
                onnx_bytes,
                self._session_options(),
                providers=[(provider.name, options), *provider.behind],
                enable_fallback=0,  # else its Python part tries the CPU's after any failure, and prints that
            )
        except Exception as error:  # as in `run`
            raise ModelError(
                f"{self._where}: ONNX Runtime {ort.__version__} refuses model.onnx: {one_line(error)}"
            ) from error
        if provider.name not in (live := session.get_providers()):
            raise ModelError(
                f"{self._where}: execution provider {provider.name} did not start, {', '.join(live)} would run; "
                f"check its driver, or set inspector.execution_provider"
            )
        return session

    def _session_options(self) -> ort.SessionOptions:
        options = ort.SessionOptions()
        options.intra_op_num_threads = self.threads
        options.inter_op_num_threads = 1
        options.log_severity_level = 4  # only what is fatal: every other error is raised, and told once by us
        # A spinning thread pool starves the grabber on a small box and raises everyone's worst latency.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        if self.provider != CPU:
            options.add_session_config_entry("session.record_ep_graph_assignment_info", "1")
        return options

    def _assigned(self) -> dict[str, int]:
        """Count which provider took how many nodes: "live" alone may mean that it took none."""
        if self.provider == CPU:
            return {}
        counts: Counter[str] = Counter()
        for part in self._session.get_provider_graph_assignment_info():
            counts[part.ep_name] += len(part.get_nodes())
        if not counts[self.provider]:
            raise ModelError(
                f"{self._where}: execution provider {self.provider} takes none of the network's nodes, all would run "
                f"on {', '.join(counts)}; set inspector.execution_provider, or export the model otherwise"
            )
        return dict(counts)

    def _check_input(self) -> None:
        expected = f"'{self._input.name}' tensor(uint8) (N, {', '.join(map(str, self.frame_shape))})"
        found = [f"'{one.name}' {one.type} {tuple(one.shape)}" for one in self._session.get_inputs()]
        inputs = self._session.get_inputs()
        fits = len(inputs) == 1 and (inputs[0].name, inputs[0].type) == (self._input.name, "tensor(uint8)")
        if not fits or not _matches(inputs[0].shape[1:], self.frame_shape):
            raise ModelContractMismatch(f"{self._where}: expected one input {expected}, got {', '.join(found)}")
        batch = inputs[0].shape[0]
        fixed = batch if isinstance(batch, int) else 0
        if fixed != self._input.batch:
            raise ModelContractMismatch(
                f"{self._where}: model.toml says batch {self._input.batch or 'free'}, "
                f"the network has {fixed or 'free'}; correct [input] batch"
            )

    def _check_outputs(self, bundle: ModelBundle) -> None:
        promised = [f"'{one.name}' tensor(float) {_fixed(one.shape)}" for one in bundle.outputs]
        found = [f"'{one.name}' {one.type} {_fixed(one.shape)}" for one in self._session.get_outputs()]
        if promised != found:
            raise ModelContractMismatch(
                f"{self._where}: expected outputs {'; '.join(promised)}, got {'; '.join(found)}"
            )


def _matches(found: list[Any], expected: tuple[int, ...]) -> bool:
    """Whether a network's shape takes these sizes: equal, or free."""
    return len(found) == len(expected) and all(
        not isinstance(size, int) or size == wanted for size, wanted in zip(found, expected, strict=True)
    )


def _fixed(shape: Any) -> str:
    """Write a shape; all free dimensions look alike, whatever name they have."""
    return f"({', '.join(str(size) if isinstance(size, int) else '*' for size in shape)})"


def one_line(error: Exception) -> str:
    """Put ONNX Runtime's words, which may be pages, into one line."""
    return " ".join(str(error).split())[:300]
