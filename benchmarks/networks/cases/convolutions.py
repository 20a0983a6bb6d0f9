"""Convolutions in groups, of one or three dimensions, or of odd widths."""

from typing import cast

import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks.networks.cases.parts import Base, Head, cbr


class Groups4(Base):
    """A convolution in four groups."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.g = cbr(3, 32), cbr(32, 64, groups=4)
        self.p, self.head = cbr(64, 32, 1), Head(32)

    def forward(self, image: Tensor) -> Tensor:
        return cast(Tensor, self.head(self.p(self.g(self.stem(image)))))


class GroupsDiffer(Base):
    """Four groups, then eight."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.g = cbr(3, 32), cbr(32, 64, groups=4)
        self.h, self.head = cbr(64, 64, groups=8), Head(64)

    def forward(self, image: Tensor) -> Tensor:
        return cast(Tensor, self.head(self.h(self.g(self.stem(image)))))


class DwMultiplier(Base):
    """A depthwise convolution that makes two channels of each."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.g = cbr(3, 16), cbr(16, 32, groups=16)
        self.p, self.head = cbr(32, 32, 1), Head(32)

    def forward(self, image: Tensor) -> Tensor:
        return cast(Tensor, self.head(self.p(self.g(self.stem(image)))))


class ResidualGroups(Base):
    """One sum that is read in four groups and in eight."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.g = cbr(3, 32), cbr(32, 32, groups=4)
        self.h, self.head = cbr(32, 32, groups=8), Head(32)

    def forward(self, image: Tensor) -> Tensor:
        x = self.stem(image)
        x = x + self.g(x)
        return cast(Tensor, self.head(x + self.h(x)))


class Audio1dBare(nn.Module):
    """One-dimensional convolutions over sound: batch x 1 x 1600."""

    input_shape: tuple[int, ...] = (1, 1600)

    def __init__(self) -> None:
        super().__init__()
        self.a, self.n, self.b = nn.Conv1d(1, 32, 80, 4), nn.BatchNorm1d(32), nn.Conv1d(32, 32, 3)
        self.c, self.fc = nn.Conv1d(32, 32, 3, groups=32), nn.Linear(32, 35)

    def forward(self, sound: Tensor) -> Tensor:
        x = F.max_pool1d(F.relu(self.n(self.a(sound))), 4)
        return cast(Tensor, self.fc(self.c(F.relu(self.b(x))).mean(-1)))


class Audio1d(Audio1dBare):
    """The same for sound that is given as an image of one row."""

    input_shape = (1, 1, 1600)

    def forward(self, image: Tensor) -> Tensor:
        return super().forward(image.squeeze(1))


class Conv3dNet(nn.Module):
    """Three-dimensional convolutions over a film: batch x 3 x 8 x 32 x 32."""

    input_shape: tuple[int, ...] = (3, 8, 32, 32)

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Conv3d(3, 16, 3, padding=1), nn.Conv3d(16, 16, 3, padding=1)
        self.fc = nn.Linear(16, 5)

    def forward(self, film: Tensor) -> Tensor:
        return cast(Tensor, self.fc(F.relu(self.b(F.relu(self.a(film)))).mean((2, 3, 4))))


class Odd(Base):
    """Widths that are prime."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.c, self.head = cbr(3, 13), cbr(13, 17), cbr(17, 7), Head(7)

    def forward(self, image: Tensor) -> Tensor:
        return cast(Tensor, self.head(self.c(self.b(self.a(image)))))
