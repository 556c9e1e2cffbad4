"""How much a limited child may take."""

from dataclasses import dataclass

COPIES = 6
"""A network is held several times while it is loaded: as bytes, parsed, checked, in ONNX Runtime, rearranged there."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What a child is held to; the defaults suit models of up to some hundred megabytes.

    Attributes:
        memory_mb: Address space beyond what it has after its imports and beyond `COPIES` times its input, MiB.
        cpu_s: CPU time for its function, of all threads together.
        wall_s: Time for its function, on the wall clock.
        reply_mb: Largest answer with all blobs, MiB.
        uses_devices: It works on a GPU: drivers map far more than any limit and write to device files, so address
            space and writing are left unconfined.
        gives_way: It takes a tenth of the CPU that others take: for a machine whose line is running. On a busy machine
            it then takes long.
    """

    memory_mb: int = 4096
    cpu_s: int = 120
    wall_s: float = 120.0
    reply_mb: int = 256
    uses_devices: bool = False
    gives_way: bool = False
