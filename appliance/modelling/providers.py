"""Execution providers: what ONNX Runtime may run a network with, and how a box gets each of them.

The distributions of ONNX Runtime all bring the same Python package, so that only one of them can be installed at a
time: `make setup PROVIDER=…` puts one in another's place.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from appliance.errors import ModelError

CPU = "CPUExecutionProvider"


@dataclass(frozen=True)
class Provider:
    """One execution provider.

    Attributes:
        name: ONNX Runtime's name for it.
        word: The short one, for command lines.
        setup: What `make setup PROVIDER=` takes for it.
        distribution: The package on PyPI that brings it.
        behind: Providers that take what it can't, before the CPU does.
        options: ONNX Runtime's options for it, where its own defaults aren't ours; the configuration's go over them.
        threads_option: The option that says how many threads it may start.
        uses_devices: Whether it works through a driver's device files.
    """

    name: str
    word: str
    setup: str
    distribution: str
    behind: tuple[str, ...] = ()
    options: dict[str, str] = field(default_factory=dict)
    threads_option: str | None = None
    uses_devices: bool = False

    @property
    def fix(self) -> str:
        """How to get it, for an error's message."""
        return (
            f"`make setup PROVIDER={self.setup}` installs {self.distribution}, which has it; or set "
            f"inspector.execution_provider"
        )


PROVIDERS = {
    provider.name: provider
    for provider in (
        Provider(CPU, "cpu", "cpu", "onnxruntime"),
        Provider(
            "OpenVINOExecutionProvider",
            "openvino",
            "openvino",
            "onnxruntime-openvino",
            # Left alone it computes in bfloat16 where the processor can: other scores than the golden ones.
            options={"device_type": "CPU", "precision": "ACCURACY"},
            threads_option="num_of_threads",
        ),
        Provider("CUDAExecutionProvider", "cuda", "cuda", "onnxruntime-gpu", uses_devices=True),
        Provider(
            "TensorrtExecutionProvider",
            "tensorrt",
            "cuda",
            "onnxruntime-gpu",
            behind=("CUDAExecutionProvider",),
            uses_devices=True,
        ),
    )
}


def provider_of(name: str) -> Provider:
    """Find a provider by ONNX Runtime's name or by the short word.

    Raises:
        ModelError: Unknown.
    """
    for provider in PROVIDERS.values():
        if name in {provider.name, provider.word}:
            return provider
    words = ", ".join(provider.word for provider in PROVIDERS.values())
    raise ModelError(f"execution provider {name!r} is unknown; known are {words}")
