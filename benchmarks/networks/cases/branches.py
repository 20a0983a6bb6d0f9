"""Channels that are split, concatenated or added on their way."""

from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks.networks.cases.parts import Base, Bott, Head, cbr


class C2f(Base):
    """YOLOv8's block: half of the channels pass, every bottleneck adds its own."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.cv1 = cbr(3, 16), cbr(16, 32, 1)
        self.m = nn.ModuleList(Bott(16) for _ in range(2))
        self.cv2, self.head = cbr(64, 32, 1), Head(32)

    def halves(self, image: Tensor) -> list[Tensor]:
        """Two tensors of 16 channels."""
        return list(self.cv1(self.stem(image)).chunk(2, 1))

    def forward(self, image: Tensor) -> Tensor:
        y = self.halves(image)
        for block in self.m:
            y.append(block(y[-1]))
        return cast(Tensor, self.head(self.cv2(torch.cat(y, 1))))


class C2fSplit(C2f):
    """The same by sizes that are numbers in the code."""

    def halves(self, image: Tensor) -> list[Tensor]:
        return list(torch.split(self.cv1(self.stem(image)), [16, 16], 1))


class C2fV2(Base):
    """The usual way around: two convolutions in place of a chunk."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.cv0, self.cv1 = cbr(3, 16), cbr(16, 16, 1), cbr(16, 16, 1)
        self.m = nn.ModuleList(Bott(16) for _ in range(2))
        self.cv2, self.head = cbr(64, 32, 1), Head(32)

    def forward(self, image: Tensor) -> Tensor:
        x = self.stem(image)
        y = [self.cv0(x), self.cv1(x)]
        for block in self.m:
            y.append(block(y[-1]))
        return cast(Tensor, self.head(self.cv2(torch.cat(y, 1))))


class PartialConv(Base):
    """FasterNet: a convolution over a quarter of the channels."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.part = cbr(3, 32), nn.Conv2d(8, 8, 3, padding=1)
        self.pw, self.head = cbr(32, 64, 1), Head(64)

    def forward(self, image: Tensor) -> Tensor:
        a, b = torch.split(self.stem(image), [8, 24], 1)
        return cast(Tensor, self.head(self.pw(torch.cat([self.part(a), b], 1))))


class SPPF(Base):
    """One tensor four times, pooled more and more, concatenated."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.cv1 = cbr(3, 16), cbr(16, 8, 1)
        self.pool = nn.MaxPool2d(5, 1, 2)
        self.cv2, self.head = cbr(32, 16, 1), Head(16)

    def forward(self, image: Tensor) -> Tensor:
        x = self.cv1(self.stem(image))
        a = self.pool(x)
        b = self.pool(a)
        return cast(Tensor, self.head(self.cv2(torch.cat([x, a, b, self.pool(b)], 1))))


class UNetUp(Base):
    """A skip connection by concatenation, the way up by interpolation."""

    def __init__(self) -> None:
        super().__init__()
        self.d1, self.d2 = cbr(3, 16), cbr(16, 32, stride=2)
        self.u1, self.out = cbr(48, 16), nn.Conv2d(16, 2, 1)

    def raised(self, x: Tensor, size: torch.Size) -> Tensor:
        """`x` at twice its height and width."""
        return F.interpolate(x, size=size, mode="bilinear")

    def forward(self, image: Tensor) -> Tensor:
        a = self.d1(image)
        b = self.raised(self.d2(a), a.shape[2:])
        return cast(Tensor, self.out(self.u1(torch.cat([a, b], 1))))


class UNetTransposed(UNetUp):
    """The way up by a transposed convolution."""

    def __init__(self) -> None:
        super().__init__()
        self.up, self.u1 = nn.ConvTranspose2d(32, 16, 2, 2), cbr(32, 16)

    def raised(self, x: Tensor, size: torch.Size) -> Tensor:
        return cast(Tensor, self.up(x))


class FPN(Base):
    """Three levels, added from the top down."""

    def __init__(self) -> None:
        super().__init__()
        self.c1, self.c2 = cbr(3, 16, stride=2), cbr(16, 32, stride=2)
        self.c3 = cbr(32, 64, stride=2)
        self.l = nn.ModuleList(nn.Conv2d(c, 24, 1) for c in (16, 32, 64))
        self.s, self.out = nn.Conv2d(24, 24, 3, padding=1), nn.Conv2d(24, 5, 1)

    def forward(self, image: Tensor) -> Tensor:
        a = self.c1(image)
        b = self.c2(a)
        c = self.l[2](self.c3(b))
        b = self.l[1](b) + F.interpolate(c, scale_factor=2)
        a = self.l[0](a) + F.interpolate(b, scale_factor=2)
        return cast(Tensor, self.out(self.s(a)))


class RepVGG(Base):
    """Three branches of one sum, one of them a batch norm alone."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.k3 = cbr(3, 16), nn.Conv2d(16, 16, 3, padding=1)
        self.k1, self.bn, self.head = nn.Conv2d(16, 16, 1), nn.BatchNorm2d(16), Head(16)

    def forward(self, image: Tensor) -> Tensor:
        x = self.stem(image)
        return cast(Tensor, self.head(F.relu(self.k3(x) + self.k1(x) + self.bn(x))))


class Outer(Base):
    """Batch norm before the convolution, skip connections by concatenation: DenseNet's kind."""

    def __init__(self) -> None:
        super().__init__()
        self.s = nn.Conv2d(3, 16, 3, padding=1)
        self.n1, self.c1 = nn.BatchNorm2d(16), nn.Conv2d(16, 12, 3, padding=1)
        self.n2, self.c2 = nn.BatchNorm2d(28), nn.Conv2d(28, 12, 3, padding=1)
        self.n3, self.head = nn.BatchNorm2d(40), Head(40)

    def forward(self, image: Tensor) -> Tensor:
        x = self.s(image)
        x = torch.cat([x, self.c1(F.relu(self.n1(x)))], 1)
        x = torch.cat([x, self.c2(F.relu(self.n2(x)))], 1)
        return cast(Tensor, self.head(F.relu(self.n3(x))))
