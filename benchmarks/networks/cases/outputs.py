"""Networks that end in something other than one linear layer."""

from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks.networks.cases.parts import Base, Head, cbr


class ESPCN(Base):
    """Super-resolution: channels become pixels."""

    input_shape = (1, 32, 32)

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Conv2d(1, 32, 5, padding=2), nn.Conv2d(32, 16, 3, padding=1)
        self.c = nn.Conv2d(16, 4, 3, padding=1)

    def forward(self, image: Tensor) -> Tensor:
        return F.pixel_shuffle(self.c(torch.tanh(self.b(torch.tanh(self.a(image))))), 2)


class SharedHead(Base):
    """One head for two levels."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = cbr(3, 16), cbr(16, 16, stride=2)
        self.tower, self.out = cbr(16, 16), nn.Conv2d(16, 4, 3, padding=1)

    def forward(self, image: Tensor) -> Tensor:
        a = self.a(image)
        b = self.b(a)
        return torch.cat([self.out(self.tower(t)).flatten(2) for t in (a, b)], 2)


class YoloHeads(Base):
    """A list of three tensors."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = cbr(3, 16, stride=2), cbr(16, 32, stride=2)
        self.c = cbr(32, 64, stride=2)
        self.h = nn.ModuleList(nn.Conv2d(k, 18, 1) for k in (16, 32, 64))

    def levels(self, image: Tensor) -> list[Tensor]:
        """Batch x 18 x height x width, three times."""
        a = self.a(image)
        b = self.b(a)
        c = self.c(b)
        return [head(t) for head, t in zip(self.h, (a, b, c), strict=True)]

    def forward(self, image: Tensor) -> Tensor | list[Tensor]:
        return self.levels(image)


class YoloCat(YoloHeads):
    """The levels beside one another."""

    def forward(self, image: Tensor) -> Tensor:
        return torch.cat([t.flatten(2) for t in self.levels(image)], 2)


class YoloAnchors(YoloHeads):
    """Viewed as anchors, then concatenated: the classic head when it is not trained."""

    def forward(self, image: Tensor) -> Tensor:
        anchors = []
        for level in self.levels(image):
            b, _, h, w = level.shape
            t = level.view(b, 3, 6, h, w).permute(0, 1, 3, 4, 2).contiguous()
            anchors.append(t.sigmoid().view(b, -1, 6))
        return torch.cat(anchors, 1)


class DictOut(Base):
    """A dictionary of two tensors."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.cls, self.aux = cbr(3, 16), cbr(16, 32), Head(32), Head(16)

    def both(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """What the last and the first layers say, batch x 10 each."""
        a = self.a(image)
        return self.cls(self.b(a)), self.aux(a)

    def forward(self, image: Tensor) -> dict[str, Tensor] | tuple[Tensor, Tensor]:
        out, aux = self.both(image)
        return {"out": out, "aux": aux}


class TupleSame(DictOut):
    """The same as a tuple."""

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        return self.both(image)


class NormalizeOut(Base):
    """An embedding of length 1."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.fc = cbr(3, 16), cbr(16, 32), nn.Linear(32, 16)

    def forward(self, image: Tensor) -> Tensor:
        return F.normalize(self.fc(self.b(self.a(image)).mean((2, 3))), dim=1)


class L2Mid(Base):
    """Length 1 over channels between layers: it depends on how many there are."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.head = cbr(3, 16), cbr(16, 32), Head(32)

    def between(self, x: Tensor) -> Tensor:
        """What stands between the two layers."""
        return F.normalize(x, dim=1)

    def forward(self, image: Tensor) -> Tensor:
        return cast(Tensor, self.head(self.b(self.between(self.a(image)))))


class SoftmaxMid(L2Mid):
    """A softmax over channels between layers: likewise."""

    def between(self, x: Tensor) -> Tensor:
        return x.softmax(1)


class OneByOneHeadConv(Base):
    """A classifier of convolutions alone, flattened last."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.c = cbr(3, 16), cbr(16, 32), nn.Conv2d(32, 10, 1)

    def forward(self, image: Tensor) -> Tensor:
        return F.adaptive_avg_pool2d(self.c(self.b(self.a(image))), 1).flatten(1)
