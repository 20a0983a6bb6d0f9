"""Small networks with something nasty between two convolutions, and whether it can be pruned.

What mixes channels, or knows their number or order, keeps the channels that it is given; what acts
on each channel alone is pruned exactly. Most of it is arithmetic that a dependency graph takes for
elementwise.
"""

from collections.abc import Callable, Mapping
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional

WIDTH = 12
INPUT_SHAPE = (3, 16, 16)
Between = Callable[[Tensor], Tensor]


class Named(nn.Module):
    """A function of a tensor as a module, with a name to be refused by."""

    def __init__(self, function: Between) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: Tensor) -> Tensor:
        return self.function(x)


class Cage(nn.Module):
    """Two convolutions and a head, with `between` after the first."""

    def __init__(self, between: nn.Module, given: int = WIDTH) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, WIDTH, 3, padding=1)
        self.between = between
        self.second = nn.Conv2d(given, 8, 3, padding=1)
        self.head = nn.Linear(8, 10)

    def forward(self, image: Tensor) -> Tensor:
        x = functional.relu(self.second(self.between(self.first(image))))
        return cast(Tensor, self.head(x.mean((2, 3))))


class _Excited(nn.Module):
    """Squeeze and excitation, its gate by a function of the squeezed channels."""

    def __init__(self, gate: Between) -> None:
        super().__init__()
        self.down, self.up, self.gate = nn.Conv2d(WIDTH, 4, 1), nn.Conv2d(4, WIDTH, 1), gate

    def forward(self, x: Tensor) -> Tensor:
        squeezed = functional.relu(self.down(x.mean((2, 3), keepdim=True)))
        return x * self.gate(self.up(squeezed))


class _SpatialGate(nn.Module):
    def __init__(self, slope: float) -> None:
        super().__init__()
        self.slope = slope

    def forward(self, x: Tensor) -> Tensor:
        return x * torch.sigmoid(self.slope * x.mean(1, keepdim=True))


class _Responses(nn.Module):
    """Global response normalisation (ConvNeXt V2)."""

    def __init__(self, trained: bool) -> None:
        super().__init__()
        self.gamma = nn.Parameter(torch.ones(1, WIDTH, 1, 1)) if trained else 1.0

    def forward(self, x: Tensor) -> Tensor:
        energy = x.norm(dim=(2, 3), keepdim=True)
        return cast(Tensor, x + self.gamma * x * energy / (energy.mean(1, keepdim=True) + 1e-6))


class _Table(nn.Module):
    """A number for each channel that is no layer's: a parameter, a buffer, an embedding."""

    def __init__(self, how: str) -> None:
        super().__init__()
        self.how = how
        if how == "parameter":
            self.table = nn.Parameter(torch.rand(WIDTH))
        elif how == "buffer":
            self.register_buffer("table", torch.rand(WIDTH))
        else:
            self.embedding = nn.Embedding(WIDTH, 1)

    def forward(self, x: Tensor) -> Tensor:
        if self.how == "embedding":
            places = torch.arange(x.shape[1], device=x.device)
            return cast(Tensor, x + self.embedding(places).view(-1, 1, 1))
        return x + self.table[: x.shape[1]].view(-1, 1, 1)


def _attention_over_channels(x: Tensor) -> Tensor:
    flat = x.flatten(2)
    return (torch.softmax(flat @ flat.transpose(1, 2) / 100, -1) @ flat).view_as(x)


def _attention_over_places(x: Tensor) -> Tensor:
    flat = x.flatten(2)
    return (flat @ torch.softmax(flat.transpose(1, 2) @ flat / 100, -1)).view_as(x)


def _shuffled(x: Tensor) -> Tensor:
    n, c, h, w = x.shape
    return x.view(n, 2, c // 2, h, w).transpose(1, 2).reshape(n, c, h, w)


def _positions(x: Tensor) -> Tensor:
    return torch.linspace(0, 1, x.shape[1], dtype=x.dtype, device=x.device).view(-1, 1, 1)


def _within(x: Tensor, low: float, high: float) -> Tensor:
    return x * x.mean(1, keepdim=True).clamp(low, high)


_MIXING: Mapping[str, Between | nn.Module] = {
    "softmax": lambda x: x.softmax(1),
    "softmax module": nn.Softmax(1),
    "softmax2d module": nn.Softmax2d(),
    "softmax of large": lambda x: (50 * x).softmax(1),
    "softmax of small": lambda x: (x / 50).softmax(1),
    "log softmax": lambda x: x.log_softmax(1),
    "softmin": lambda x: functional.softmin(x, 1),
    "gumbel-free argmax": lambda x: x * functional.one_hot(x.argmax(1), WIDTH).movedim(-1, 1),
    "minus mean": lambda x: x - x.mean(1, keepdim=True),
    "minus max": lambda x: x - x.amax(1, keepdim=True),
    "over max": lambda x: x / (1 + x.abs().amax(1, keepdim=True)),
    "plus argmax": lambda x: x + x.argmax(1, keepdim=True),
    "over sum": lambda x: x / (1 + x.abs().sum(1, keepdim=True)),
    "over standard deviation": lambda x: x / (1 + x.std(1, keepdim=True)),
    "times median": lambda x: x * x.median(1, keepdim=True).values,
    "sorted": lambda x: x.sort(1).values,
    "flipped": lambda x: x.flip(1),
    "rolled": lambda x: x.roll(1, 1),
    "cumulated": lambda x: x.cumsum(1),
    "cumulated maximum": lambda x: x.cummax(1).values,
    "cumulated product": lambda x: (1 + x / 100).cumprod(1),
    "differences": lambda x: x + functional.pad(x[:, 1:] - x[:, :-1], (0, 0, 0, 0, 0, 1)),
    "best half": lambda x: x * (x >= x.topk(x.shape[1] // 2, 1).values[:, -1:]),
    "third smallest": lambda x: x - x.kthvalue(min(3, x.shape[1]), 1, keepdim=True).values,
    "normalised": lambda x: functional.normalize(x, dim=1),
    "normalised by 1": lambda x: functional.normalize(x, p=1.0, dim=1),
    "response norm module": nn.LocalResponseNorm(5),
    "response norm of small": lambda x: functional.local_response_norm(x, 3, 1.0, 1.0, 1.0),
    "layer norm function": lambda x: functional.layer_norm(x.movedim(1, -1), x.shape[1:2]).movedim(
        -1, 1
    ),
    "layer norm over all": lambda x: functional.layer_norm(x, x.shape[1:]),
    "group norm function": lambda x: functional.group_norm(x, 1),
    "rms norm function": lambda x: functional.rms_norm(x.movedim(1, -1), x.shape[1:2]).movedim(
        -1, 1
    ),
    "shuffled": _shuffled,
    "shuffle module": nn.ChannelShuffle(3),
    "spatial gate": _SpatialGate(1.0),
    "spatial gate that saturates": _SpatialGate(200.0),
    "spatial gate that is nearly flat": _SpatialGate(1e-3),
    "clamped gate": lambda x: _within(x, 0, 1),
    "clamped gate far up": lambda x: _within(x, 5, 6),
    "relu6 of mean": lambda x: x * functional.relu6(x.mean(1, keepdim=True)),
    "hard sigmoid of max": lambda x: x * functional.hardsigmoid(20 * x.amax(1, keepdim=True)),
    "hard swish of mean": lambda x: x * functional.hardswish(x.mean(1, keepdim=True)),
    "sign of mean": lambda x: x * x.mean(1, keepdim=True).sign(),
    "tanh of norm": lambda x: x * torch.tanh(x.norm(dim=1, keepdim=True)),
    "all positive": lambda x: x * (x > 0).any(1, keepdim=True),
    "einsum": lambda x: torch.einsum("nchw,ndhw->ndhw", x, x) / 10,
    "gram": lambda x: x + torch.einsum("nchw,ndhw->ncd", x, x).mean((1, 2)).view(-1, 1, 1, 1),
    "attention over channels": _attention_over_channels,
    "attention over places": _attention_over_places,
    "distances of places": lambda x: (
        x * torch.cdist(_rows(x), _rows(x)).mean((1, 2)).view(-1, 1, 1, 1)
    ),
    "cosine to first": lambda x: (
        x * functional.cosine_similarity(x, x[:, :, :1, :1], dim=1)[:, None]
    ),
    "response": _Responses(False),
    "trained response": _Responses(True),
    "over number of channels": lambda x: x / x.shape[1],
    "place in channels": lambda x: x + _positions(x),
    "plus first channel": lambda x: x + x[:, :1],
    "plus last channel": lambda x: x + x[:, -1:],
    "embedding": _Table("embedding"),
    "table in a buffer": _Table("buffer"),
    "mean of all": lambda x: x - x.mean(),
    "norm of all": lambda x: x / x.norm(),
    "max of all": lambda x: x / (1 + x.abs().max()),
    "3d pool": lambda x: functional.avg_pool3d(x, (3, 1, 1), 1, (1, 0, 0)),
    "3d max": lambda x: functional.max_pool3d(x, (3, 1, 1), 1, (1, 0, 0)),
    "smoothed over channels": lambda x: (
        functional.avg_pool1d(_rows(x), 3, 1, 1).transpose(1, 2).view_as(x)
    ),
    "folded square": lambda x: x.view(x.shape[0], -1).cumsum(1).view_as(x),
    "height for channels": lambda x: x + x.mean((1, 3), keepdim=True),
    "dropout that never ends": lambda x: functional.dropout(x, 0.5, training=True),
    "trained table": _Table("parameter"),
}


def _rows(x: Tensor) -> Tensor:
    """images x channels x height x width -> images x places x channels."""
    return x.flatten(2).transpose(1, 2)


_ALONE: Mapping[str, Between | nn.Module] = {
    "nothing": lambda x: x,
    "relu6": functional.relu6,
    "hard swish": functional.hardswish,
    "hard sigmoid": nn.Hardsigmoid(),
    "clamp": lambda x: x.clamp(-0.5, 0.5),
    "gelu": nn.GELU(),
    "exponential": torch.exp,
    "softplus": functional.softplus,
    "dropout": nn.Dropout(0.5),
    "channel dropout": nn.Dropout2d(0.5),
    "prelu of one": nn.PReLU(),
    "prelu": nn.PReLU(WIDTH),
    "batch norm": nn.BatchNorm2d(WIDTH),
    "batch norm without affine": nn.BatchNorm2d(WIDTH, affine=False),
    "instance norm": nn.InstanceNorm2d(WIDTH, affine=True),
    "instance norm function": functional.instance_norm,
    "group norm": nn.GroupNorm(4, WIDTH),
    "depthwise": nn.Conv2d(WIDTH, WIDTH, 3, padding=1, groups=WIDTH),
    "grouped": nn.Conv2d(WIDTH, WIDTH, 3, padding=1, groups=2),
    "softmax over places": lambda x: x.flatten(2).softmax(2).view_as(x),
    "sorted places": lambda x: x.flatten(2).sort(2).values.view_as(x),
    "upsampled": lambda x: functional.interpolate(x, scale_factor=2),
    "pooled": nn.MaxPool2d(2),
    "power pooled": nn.LPPool2d(2, 2),
    "times its mean": lambda x: x * x.mean((2, 3), keepdim=True),
    "standardised places": lambda x: (
        (x - x.mean((2, 3), keepdim=True)) / (1 + x.std((2, 3), keepdim=True))
    ),
    "squeeze and excitation": _Excited(torch.sigmoid),
    "squeeze and saturated excitation": _Excited(lambda x: functional.hardsigmoid(100 * x)),
}

_REFUSED_BY_KIND: Mapping[str, nn.Module] = {
    "pixels shuffled": Cage(nn.PixelShuffle(2), WIDTH // 4),
    "pixels unshuffled": Cage(nn.PixelUnshuffle(2), WIDTH * 4),
    "squeeze and softmax": Cage(_Excited(lambda x: x.softmax(1))),
    "squeeze and normalisation": Cage(_Excited(lambda x: functional.normalize(x, dim=1))),
    "best four": Cage(Named(lambda x: x.topk(4, 1).values), 4),
    "largest of pairs": Cage(
        Named(lambda x: x.view(x.shape[0], -1, 2, *x.shape[2:]).amax(2)), WIDTH // 2
    ),
    "glu": Cage(Named(lambda x: functional.glu(x, 1)), WIDTH // 2),
    "every other": Cage(Named(lambda x: x[:, ::2]), WIDTH // 2),
    "maximum and mean": Cage(Named(lambda x: torch.cat([x.amax(1, True), x.mean(1, True)], 1)), 2),
    "chosen by index": Cage(
        Named(lambda x: x.index_select(1, torch.arange(6, device=x.device))), 6
    ),
}


def _caged(between: Between | nn.Module) -> Cage:
    return Cage(between if isinstance(between, nn.Module) else Named(between))


def mixing() -> dict[str, nn.Module]:
    """Networks that must be refused, by name."""
    return {name: _caged(it) for name, it in _MIXING.items()} | dict(_REFUSED_BY_KIND)


def alone() -> dict[str, nn.Module]:
    """Networks that can be pruned exactly, by name."""
    return {name: _caged(it) for name, it in _ALONE.items()}
