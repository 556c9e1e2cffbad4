"""Networks `nano`, `fine` and `small`: an anchor-free convolutional detector, written out in full.

Two detection levels (stride 8 and 16) suit defects of about 15 to 200 pixels in a 640 pixel frame; `fine` has a third
one at stride 4, for defects of a few pixels.
ReLU and channel counts that are multiples of 16 are chosen for the box: ONNX Runtime fuses
convolution and ReLU, and its CPU kernels work on blocks of 16 channels.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from appliance.learning.training.networks.loss import detection_loss
from appliance.learning.training.networks.network import Network, Truth
from appliance.learning.training.plan import Plan

FINEST_PX = 4
RARITY = 1e-3  # share of candidates that show a given class: where scores start, so that early steps are calm


@dataclass(frozen=True)
class Layout:
    """Channel counts at stride 4, 8, 16 and 32, and the strides in px at which defects are looked for, finest first."""

    at_4: int = 32
    at_8: int = 48
    at_16: int = 96
    at_32: int = 128
    strides_px: tuple[int, ...] = (8, 16)

    def at(self, stride_px: int) -> int:
        """Return the channel count at a stride."""
        return {4: self.at_4, 8: self.at_8, 16: self.at_16, 32: self.at_32}[stride_px]


NANO = Layout()
FINE = Layout(strides_px=(4, 8, 16))
SMALL = Layout(at_4=32, at_8=64, at_16=128, at_32=192)


def build(plan: Plan) -> Network:
    """Make network `nano`."""
    return Detector(len(plan.class_names), NANO)


def build_fine(plan: Plan) -> Network:
    """Make network `fine`: for defects of a few pixels."""
    return Detector(len(plan.class_names), FINE)


def build_small(plan: Plan) -> Network:
    """Make network `small`: for textures, where the silhouette alone doesn't tell."""
    return Detector(len(plan.class_names), SMALL)


class ConvUnit(nn.Sequential):
    """Convolution, batch normalisation, ReLU."""

    def __init__(self, inputs: int, outputs: int, kernel: int = 3, stride: int = 1, groups: int = 1) -> None:
        super().__init__(
            nn.Conv2d(inputs, outputs, kernel, stride, (kernel - 1) // 2, groups=groups, bias=False),
            nn.BatchNorm2d(outputs, eps=1e-3, momentum=0.03),
            nn.ReLU(inplace=True),
        )


class SplitBlock(nn.Module):
    """Half of the channels pass through `depth` residual pairs of 3x3 convolutions, then all are mixed."""

    def __init__(self, inputs: int, outputs: int, depth: int = 1) -> None:
        super().__init__()
        half = outputs // 2
        self.enter = ConvUnit(inputs, outputs, kernel=1)
        self.pairs = nn.ModuleList(nn.Sequential(ConvUnit(half, half), ConvUnit(half, half)) for _ in range(depth))
        self.leave = ConvUnit(outputs + depth * half, outputs, kernel=1)

    def forward(self, features: Tensor) -> Tensor:
        """Map (N, inputs, H, W) to (N, outputs, H, W)."""
        parts = list(self.enter(features).chunk(2, dim=1))
        for pair in self.pairs:
            parts.append(parts[-1] + pair(parts[-1]))
        return self.leave(torch.cat(parts, dim=1))


class PyramidPool(nn.Module):
    """Three chained 5x5 max pools: context from far away at stride 32."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.enter = ConvUnit(channels, channels // 2, kernel=1)
        self.pool = nn.MaxPool2d(5, stride=1, padding=2)
        self.leave = ConvUnit(channels * 2, channels, kernel=1)

    def forward(self, features: Tensor) -> Tensor:
        """Keep the shape."""
        parts = [self.enter(features)]
        for _ in range(3):
            parts.append(self.pool(parts[-1]))
        return self.leave(torch.cat(parts, dim=1))


class Backbone(nn.Module):
    """Grey image to features at stride 4, 8, 16 and 32.

    The first convolution (6x6, stride 4) is a space-to-depth of 2x2 followed by a 3x3 of stride 2, in one
    operation: every pixel is seen, none is averaged away, and the work is that of a quarter of the side.
    """

    def __init__(self, layout: Layout) -> None:
        super().__init__()
        self.stem = nn.Sequential(
            nn.Conv2d(1, layout.at_4, 6, 4, 1, bias=False),
            nn.BatchNorm2d(layout.at_4, eps=1e-3, momentum=0.03),
            nn.ReLU(inplace=True),
        )
        self.to_8 = nn.Sequential(
            ConvUnit(layout.at_4, layout.at_8, stride=2), SplitBlock(layout.at_8, layout.at_8, depth=2)
        )
        self.to_16 = nn.Sequential(
            ConvUnit(layout.at_8, layout.at_16, stride=2), SplitBlock(layout.at_16, layout.at_16, depth=2)
        )
        self.to_32 = nn.Sequential(
            ConvUnit(layout.at_16, layout.at_32, stride=2),
            SplitBlock(layout.at_32, layout.at_32),
            PyramidPool(layout.at_32),
        )

    def forward(self, images: Tensor) -> dict[int, Tensor]:
        """Map (N, 1, H, W) in 0..1 to features by their stride in px."""
        at_4 = self.stem(images)
        at_8 = self.to_8(at_4)
        at_16 = self.to_16(at_8)
        return {4: at_4, 8: at_8, 16: at_16, 32: self.to_32(at_16)}


class NeckStep(nn.Module):
    """Bring far-sighted features down to the next finer stride; `mix` makes what then mixes both."""

    def __init__(self, coarse: int, narrowed: int, fine: int, mix: Callable[[int, int], nn.Module]) -> None:
        super().__init__()
        self.narrow = ConvUnit(coarse, narrowed, kernel=1)
        self.up = nn.Upsample(scale_factor=2, mode="nearest")
        self.mix = mix(fine + narrowed, fine)

    def forward(self, coarse: Tensor, fine: Tensor) -> Tensor:
        """Return features of the shape of `fine`."""
        return self.mix(torch.cat([fine, self.up(self.narrow(coarse))], dim=1))


class Neck(nn.Module):
    """Bring the far-sighted features back down to the finest stride that defects are looked for at."""

    def __init__(self, layout: Layout) -> None:
        super().__init__()
        self.strides_px = layout.strides_px
        self.steps = nn.ModuleDict()
        for stride in reversed(layout.strides_px):
            mix = ConvUnit if stride == FINEST_PX else SplitBlock  # most pixels are there: one convolution has to do
            narrowed = layout.at(stride) if stride == 8 else layout.at(stride) // 2
            self.steps[str(stride)] = NeckStep(layout.at(2 * stride), narrowed, layout.at(stride), mix)

    def forward(self, features: dict[int, Tensor]) -> list[Tensor]:
        """Return the features that the heads read, finest first."""
        mixed, levels = features[32], []
        for stride, step in self.steps.items():
            mixed = step(mixed, features[int(stride)])
            levels.append(mixed)
        return levels[::-1]


class Head(nn.Module):
    """Separate branches for "what" and "where" on one level."""

    def __init__(self, channels: int, class_count: int) -> None:
        super().__init__()
        self.what = self._branch(channels, class_count)
        self.where = self._branch(channels, 4)
        _start_calmly(self.what[-1], self.where[-1])

    @staticmethod
    def _branch(channels: int, outputs: int) -> nn.Sequential:
        return nn.Sequential(
            ConvUnit(channels, channels, kernel=3, groups=channels),
            ConvUnit(channels, channels, kernel=1),
            ConvUnit(channels, channels, kernel=3, groups=channels),
            ConvUnit(channels, channels, kernel=1),
            nn.Conv2d(channels, outputs, 1),
        )

    def forward(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """Return class logits (N, C, A) and raw side distances (N, 4, A) of this level."""
        return self.what(features).flatten(2), self.where(features).flatten(2)


class FinestHead(nn.Module):
    """The head at stride 4: one convolution for "what" and "where" together."""

    def __init__(self, channels: int, class_count: int) -> None:
        super().__init__()
        self.enter = ConvUnit(channels, channels)
        self.what = nn.Conv2d(channels, class_count, 1)
        self.where = nn.Conv2d(channels, 4, 1)
        _start_calmly(self.what, self.where)

    def forward(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """Return class logits (N, C, A) and raw side distances (N, 4, A) of this level."""
        shared = self.enter(features)
        return self.what(shared).flatten(2), self.where(shared).flatten(2)


def _start_calmly(what: nn.Conv2d, where: nn.Conv2d) -> None:
    """Let the first outputs say: hardly ever a defect, and of a common size."""
    assert what.bias is not None
    assert where.bias is not None
    nn.init.constant_(what.bias, -math.log((1 - RARITY) / RARITY))
    nn.init.constant_(where.bias, 0.7)


class Detector(Network):
    """Grey images to class logits and boxes, one candidate for each grid cell of each level."""

    family = "yolov8"

    def __init__(self, class_count: int, layout: Layout) -> None:
        super().__init__()
        self.class_count = class_count
        self.strides_px = layout.strides_px
        self.backbone = Backbone(layout)
        self.neck = Neck(layout)
        self.heads = nn.ModuleList(
            (FinestHead if stride == FINEST_PX else Head)(layout.at(stride), class_count)
            for stride in layout.strides_px
        )

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Return logits (N, C, A) and xyxy boxes (N, 4, A) in input pixels, both float32."""
        levels = self.neck(self.backbone(images))
        outputs = [head(level) for head, level in zip(self.heads, levels, strict=True)]
        logits = torch.cat([what for what, _ in outputs], dim=2).float()
        raw = torch.cat([where for _, where in outputs], dim=2).float()
        centres, strides = anchor_grid([(int(x.shape[2]), int(x.shape[3])) for x in levels], self.strides_px)
        return logits, boxes_from_sides(raw, centres.to(raw.device), strides.to(raw.device))

    def loss(self, images: Tensor, truth: Truth) -> Tensor:
        """Return class and box error of one batch."""
        logits, boxes = self(images)
        height, width = images.shape[2:]
        centres, _ = anchor_grid([(height // stride, width // stride) for stride in self.strides_px], self.strides_px)
        return detection_loss(logits, boxes, centres.to(logits.device), truth)

    def exported(self) -> nn.Module:
        """Return the network with uint8 in and YOLOv8-style rows out."""
        return ExportedDetector(self)


def anchor_grid(shapes: Sequence[tuple[int, int]], strides_px: Sequence[int]) -> tuple[Tensor, Tensor]:
    """Return cell centres (2, A) as x, y in px and strides (1, A) in px, level after level."""
    centres, strides = [], []
    for (height, width), stride_px in zip(shapes, strides_px, strict=True):
        ys, xs = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
        cell = torch.stack([xs, ys]).reshape(2, -1).float()
        centres.append((cell + 0.5) * stride_px)
        strides.append(torch.full((1, height * width), float(stride_px)))
    return torch.cat(centres, dim=1), torch.cat(strides, dim=1)


def boxes_from_sides(raw: Tensor, centres: Tensor, strides: Tensor) -> Tensor:
    """Turn raw outputs into xyxy: softplus makes each side's distance from the centre positive."""
    sides = nn.functional.softplus(raw) * 2.0 * strides
    return torch.cat([centres - sides[:, :2], centres + sides[:, 2:]], dim=1)


class ExportedDetector(nn.Module):
    """The detector as the appliance runs it: uint8 in, YOLOv8-style `[N, 4 + C, A]` out."""

    def __init__(self, detector: Detector) -> None:
        super().__init__()
        self.detector = detector

    def forward(self, images: Tensor) -> Tensor:
        """Map (N, 1, H, W) uint8 to (N, 4 + C, A): cx cy w h in input px, then class scores in 0..1."""
        logits, boxes = self.detector(images.float() * (1.0 / 255.0))
        low, high = boxes[:, :2], boxes[:, 2:]
        return torch.cat([(low + high) * 0.5, high - low, logits.sigmoid()], dim=1)
