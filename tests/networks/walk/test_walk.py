"""Every operation that has a rule, on a small network, against what pruning really does."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from hdap.fleet_data.costs import flops
from hdap.networks.counting import check_pruned
from hdap.networks.equivalence import pruning_error
from hdap.networks.following import follow_channels
from hdap.networks.surgery import prune
from hdap.networks.tracing import trace

WIDTH = 12


class Between(nn.Module):
    """Two convolutions with a function between them, the second of which takes `given`."""

    input_shape = (3, 8, 8)

    def __init__(self, function: Callable[[Tensor], Tensor], given: int = WIDTH) -> None:
        super().__init__()
        self.function = function
        self.first = nn.Conv2d(3, WIDTH, 3, padding=1)
        self.second, self.head = nn.Conv2d(given, 8, 1), nn.Linear(8, 4)

    def forward(self, image: Tensor) -> Tensor:
        x = functional.relu(self.second(self.function(self.first(image))))
        result: Tensor = self.head(x.mean((2, 3)))
        return result


def columns(x: Tensor) -> Tensor:
    return functional.fold(functional.unfold(x, 3, padding=1), (8, 8), 3, padding=1)


FOLLOWED: dict[str, tuple[Callable[[Tensor], Tensor], int]] = {
    "chunk": (lambda x: torch.cat(x.chunk(3, 1)[::-1], 1), WIDTH),
    "unbound": (lambda x: x.view(1, 2, x.shape[1] // 2, 8, 8).unbind(1)[1], 6),
    "half by its shape": (lambda x: x[:, : x.shape[1] // 2], 6),
    "shuffle": (lambda x: functional.channel_shuffle(x, 3), WIDTH),
    "pixels": (lambda x: functional.pixel_unshuffle(functional.pixel_shuffle(x, 2), 2), WIDTH),
    "stack": (lambda x: torch.stack([x, x * 2], 2).flatten(1, 2), 24),
    "repeat": (lambda x: x.repeat(1, 2, 1, 1), 24),
    "each twice": (lambda x: x.repeat_interleave(2, 1), 24),
    "padded": (lambda x: functional.pad(x, (0, 0, 0, 0, 2, 2)), 16),
    "flip": (lambda x: x.flip(1), WIDTH),
    "columns": (columns, WIDTH),
    "gate": (lambda x: functional.glu(x, 1), 6),
    "pooled": (lambda x: functional.avg_pool2d(functional.max_pool2d(x, 2), 2), WIDTH),
    "resized": (lambda x: functional.interpolate(x, scale_factor=2, mode="bilinear"), WIDTH),
    "last": (lambda x: x.permute(0, 2, 3, 1).softmax(1).permute(0, 3, 1, 2), WIDTH),
    "softmax of pairs": (lambda x: x.view(1, 2, -1, 8, 8).softmax(1).sum(1), 6),
    "in place": (lambda x: x.clone().mul_(2).add_(x), WIDTH),
}
KEPT: dict[str, tuple[Callable[[Tensor], Tensor], int]] = {
    "one channel": (lambda x: x * x[:, 3:4] * x[:, 7:8], WIDTH),
    "mean": (lambda x: x - x.mean(1, keepdim=True), WIDTH),
    "sorted": (lambda x: x.sort(1)[0], WIDTH),
    "rolled": (lambda x: x.roll(1, 1), WIDTH),
    "every other": (lambda x: x[:, ::2], 6),
    "cumulated": (lambda x: x.cumsum(1), WIDTH),
    "by number": (lambda x: x.index_select(1, torch.arange(6, device=x.device)), 6),
    "no rule": (lambda x: torch.fft.fft(x.double(), dim=2).real.to(x.dtype), WIDTH),
    "over itself": (lambda x: x * (x.flatten(2) @ x.flatten(2).mT).mean(), WIDTH),
}


def error_of(network: nn.Module) -> tuple[set[str], float]:
    network = network.double().eval()
    groups = {g.name for g in trace(network).groups}
    graph = follow_channels(network, (3, 8, 8), groups)
    rng = np.random.default_rng(0)
    images = torch.randn(1, 3, 8, 8, dtype=torch.float64)
    gone = [np.flatnonzero(rng.random(len(graph.group_of)) < 0.4) for _ in range(3)]
    return groups, max(pruning_error(network, graph, places, images) for places in gone)


@pytest.mark.parametrize("name", FOLLOWED)
def test_what_is_followed_is_pruned_exactly(name: str) -> None:
    groups, error = error_of(Between(*FOLLOWED[name]))
    assert "first" in groups
    assert error <= 1e-9


@pytest.mark.parametrize("name", KEPT)
def test_what_is_not_keeps_its_channels(name: str) -> None:
    groups, error = error_of(Between(*KEPT[name]))
    assert groups == {"second"}
    assert error <= 1e-9


class Attention(nn.Module):
    """Multi-head attention as timm writes it, the heads' number kept as an attribute."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.num_heads, self.head_dim = heads, width // heads
        self.qkv, self.proj = nn.Linear(width, 3 * width), nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        b, n, _ = x.shape
        qkv = self.qkv(x).reshape(b, n, 3, self.num_heads, self.head_dim).permute(2, 0, 3, 1, 4)
        q, k, v = qkv.unbind(0)
        x = functional.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(b, n, -1)
        result: Tensor = self.proj(x)
        return result


class Transformer(nn.Module):
    input_shape = (3, 8, 8)

    def __init__(self) -> None:
        super().__init__()
        self.embed, self.place = nn.Conv2d(3, 16, 2, 2), nn.Parameter(torch.randn(1, 16, 16))
        self.norm, self.attention = nn.LayerNorm(16), Attention(16, 2)
        self.gamma = nn.Parameter(torch.rand(16))
        self.head = nn.Linear(16, 5)

    def forward(self, image: Tensor) -> Tensor:
        x = self.embed(image).flatten(2).mT + self.place
        x = x + self.gamma * self.attention(self.norm(x))
        result: Tensor = self.head(x.mean(1))
        return result


def test_whole_heads_and_the_embedding_go() -> None:
    network = Transformer()
    architecture = trace(network)
    assert {(g.name, g.width) for g in architecture.groups} == {("embed", 16), ("attention.qkv", 2)}
    assert error_of(network)[1] <= 1e-9
    held = {x.name: x for x in architecture.layers if x.name in ("gamma", "place")}
    assert held["gamma"].parameters_per_output == 1
    assert held["place"].parameters_per_output == 16


def test_a_number_of_heads_that_no_attribute_holds_stays() -> None:
    class Written(Attention):
        def forward(self, x: Tensor) -> Tensor:
            b, n, _ = x.shape
            q, k, v = self.qkv(x).reshape(b, n, 3, 2, 8).permute(2, 0, 3, 1, 4).unbind(0)
            x = functional.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(b, n, -1)
            result: Tensor = self.proj(x)
            return result

    network = Transformer()
    network.attention = Written(16, 2)
    architecture = trace(network)
    assert [g.name for g in architecture.groups] == ["embed"]
    (kept,) = architecture.kept
    assert (kept.layer, kept.channels) == ("attention.qkv", 2)
    assert "`attention` failed with RuntimeError: shape" in kept.why
    assert "is a size written in its code?" in kept.why


def test_code_that_looks_at_numbers_is_followed_on_the_cpu() -> None:
    class Looking(Between):
        def forward(self, image: Tensor) -> Tensor:
            scale = image.abs().max().item() + 1.0
            return super().forward(image / scale)

    network = Looking(lambda x: x).eval()
    architecture = trace(network)
    assert [g.name for g in architecture.groups] == ["first", "second"]
    pruned = prune(network, architecture, [6, 4]).eval()
    counts = np.array([6, 4])
    size = check_pruned(network, pruned, architecture, counts)
    assert size.flops == flops(architecture, counts[None])[0]
