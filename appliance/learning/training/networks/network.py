"""What a network must offer to be trained, checked and exported by the one loop."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence

from torch import Tensor, nn

Truth = Sequence[tuple[Tensor, Tensor]]
"""For each picture of a batch its boxes (G, 4) float32 xyxy px and classes (G,) int64."""


class Network(nn.Module):
    """Grey pictures in, defects out.

    Attributes:
        family: The decode family of what `exported` returns.
    """

    family: str

    @abstractmethod
    def loss(self, images: Tensor, truth: Truth) -> Tensor:
        """Return what training minimises: a scalar. `images` is (N, 1, H, W) in 0..1; the loop has set up autocast."""

    @abstractmethod
    def exported(self) -> nn.Module:
        """Return the network as the appliance runs it.

        (N, 1, H, W) uint8 to (N, 4 + C, A) float32: cx cy w h in input px, then finished class scores in 0..1.
        """
