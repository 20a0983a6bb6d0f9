import copy

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.data import TensorDataset

from hdap.examples.networks import small_resnet
from hdap.fleet_data.architecture import Architecture, Counts
from hdap.fleet_data.costs import flops, layer_channels
from hdap.fleet_data.errors import InfeasibleError, InputError
from hdap.networks.channel_importance import channel_importance, importance_curves
from hdap.networks.tracing import describe
from hdap.portfolio.densify import densify
from hdap.portfolio.narrowing import WeightedLatency, narrowed
from hdap.portfolio.slimming import Slim, SlimRequest, slim
from hdap.requests.recipe import Recipe
from hdap.search.problem.fleet_weights import FleetWeights
from hdap.search.problem.kept_importance import Importance
from hdap.search.problem.proxies import PROXIES
from hdap.surrogate.models.base import Prediction
from hdap.training.datasets import Data
from hdap.training.network_quality import evaluate
from hdap.training.training_loop import train


def _samples(count: int, seed: int) -> TensorDataset:
    rng = torch.Generator().manual_seed(seed)
    labels = torch.randint(0, 3, (count,), generator=rng)
    images = 0.3 * torch.randn(count, 1, 8, 8, generator=rng)
    images[torch.arange(count), 0, labels] += 1.0  # the class is the brightest row
    return TensorDataset(images, labels)


DATA = Data(_samples(256, 0), _samples(200, 1), 3)
TUNING = Recipe(epochs=2, batch_size=32, lr=0.02)


@pytest.fixture(scope="module")
def trained() -> nn.Module:
    """A network that knows the rows, a fifth of whose filters are zero."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = small_resnet()
    train(network, DATA, Recipe(epochs=3, batch_size=32, lr=0.05), device="cpu")
    with torch.no_grad():
        for block in (1, 2, 4, 6):
            network.get_parameter(f"features.{block}.conv1.weight")[:6] = 0.0
    return network


@pytest.fixture(scope="module")
def architecture(trained: nn.Module) -> Architecture:
    return describe(trained, "test", (1, 8, 8))


def _flops(architecture: Architecture, counts: Counts) -> int:
    return int(flops(architecture, counts[None])[0])


def _widths(network: nn.Module, architecture: Architecture) -> list[int]:
    return [g.width for g in describe(network, "t", architecture.input_shape).groups]


@pytest.mark.parametrize("budget", ["60%", "25%"])
def test_a_network_is_made_slim_to_a_budget(
    trained: nn.Module, architecture: Architecture, budget: str
) -> None:
    found = slim(trained, architecture, SlimRequest(flops=budget), DATA)
    dense = _flops(architecture, architecture.widths)
    share = float(budget[:-1]) / 100
    assert 0.9 * share * dense <= found.flops <= share * dense
    assert found.flops == _flops(architecture, found.counts)
    assert _widths(found.module, architecture) == found.counts.tolist()
    assert (found.counts % 8 == 0).all()
    assert found.accuracy == evaluate(found.module, DATA.validation).accuracy
    assert 0 < found.kept_importance < 1
    assert found.tuning_seconds < found.recalibration_seconds


def test_the_same_seed_gives_the_same_network(
    trained: nn.Module, architecture: Architecture
) -> None:
    request = SlimRequest(flops="40%", tuning=TUNING)
    one, other = (slim(trained, architecture, request, DATA) for _ in range(2))
    assert one.counts.tolist() == other.counts.tolist()
    for name, tensor in one.module.state_dict().items():
        torch.testing.assert_close(tensor, other.module.state_dict()[name], rtol=0, atol=0)


def test_channels_that_nobody_reads_go_first(
    trained: nn.Module, architecture: Architecture
) -> None:
    dense = densify(trained, architecture)
    request = SlimRequest(flops="90%", step=1)
    found = slim(trained, architecture, request, DATA, dense=dense)
    assert (found.counts <= dense.counts).all()
    assert found.kept_importance > 0.9


def test_a_budget_that_is_met_already_takes_nothing_more(
    trained: nn.Module, architecture: Architecture
) -> None:
    found = slim(trained, architecture, SlimRequest(flops="100%", step=1), DATA)
    assert found.counts.tolist() == densify(trained, architecture).counts.tolist()
    assert found.accuracy == evaluate(trained, DATA.validation).accuracy
    assert found.kept_importance == pytest.approx(1.0)


def test_exact_counts_are_made_as_they_are(trained: nn.Module, architecture: Architecture) -> None:
    counts = architecture.widths // 2
    found = slim(trained, architecture, counts, DATA)
    assert found.counts.tolist() == counts.tolist()


def test_a_layer_of_which_nothing_is_needed_is_no_obstacle(
    trained: nn.Module, architecture: Architecture
) -> None:
    network = copy.deepcopy(trained)
    with torch.no_grad():
        network.get_parameter("features.1.conv2.weight").zero_()
        network.get_parameter("features.1.bn2.bias").zero_()
    found = slim(network, architecture, SlimRequest(flops="40%"), DATA)
    assert found.counts[1] == 8


def test_it_goes_as_far_down_as_accuracy_allows(
    trained: nn.Module, architecture: Architecture
) -> None:
    whole = evaluate(trained, DATA.validation).accuracy
    request = SlimRequest(least_accuracy=whole - 0.05, tuning=TUNING)
    found = slim(trained, architecture, request, DATA)
    assert found.accuracy >= whole - 0.05
    assert found.flops < 0.6 * _flops(architecture, architecture.widths)
    below = [share for share, accuracy in found.tried if accuracy < whole - 0.05]
    assert all(share < found.flops for share in below)
    assert (found.flops, found.accuracy) in found.tried


def test_an_accuracy_that_the_network_does_not_have_is_refused(
    trained: nn.Module, architecture: Architecture
) -> None:
    network = small_resnet().eval()
    with pytest.raises(InfeasibleError, match=r"must reach the 99\.9% asked for"):
        slim(network, architecture, SlimRequest(least_accuracy=0.999), DATA)


def test_a_budget_below_the_narrowest_network_is_refused(
    trained: nn.Module, architecture: Architecture
) -> None:
    with pytest.raises(InfeasibleError, match="narrowest"):
        slim(trained, architecture, SlimRequest(flops="1000"), DATA)


@pytest.mark.parametrize(
    "asked", [{}, {"flops": "50%", "least_accuracy": 0.9}, {"least_accuracy": 1.5}]
)
def test_requests_out_of_range_are_refused(asked: dict[str, object]) -> None:
    with pytest.raises(InputError):
        SlimRequest(**asked)  # type: ignore[arg-type]


def test_the_network_given_stays_as_it_is(trained: nn.Module, architecture: Architecture) -> None:
    before = {name: tensor.clone() for name, tensor in trained.state_dict().items()}
    slim(trained, architecture, SlimRequest(flops="30%", tuning=TUNING), DATA)
    for name, tensor in trained.state_dict().items():
        torch.testing.assert_close(tensor, before[name], rtol=0, atol=0)


def _importance(trained: nn.Module, architecture: Architecture) -> Importance:
    curves = importance_curves(channel_importance(trained, architecture), architecture)
    return Importance("test", curves).with_proxy(PROXIES["layers"], architecture)


def test_without_a_fleet_it_keeps_more_importance_than_uniform_pruning(
    trained: nn.Module, architecture: Architecture
) -> None:
    importance = _importance(trained, architecture)
    budget = _flops(architecture, architecture.widths) // 3
    counts = narrowed(architecture, importance, architecture.widths, budget, None, step=4)
    uniform = np.maximum(np.rint(architecture.widths * 0.57 / 4), 1).astype(np.int64) * 4
    assert _flops(architecture, uniform) <= budget * 1.05
    assert importance.kept(counts[None])[0] > importance.kept(uniform[None])[0]


class _WideInputsAreSlow:
    """A fleet whose latency lies in the inputs of the last two layers alone."""

    def __init__(self, architecture: Architecture) -> None:
        self._architecture = architecture

    def predict(self, counts: Counts) -> Prediction:
        inputs = layer_channels(self._architecture, counts)[0].astype(np.float64)
        log_ms = np.log(1.0 + inputs[:, -4:].sum(axis=1))[:, None]
        return Prediction(log_ms, np.zeros_like(log_ms))


def test_a_fleet_says_where_channels_cost_time(
    trained: nn.Module, architecture: Architecture
) -> None:
    fleet = WeightedLatency(
        _WideInputsAreSlow(architecture),
        FleetWeights(np.ones(1), np.ones((1, 1)), np.ones((1, 1))),
    )
    found: dict[bool, Slim] = {}
    for known in (False, True):
        request = SlimRequest(flops="40%", step=4)
        found[known] = slim(trained, architecture, request, DATA, fleet=fleet if known else None)
    times = {known: fleet.latency.predict(one.counts[None]).ms for known, one in found.items()}
    assert times[True] < times[False]
