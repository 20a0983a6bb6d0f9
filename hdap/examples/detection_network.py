"""A small detector of YOLO's kind: C2f blocks, SPPF, three scales, anchor-free decoupled heads.

The parts are those of Jocher et al., "Ultralytics YOLOv8", 2023, written anew; a C2f block splits
its channels with `chunk` and joins what came of the halves.
"""

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional
from torchvision.ops import batched_nms

from hdap.examples.average_precision import Detections

STRIDES = (8, 16, 32)
"""Pixels between the points of a scale."""
PRIOR = 0.01
"""Score that an untrained network gives (Lin et al., "Focal Loss", ICCV 2017, 3.3)."""
CANDIDATES, KEPT = 300, 100
"""Boxes of an image before and after those that overlap are left out."""


class Convolution(nn.Sequential):
    """Convolution, batch norm, SiLU."""

    def __init__(self, inputs: int, outputs: int, size: int = 1, stride: int = 1) -> None:
        super().__init__(
            nn.Conv2d(inputs, outputs, size, stride, size // 2, bias=False),
            nn.BatchNorm2d(outputs),
            nn.SiLU(),
        )


class Bottleneck(nn.Module):
    """Two 3 x 3 convolutions, beside a shortcut where `residual`."""

    def __init__(self, width: int, *, residual: bool) -> None:
        super().__init__()
        self.first, self.second = Convolution(width, width, 3), Convolution(width, width, 3)
        self.residual = residual

    def forward(self, x: Tensor) -> Tensor:
        """`n x width x H x W` -> the same."""
        y: Tensor = self.second(self.first(x))
        return x + y if self.residual else y


class C2f(nn.Module):
    """Half of the channels pass, half go through bottlenecks; all that came of it is joined."""

    def __init__(self, inputs: int, outputs: int, depth: int = 1, *, residual: bool) -> None:
        super().__init__()
        half = outputs // 2
        self.enter = Convolution(inputs, 2 * half)
        self.blocks = nn.ModuleList(Bottleneck(half, residual=residual) for _ in range(depth))
        self.leave = Convolution((2 + depth) * half, outputs)

    def forward(self, x: Tensor) -> Tensor:
        """`n x inputs x H x W` -> `n x outputs x H x W`."""
        parts = list(self.enter(x).chunk(2, 1))
        for block in self.blocks:
            parts.append(block(parts[-1]))
        joined: Tensor = self.leave(torch.cat(parts, 1))
        return joined


class Sppf(nn.Module):
    """Three max pools in a row, what each saw side by side."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.enter, self.leave = Convolution(width, width // 2), Convolution(width * 2, width)
        self.pool = nn.MaxPool2d(5, 1, 2)

    def forward(self, x: Tensor) -> Tensor:
        """`n x width x H x W` -> the same."""
        seen = [self.enter(x)]
        for _ in range(3):
            seen.append(self.pool(seen[-1]))
        joined: Tensor = self.leave(torch.cat(seen, 1))
        return joined


class Head(nn.Module):
    """Boxes and classes of one scale, each by convolutions of its own."""

    def __init__(self, inputs: int, width: int, classes: int) -> None:
        super().__init__()
        self.boxes = nn.Sequential(Convolution(inputs, width, 3), nn.Conv2d(width, 4, 1))
        self.classes = nn.Sequential(Convolution(inputs, width, 3), nn.Conv2d(width, classes, 1))
        nn.init.constant_(self.boxes[-1].get_parameter("bias"), 1.0)
        nn.init.constant_(self.classes[-1].get_parameter("bias"), math.log(PRIOR / (1 - PRIOR)))

    def forward(self, x: Tensor) -> Tensor:
        """`n x inputs x H x W` -> `n x (4 + classes) x H x W`."""
        return torch.cat([self.boxes(x), self.classes(x)], 1)


class Detector(nn.Module):
    """In training mode it gives raw maps, in eval mode boxes in pixels with scores."""

    def __init__(self, classes: int, side: int) -> None:
        super().__init__()
        self.input_shape = (3, side, side)
        w3, w4, w5 = 48, 64, 96
        self.stem = nn.Sequential(Convolution(3, 16, 3, 2), Convolution(16, 32, 3, 2))
        self.stage2 = C2f(32, 32, residual=True)
        self.stage3 = nn.Sequential(Convolution(32, w3, 3, 2), C2f(w3, w3, residual=True))
        self.stage4 = nn.Sequential(Convolution(w3, w4, 3, 2), C2f(w4, w4, residual=True))
        self.stage5 = nn.Sequential(Convolution(w4, w5, 3, 2), C2f(w5, w5, residual=True), Sppf(w5))
        self.up4 = C2f(w5 + w4, w4, residual=False)
        self.up3 = C2f(w4 + w3, w3, residual=False)
        self.to4, self.down4 = Convolution(w3, w3, 3, 2), C2f(w3 + w4, w4, residual=False)
        self.to5, self.down5 = Convolution(w4, w4, 3, 2), C2f(w4 + w5, w5, residual=False)
        self.heads = nn.ModuleList(Head(width, 32, classes) for width in (w3, w4, w5))

    def forward(self, images: Tensor) -> Tensor | list[Tensor]:
        """Of `n x 3 x side x side` in 0..1.

        In training mode three maps `n x (4 + classes) x H x W`; in eval mode `n x points x
        (4 + classes)`: x1, y1, x2, y2 in pixels and a score in 0..1 for each class. Points of one
        object overlap: `detections` leaves out what is double.
        """
        three = self.stage3(self.stage2(self.stem(2.0 * images - 1.0)))
        four = self.stage4(three)
        five = self.stage5(four)
        up4 = self.up4(torch.cat([_doubled(five), four], 1))
        up3 = self.up3(torch.cat([_doubled(up4), three], 1))
        down4 = self.down4(torch.cat([self.to4(up3), up4], 1))
        down5 = self.down5(torch.cat([self.to5(down4), five], 1))
        maps = [head(x) for head, x in zip(self.heads, (up3, down4, down5), strict=True)]
        if self.training:
            return maps
        boxes, logits = decoded(maps)
        return torch.cat([boxes, logits.sigmoid()], 2)


def decoded(maps: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
    """Boxes `n x points x 4` in pixels and logits `n x points x classes` of raw maps."""
    flat = torch.cat([scale.flatten(2) for scale in maps], 2).transpose(1, 2)
    points, strides = grid(maps)
    reach = functional.softplus(flat[..., :4]) * strides[:, None]
    boxes = torch.cat([points - reach[..., :2], points + reach[..., 2:]], 2)
    return boxes, flat[..., 4:]


def grid(maps: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
    """The points of all scales, `points x 2` (x, y in pixels), and their strides, `points`."""
    points, strides = [], []
    for scale, stride in zip(maps, STRIDES, strict=True):
        rows, columns = (
            (torch.arange(n, device=scale.device, dtype=scale.dtype) + 0.5) * stride
            for n in scale.shape[2:]
        )
        y, x = torch.meshgrid(rows, columns, indexing="ij")
        points.append(torch.stack([x, y], 2).flatten(0, 1))
        strides.append(torch.full_like(points[-1][:, 0], stride))
    return torch.cat(points), torch.cat(strides)


def detections(output: Tensor, *, least: float = 0.02, overlap: float = 0.6) -> Detections:
    """What is in one image, of a detector's `points x (4 + classes)`, best first.

    Of boxes of one class that overlap by an IoU above `overlap` the best stays; scores below
    `least` are left out.
    """
    boxes, scores = output[:, :4], output[:, 4:]
    place, label = torch.nonzero(scores > least, as_tuple=True)
    best = scores[place, label].argsort(descending=True, stable=True)[:CANDIDATES]
    place, label = place[best], label[best]
    boxes, found = boxes[place], scores[place, label]
    stay = batched_nms(boxes, found, label, overlap)[:KEPT]
    return Detections(boxes[stay], found[stay], label[stay])


def _doubled(x: Tensor) -> Tensor:
    return functional.interpolate(x, scale_factor=2.0, mode="nearest")
