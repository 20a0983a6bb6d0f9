"""Which channels matter to what reads them, on networks where it is known."""

import copy

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from hdap.examples.digits import digits
from hdap.fleet_data.errors import InputError
from hdap.networks.channel_importance import channel_importance
from hdap.networks.lookahead import lookahead_scores
from hdap.networks.prune_plan import WeightsSource
from hdap.networks.pruned_network import load_seeded
from hdap.networks.surgery import prune
from hdap.networks.tracing import describe, trace
from hdap.requests.recipe import Recipe
from hdap.training.datasets import Data
from hdap.training.network_quality import evaluate, recalibrate_by
from hdap.training.training_loop import train

MODEL = "hdap.examples.networks:small_mobilenet"


class Pair(nn.Module):
    """A convolution, its norm if it has one, and what reads it twice: a convolution and a head."""

    input_shape = (3, 6, 6)

    def __init__(self, *, norm: bool = True) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 8, 3, padding=1)
        self.norm = nn.BatchNorm2d(8) if norm else nn.Identity()
        self.second = nn.Conv2d(8, 4, 1)
        self.head = nn.Linear(12, 5)

    def forward(self, image: Tensor) -> Tensor:
        x = self.norm(self.first(image)).relu()
        means = torch.cat([x.mean((2, 3)), self.second(x).mean((2, 3))], dim=1)
        result: Tensor = self.head(means)
        return result


def _pair(*, norm: bool = True) -> Pair:
    torch.manual_seed(0)
    network = Pair(norm=norm).eval()
    if isinstance(network.norm, nn.BatchNorm2d):
        nn.init.uniform_(network.norm.weight, 0.5, 1.5)
    return network


def _first(network: Pair) -> np.ndarray:
    architecture = describe(network, "pair", network.input_shape)
    place = [group.name for group in architecture.groups].index("first")
    return lookahead_scores(network, architecture)[place]


def test_it_is_variance_times_squared_weights_of_all_readers() -> None:
    network = _pair()
    assert isinstance(network.norm, nn.BatchNorm2d)
    variance = network.norm.weight.detach().double().square().numpy()
    read = [
        network.second.weight.detach().double().square().flatten(2).sum((0, 2)).numpy(),
        network.head.weight.detach()[:, :8].double().square().sum(0).numpy(),
    ]
    expected = variance / variance.mean() * np.mean([r / r.mean() for r in read], axis=0)
    np.testing.assert_allclose(_first(network), expected, rtol=1e-4)


def test_nobody_misses_what_nobody_reads_or_what_never_varies() -> None:
    unread, still, never = _pair(), _pair(), _pair()
    with torch.no_grad():
        unread.second.weight[:, 2] = 0.0
        unread.head.weight[:, 2] = 0.0
    assert isinstance(still.norm, nn.BatchNorm2d)
    nn.init.zeros_(still.norm.weight[2:3])
    assert isinstance(never.norm, nn.BatchNorm2d)
    assert never.norm.running_var is not None
    never.norm.running_var[2] = 0.0
    for network in (unread, still, never):
        scores = _first(network)
        assert scores[2] == 0.0
        assert (np.delete(scores, 2) > 0.0).all()


def test_the_size_of_filters_before_a_norm_is_nothing_and_without_one_it_counts() -> None:
    for norm in (True, False):
        plain, larger = _pair(norm=norm), _pair(norm=norm)
        with torch.no_grad():
            larger.first.weight[5] *= 10.0
        grown = _first(larger)[5] / _first(plain)[5]
        assert (grown == pytest.approx(1.0)) == norm


def test_weights_that_are_not_finite_are_refused() -> None:
    network = _pair()
    with torch.no_grad():
        network.head.weight[0, 0] = torch.nan
    with pytest.raises(InputError, match=r"those of `head` are not"):
        _first(network)


def test_it_leaves_more_accuracy_before_tuning_than_norms_of_filters() -> None:
    data, recipe = Data(*digits(), 10), Recipe(epochs=4, batch_size=32, lr=0.05, recalibration=10)
    trained = load_seeded(MODEL, WeightsSource(seed=0)).module
    train(trained, data, recipe, device="cpu")
    architecture = trace(MODEL)
    counts = np.maximum(architecture.widths // 2, 1)
    found = []
    for scores in (lookahead_scores, channel_importance):
        network = prune(trained, architecture, counts, scores(copy.deepcopy(trained), architecture))
        recalibrate_by(recipe, network, data.train)
        found.append(evaluate(network, data.validation).accuracy)
    assert found[0] > found[1] + 0.05
