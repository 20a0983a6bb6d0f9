"""Channels that are weighed, shifted or normalised by something that is no usual layer."""

from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks.networks.cases.parts import Base, Head, cbr


class SELinear(Base):
    """Squeeze and excitation by linear layers and views."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = cbr(3, 32, act=nn.Hardswish)
        self.f1, self.f2 = nn.Linear(32, 8), nn.Linear(8, 32)
        self.c2, self.head = cbr(32, 16), Head(16)

    def forward(self, image: Tensor) -> Tensor:
        x = self.stem(image)
        b, c, _, _ = x.shape
        w = F.adaptive_avg_pool2d(x, 1).view(b, c)
        w = F.hardsigmoid(self.f2(F.relu(self.f1(w)))).view(b, c, 1, 1)
        return cast(Tensor, self.head(self.c2(x * w)))


class ECA(Base):
    """A one-dimensional convolution along the channels: neighbours matter."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.eca = cbr(3, 32), nn.Conv1d(1, 1, 3, padding=1, bias=False)
        self.c2, self.head = cbr(32, 16), Head(16)

    def forward(self, image: Tensor) -> Tensor:
        x = self.stem(image)
        w = x.mean((2, 3)).unsqueeze(1)
        w = self.eca(w).sigmoid().squeeze(1)[:, :, None, None]
        return cast(Tensor, self.head(self.c2(x * w)))


class CoordAtt(Base):
    """Coordinate attention: rows and columns concatenated, then split by size."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = cbr(3, 32)
        self.c1, self.ch, self.cw = cbr(32, 8, 1), nn.Conv2d(8, 32, 1), nn.Conv2d(8, 32, 1)
        self.c2, self.head = cbr(32, 16), Head(16)

    def forward(self, image: Tensor) -> Tensor:
        x = self.stem(image)
        h, w = x.shape[2:]
        rows = x.mean(3, keepdim=True)
        columns = x.mean(2, keepdim=True).permute(0, 1, 3, 2)
        y = self.c1(torch.cat([rows, columns], 2))
        a, b = torch.split(y, [h, w], 2)
        across = self.cw(b.permute(0, 1, 3, 2)).sigmoid()
        return cast(Tensor, self.head(self.c2(x * self.ch(a).sigmoid() * across)))


class TiedWeights(Base):
    """Two convolutions, one weight tensor."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Conv2d(3, 16, 3, padding=1), nn.Conv2d(16, 16, 3, padding=1)
        self.c, self.head = nn.Conv2d(16, 16, 3, padding=1), Head(16)
        self.c.weight = self.b.weight

    def forward(self, image: Tensor) -> Tensor:
        return cast(Tensor, self.head(self.c(F.relu(self.b(F.relu(self.a(image)))))))


class LayerScale(Base):
    """ConvNeXt's block: layer norm over the last dimension and a factor for each channel."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 32, 4, 4)
        self.dw, self.n = nn.Conv2d(32, 32, 7, padding=3, groups=32), nn.LayerNorm(32)
        self.p1, self.p2 = nn.Linear(32, 128), nn.Linear(128, 32)
        self.gamma, self.head = nn.Parameter(1e-6 * torch.ones(32)), Head(32)

    def forward(self, image: Tensor) -> Tensor:
        x = self.stem(image)
        y = self.p2(F.gelu(self.p1(self.n(self.dw(x).permute(0, 2, 3, 1))))) * self.gamma
        return cast(Tensor, self.head(x + y.permute(0, 3, 1, 2)))


class ScalarScale(Base):
    """One trained factor for a whole branch."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = cbr(3, 16), cbr(16, 16)
        self.s, self.head = nn.Parameter(torch.ones(1)), Head(16)

    def forward(self, image: Tensor) -> Tensor:
        x = self.a(image)
        return cast(Tensor, self.head(x + self.s * self.b(x)))


class BufferNorm(Base):
    """Mean and deviation of the image kept as buffers."""

    mean: Tensor
    std: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("mean", torch.tensor([0.485, 0.456, 0.406]).view(1, 3, 1, 1))
        self.register_buffer("std", torch.tensor([0.229, 0.224, 0.225]).view(1, 3, 1, 1))
        self.a, self.b, self.head = cbr(3, 16), cbr(16, 16), Head(16)

    def forward(self, image: Tensor) -> Tensor:
        return cast(Tensor, self.head(self.b(self.a((image - self.mean) / self.std))))


class FrozenBN(Base):
    """A batch norm that is not trained, written by hand with buffers."""

    class FBN(nn.Module):
        weight: Tensor
        bias: Tensor
        running_mean: Tensor
        running_var: Tensor

        def __init__(self, channels: int) -> None:
            super().__init__()
            for name in ("weight", "running_var"):
                self.register_buffer(name, torch.ones(channels))
            for name in ("bias", "running_mean"):
                self.register_buffer(name, torch.zeros(channels))

        def forward(self, x: Tensor) -> Tensor:
            s = self.weight * (self.running_var + 1e-5).rsqrt()
            return x * s.view(1, -1, 1, 1) + (self.bias - self.running_mean * s).view(1, -1, 1, 1)

    def __init__(self) -> None:
        super().__init__()
        self.a, self.n = nn.Conv2d(3, 16, 3), self.FBN(16)
        self.b, self.head = cbr(16, 16), Head(16)

    def forward(self, image: Tensor) -> Tensor:
        return cast(Tensor, self.head(self.b(F.relu(self.n(self.a(image))))))


class Dropblock(Base):
    """Dropout and an identity that is no part of the network."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.d, self.head = cbr(3, 16), cbr(16, 16), nn.Dropout2d(0.5), Head(16)

    def forward(self, image: Tensor) -> Tensor:
        return cast(Tensor, self.head(self.d(self.b(nn.Identity()(self.a(image))))))


class WeightNormed(Base):
    """Weights that are made of a length and a direction."""

    def __init__(self) -> None:
        super().__init__()
        self.a = nn.Conv2d(3, 16, 3)
        self.b = nn.utils.parametrizations.weight_norm(nn.Conv2d(16, 16, 3))
        self.head = Head(16)

    def forward(self, image: Tensor) -> Tensor:
        return cast(Tensor, self.head(F.relu(self.b(F.relu(self.a(image))))))


class AttnNet(Base):
    """A convolution and torch's attention."""

    def __init__(self) -> None:
        super().__init__()
        self.a = cbr(3, 32, stride=4)
        self.att = nn.MultiheadAttention(32, 4, batch_first=True)
        self.head = nn.Linear(32, 10)

    def forward(self, image: Tensor) -> Tensor:
        x = self.a(image).flatten(2).transpose(1, 2)
        return cast(Tensor, self.head(self.att(x, x, x)[0].mean(1)))
