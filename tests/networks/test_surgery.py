import copy

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from hdap.fleet_data.architecture import Architecture
from hdap.fleet_data.costs import layer_channels
from hdap.fleet_data.errors import InputError, UnsupportedModelError
from hdap.networks.following import follow_channels
from hdap.networks.loading import load_model
from hdap.networks.surgery import keep, kept_channels, prune
from hdap.networks.tracing import trace


class Small(nn.Module):
    """A residual block with a grouped convolution, norms and a flattened head."""

    input_shape = (3, 8, 8)

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 24, 3, padding=1)
        self.norm = nn.BatchNorm2d(24)
        self.narrow = nn.Conv2d(24, 12, 1)
        self.grouped = nn.Conv2d(12, 12, 3, padding=1, groups=3)
        self.wide = nn.Conv2d(12, 24, 1)
        self.head = nn.Linear(24 * 4, 5)

    def forward(self, image: Tensor) -> Tensor:
        x = self.norm(self.stem(image)).relu()
        x = x + self.wide(self.grouped(self.narrow(x)).relu())
        result: Tensor = self.head(nn.functional.adaptive_avg_pool2d(x, 2).flatten(1))
        return result


class Lasting(nn.Module):
    input_shape = (3, 4, 4)

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 200, 1)
        self.norm = nn.LayerNorm(200)
        self.head = nn.Linear(200, 2)

    def forward(self, image: Tensor) -> Tensor:
        result: Tensor = self.head(self.norm(self.conv(image).mean((2, 3))))
        return result


@pytest.fixture(scope="module")
def small() -> Small:
    torch.manual_seed(0)
    return Small().eval()


@pytest.fixture(scope="module")
def architecture(small: Small) -> Architecture:
    return trace(small)


def test_groups_of_the_small_network(architecture: Architecture) -> None:
    assert [(g.name, g.multiple) for g in architecture.groups] == [
        ("stem", 1),
        ("narrow", 3),
        ("grouped", 3),
    ]


@settings(max_examples=15, deadline=None, database=None)
@given(seed=st.integers(0, 2**32 - 1))
def test_every_layer_ends_with_the_promised_channels_and_runs(
    small: Small, architecture: Architecture, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    places = architecture.widths // architecture.multiples
    counts = rng.integers(1, places + 1) * architecture.multiples
    scores = [rng.random(g.width) for g in architecture.groups]
    pruned = prune(small, architecture, counts, scores)
    _, outputs = layer_channels(architecture, counts[None])
    for layer, made in zip(architecture.layers, outputs[0], strict=True):
        assert len(pruned.get_submodule(layer.name).get_parameter("weight")) == made
    assert pruned(torch.rand(2, 3, 8, 8)).shape == (2, 5)


def test_removing_channels_is_the_same_as_ignoring_them(
    small: Small, architecture: Architecture
) -> None:
    image = torch.rand(2, 3, 8, 8)
    kept = [np.array([0, 3, 7, 22]), np.array([1, 2, 5, 6, 9, 10]), np.arange(12)]
    silent = copy.deepcopy(small)
    with torch.no_grad():
        gone = np.setdiff1d(np.arange(24), kept[0])
        for channel in gone:
            silent.narrow.weight[:, channel] = 0
            silent.head.weight[:, 4 * channel : 4 * channel + 4] = 0
        silent.grouped.weight[:, [0, 3]] = 0
        expected = silent(image)
        assert torch.allclose(keep(small, architecture, kept)(image), expected, atol=1e-6)
        assert not torch.allclose(small(image), expected, atol=1e-3)


def test_the_highest_scores_stay(small: Small, architecture: Architecture) -> None:
    scores = [np.arange(float(g.width)) for g in architecture.groups]
    pruned = prune(small, architecture, [5, 12, 12], scores)
    assert torch.equal(pruned.get_parameter("stem.weight"), small.stem.weight[19:])


def test_all_channels_kept_changes_nothing(small: Small, architecture: Architecture) -> None:
    pruned = prune(small, architecture, architecture.widths)
    for name, value in small.state_dict().items():
        assert torch.equal(value, pruned.state_dict()[name])


def test_the_given_network_keeps_its_weights_and_its_mode(architecture: Architecture) -> None:
    network = Small().train()
    network.stem.weight.requires_grad_(False)
    before = copy.deepcopy(network.state_dict())
    pruned = prune(network, architecture, architecture.multiples)
    assert all(torch.equal(v, before[k]) for k, v in network.state_dict().items())
    assert network.training
    assert pruned.training
    assert not pruned.get_parameter("stem.weight").requires_grad
    assert pruned.get_parameter("head.weight").requires_grad


def test_layer_norm_keeps_the_order_of_its_channels() -> None:
    network = Lasting()
    with torch.no_grad():
        network.norm.weight.copy_(torch.arange(200.0))
    kept = np.array([3, 64, 65, 128, 199])
    pruned = keep(network, trace(network), [kept])
    assert pruned.get_parameter("norm.weight").tolist() == kept.tolist()


def test_a_pruned_timm_network_runs() -> None:
    architecture = trace("mobilenetv1_100")
    network = load_model("mobilenetv1_100").module
    with torch.no_grad():
        output = prune(network, architecture, architecture.widths // 5)(torch.rand(1, 3, 64, 64))
    assert output.shape == (1, 1000)
    assert torch.isfinite(output).all()


def test_a_network_of_another_architecture_is_refused(architecture: Architecture) -> None:
    other = Small()
    other.stem = nn.Conv2d(3, 24, 3, padding=1)
    other.narrow = nn.Conv2d(24, 6, 1)
    other.grouped = nn.Conv2d(6, 12, 3, padding=1, groups=3)
    with pytest.raises(UnsupportedModelError, match="`narrow` ends with"):
        keep(other, architecture, [np.arange(24), np.arange(12), np.arange(12)])


def test_a_network_without_the_layers_is_refused(architecture: Architecture) -> None:
    with pytest.raises(InputError, match="Lasting has no layer `grouped`"):
        prune(Lasting(), architecture, architecture.widths)


@pytest.mark.parametrize(
    ("counts", "message"),
    [
        ([25, 12, 12], "`stem` must lie in 1..24, but got 25"),
        ([24, 4, 12], "multiple of 3, but got 4"),
        ([24, 12], r"shape=\(1, 2\)"),
        ([0.5, 12, 12], "must be integers"),
    ],
)
def test_counts_that_do_not_fit_are_refused(
    small: Small, architecture: Architecture, counts: list[int], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        prune(small, architecture, counts)


def test_scores_that_do_not_fit_are_refused(small: Small, architecture: Architecture) -> None:
    with pytest.raises(InputError, match="24 numbers for `stem`"):
        prune(small, architecture, [12, 12, 12], [np.ones(23), np.ones(12), np.ones(12)])


def test_every_block_keeps_the_same_places() -> None:
    scores = np.array([0.0, 5.0, 1.0, 9.0, 0.0, 8.0])
    assert kept_channels(scores, 4, multiple=2).tolist() == [0, 2, 3, 5]
    assert kept_channels(scores, 4).tolist() == [1, 2, 3, 5]


def test_of_equal_channels_the_first_stay() -> None:
    assert kept_channels(np.zeros(6), 2).tolist() == [0, 1]


def test_one_graph_serves_several_prunings(small: Small, architecture: Architecture) -> None:
    graph = follow_channels(small, architecture.input_shape)
    for count in (3, 9, 3):
        pruned = prune(small, architecture, [count, count, count], graph=graph)
        assert len(pruned.get_parameter("grouped.weight")) == count
