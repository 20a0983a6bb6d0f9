import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from hdap.fleet_data.architecture import Architecture, WidthGroup
from hdap.fleet_data.errors import InputError
from hdap.networks.channel_importance import channel_importance, importance_curves
from hdap.networks.loading import load_model
from hdap.networks.surgery import kept_channels
from hdap.networks.tracing import trace
from hdap.search.problem.kept_importance import Importance


class Net(nn.Module):
    input_shape = (3, 8, 8)

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 4, 1, bias=False)
        self.norm = nn.BatchNorm2d(4)
        self.second = nn.Conv2d(4, 4, 1, bias=False)
        self.head = nn.Linear(4, 2)

    def forward(self, image: Tensor) -> Tensor:
        x = self.norm(self.first(image))
        result: Tensor = self.head((x + self.second(x)).mean((2, 3)))
        return result


@pytest.fixture
def net() -> Net:
    network = Net()
    with torch.no_grad():
        for factor, layer in ((1.0, network.first), (100.0, network.second)):
            layer.weight.copy_(torch.ones_like(layer.weight) * factor)
    return network


def test_layers_of_different_scale_count_alike(net: Net) -> None:
    with torch.no_grad():
        net.first.weight[0] *= 2
        net.second.weight[1] *= 2
    (scores,) = channel_importance(net, trace(net))
    assert scores.tolist() == pytest.approx([2.5 / 1.75, 2.5 / 1.75, 1 / 1.75, 1 / 1.75])


def test_the_norm_that_follows_is_folded_in(net: Net) -> None:
    with torch.no_grad():
        net.norm.weight[2] = 0
    (scores,) = channel_importance(net, trace(net))
    assert scores.tolist() == pytest.approx([7 / 6, 7 / 6, 1 / 2, 7 / 6], rel=1e-4)


def test_a_layer_of_zeros_says_nothing(net: Net) -> None:
    with torch.no_grad():
        net.second.weight.zero_()
        net.first.weight[3].zero_()
    (scores,) = channel_importance(net, trace(net))
    assert scores.tolist() == pytest.approx([7 / 6, 7 / 6, 7 / 6, 1 / 2])


def test_weights_that_are_not_numbers_are_refused(net: Net) -> None:
    architecture = trace(net)
    with torch.no_grad():
        net.second.weight[0] = float("nan")
    with pytest.raises(InputError, match="`second` are not"):
        channel_importance(net, architecture)


def test_a_network_on_meta_is_refused() -> None:
    with pytest.raises(InputError, match="on meta"):
        channel_importance(Net().to("meta"), trace(Net()))


def _one_group(width: int, multiple: int) -> Architecture:
    return Architecture("m", (3, 8, 8), (WidthGroup("c", width, ("c",), multiple),), ())


@settings(max_examples=50, deadline=None, database=None)
@given(
    places=st.integers(1, 30), multiple=st.sampled_from([1, 2, 5]), seed=st.integers(0, 2**32 - 1)
)
def test_curves_are_the_share_that_pruning_keeps(places: int, multiple: int, seed: int) -> None:
    scores = np.random.default_rng(seed).random(places * multiple) ** 4
    (curve,) = importance_curves([scores], _one_group(places * multiple, multiple))
    assert len(curve) == places * multiple + 1
    assert curve[0] == 0.0
    assert curve[-1] == 1.0
    assert (np.diff(curve) >= 0).all()
    for count in range(0, places * multiple + 1, multiple):
        kept = scores[kept_channels(scores, count, multiple)].sum() / scores.sum()
        assert curve[count] == pytest.approx(kept, abs=1e-9)


def test_curves_of_a_real_network_serve_the_search() -> None:
    architecture = trace("mobilenetv1_100")
    scores = channel_importance(load_model("mobilenetv1_100").module, architecture)
    curves = importance_curves(scores, architecture)
    importance = Importance("weights", curves)
    assert importance.kept(architecture.widths[None]) == pytest.approx([1.0])
    half = architecture.widths[None] // 2
    # The best half holds more than half.
    assert 0.5 < importance.kept(half)[0] < 1.0
