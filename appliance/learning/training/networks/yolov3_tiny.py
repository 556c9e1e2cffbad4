"""Networks `yolov3-tiny` and `yolov3-tiny-relu`: Darknet's layout, for whoever comes from YOLOv3.

Source: darknet, cfg/yolov3-tiny.cfg; Redmon and Farhadi, "YOLOv3: An Incremental Improvement", 2018. One grey channel
in place of three. The second name has ReLU for leaky ReLU: in INT8 it is part of the convolution's rounding, while
each leaky one is an operation of its own.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn

from appliance.learning.training.networks.network import Network, Truth
from appliance.learning.training.networks.yolov3_loss import yolov3_loss
from appliance.learning.training.plan import Plan

STRIDES_PX = (16, 32)
PER_CELL = 3
PUBLISHED_PX, PUBLISHED = 416, ((10, 14), (23, 27), (37, 58), (81, 82), (135, 169), (344, 319))
"""Anchors of the cfg, and the input that they are for."""
RARITY = 1e-3
"""Share of candidates that show a defect: where objectness starts, so that early steps are calm."""
_LARGEST_POWER = 8.0
"""Of e, for sizes: 3000 times an anchor is beyond every picture, and not infinite."""


def build(plan: Plan) -> Network:
    """Make network `yolov3-tiny`."""
    return YoloV3Tiny(len(plan.class_names), _anchors(plan), is_leaky=True)


def build_relu(plan: Plan) -> Network:
    """Make network `yolov3-tiny-relu`."""
    return YoloV3Tiny(len(plan.class_names), _anchors(plan), is_leaky=False)


def _anchors(plan: Plan) -> tuple[tuple[float, float], ...]:
    scale = max(plan.width_px, plan.height_px) / PUBLISHED_PX
    return plan.anchors or tuple((width * scale, height * scale) for width, height in PUBLISHED)


class YoloV3Tiny(Network):
    """Grey images to rows (tx, ty, tw, th, objectness, classes), three for each cell of strides 16 and 32.

    Attributes:
        anchors: (6, 2) width and height in px, the smaller three for stride 16.
    """

    family = "yolov3"
    anchors: Tensor

    def __init__(self, class_count: int, anchors: Sequence[tuple[float, float]], *, is_leaky: bool) -> None:
        super().__init__()
        if len(anchors) != PER_CELL * len(STRIDES_PX):
            raise ValueError(f"expected {PER_CELL * len(STRIDES_PX)} anchors, got {len(anchors)}")
        in_order = sorted(anchors, key=lambda one: one[0] * one[1])
        self.class_count = class_count
        self.register_buffer("anchors", torch.tensor(in_order, dtype=torch.float32))
        row = PER_CELL * (5 + class_count)

        def unit(inputs: int, outputs: int, kernel: int) -> nn.Sequential:
            return _unit(inputs, outputs, kernel, is_leaky=is_leaky)

        steps: list[nn.Module] = []
        for inputs, outputs in pairwise((1, 16, 32, 64, 128)):
            steps += [unit(inputs, outputs, 3), nn.MaxPool2d(2)]
        self.to_16 = nn.Sequential(*steps, unit(128, 256, 3))
        self.to_32 = nn.Sequential(
            nn.MaxPool2d(2), unit(256, 512, 3), nn.ReplicationPad2d((0, 1, 0, 1)), nn.MaxPool2d(2, stride=1),
            unit(512, 1024, 3), unit(1024, 256, 1),
        )  # fmt: skip
        self.head_32 = nn.Sequential(unit(256, 512, 3), nn.Conv2d(512, row, 1))
        self.route = nn.Sequential(unit(256, 128, 1), nn.Upsample(scale_factor=2, mode="nearest"))
        self.head_16 = nn.Sequential(unit(128 + 256, 256, 3), nn.Conv2d(256, row, 1))
        for head in (self.head_16, self.head_32):
            nn.init.zeros_(head[-1].bias)
            with torch.no_grad():
                head[-1].bias.view(PER_CELL, -1)[:, 4].fill_(-math.log((1 - RARITY) / RARITY))

    def forward(self, images: Tensor) -> Tensor:
        """Map (N, 1, H, W) in 0..1 to raw rows (N, A, 5 + C) float32: stride 16 first; rows, columns, anchors."""
        at_16 = self.to_16(images)
        at_32 = self.to_32(at_16)
        maps = (self.head_16(torch.cat([self.route(at_32), at_16], dim=1)), self.head_32(at_32))
        return torch.cat([self._rows(one) for one in maps], dim=1)

    def _rows(self, one: Tensor) -> Tensor:
        count, _, height, width = one.shape
        rows = one.reshape(count, PER_CELL, 5 + self.class_count, height, width).permute(0, 3, 4, 1, 2)
        return rows.reshape(count, height * width * PER_CELL, 5 + self.class_count).float()

    def boxes(self, rows: Tensor, size_px: tuple[int, int]) -> Tensor:
        """Decode raw rows (N, A, 5 + C) to (N, A, 4) cx cy w h in px; `size_px` is height and width of the input."""
        cells, strides, anchors = self.grid(size_px)
        centres = (rows[..., :2].sigmoid() + cells) * strides
        return torch.cat([centres, rows[..., 2:4].clamp(max=_LARGEST_POWER).exp() * anchors], dim=-1)

    def grid(self, size_px: tuple[int, int]) -> tuple[Tensor, Tensor, Tensor]:
        """Return cells (A, 2) as x, y, strides (A, 1) and anchors (A, 2) in px, in the order of the rows."""
        cells, strides, anchors = [], [], []
        for level, stride in enumerate(STRIDES_PX):
            height, width = size_px[0] // stride, size_px[1] // stride
            ys, xs = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
            cell = torch.stack([xs, ys], dim=-1).reshape(-1, 1, 2).expand(-1, PER_CELL, 2).reshape(-1, 2)
            cells.append(cell.float().to(self.anchors.device))
            strides.append(torch.full((len(cell), 1), float(stride), device=self.anchors.device))
            anchors.append(self.anchors[level * PER_CELL : (level + 1) * PER_CELL].repeat(height * width, 1))
        return torch.cat(cells), torch.cat(strides), torch.cat(anchors)

    def loss(self, images: Tensor, truth: Truth) -> Tensor:
        """Return objectness, class and box error of one batch."""
        size_px = (int(images.shape[2]), int(images.shape[3]))
        rows = self(images)
        cells, strides, anchors = self.grid(size_px)
        return yolov3_loss(rows, self.boxes(rows, size_px), (cells * strides, strides, anchors), truth)

    def exported(self) -> nn.Module:
        """Return the network with uint8 in and finished rows out."""
        return ExportedYoloV3(self)


class ExportedYoloV3(nn.Module):
    """The network as the appliance runs it: grid maths and the product of objectness and class are inside."""

    def __init__(self, network: YoloV3Tiny) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: Tensor) -> Tensor:
        """Map (N, 1, H, W) uint8 to (N, 4 + C, A): cx cy w h in input px, then scores in 0..1."""
        rows = self.network(images.float() * (1.0 / 255.0))
        boxes = self.network.boxes(rows, (int(images.shape[2]), int(images.shape[3])))
        scores = rows[..., 4:5].sigmoid() * rows[..., 5:].sigmoid()
        return torch.cat([boxes, scores], dim=-1).transpose(1, 2)


def _unit(inputs: int, outputs: int, kernel: int, *, is_leaky: bool) -> nn.Sequential:
    """Convolution, batch normalisation, activation."""
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, kernel, padding=kernel // 2, bias=False),
        nn.BatchNorm2d(outputs, eps=1e-3, momentum=0.03),
        nn.LeakyReLU(0.1, inplace=True) if is_leaky else nn.ReLU(inplace=True),
    )
