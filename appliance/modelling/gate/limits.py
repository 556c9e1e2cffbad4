"""How large a model may be."""

from dataclasses import dataclass, field

from appliance.limited import Limits

_MIB = 1 << 20


@dataclass(frozen=True, slots=True)
class GraphLimits:
    """What a network may declare; far beyond any detector for a line, far below what hurts the machine.

    Attributes:
        file_mb: Size of model.onnx, MiB.
        tensor_mb: Any one tensor, stored or computed, MiB.
        nodes: Nodes with all subgraphs, local functions counted as often as they are called.
        depth: Nested subgraphs (If, Loop, Scan).
    """

    file_mb: int = 1024
    tensor_mb: int = 4096
    nodes: int = 100_000
    depth: int = 8

    @property
    def tensor_bytes(self) -> int:
        """The same in bytes."""
        return self.tensor_mb * _MIB


@dataclass(frozen=True, slots=True)
class GateLimits:
    """What the gate holds a model to: its graph, and the child that tries it."""

    graph: GraphLimits = field(default=GraphLimits())
    child: Limits = field(default=Limits())
