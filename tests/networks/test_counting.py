from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from hdap.fleet_data.architecture import Architecture
from hdap.fleet_data.errors import UnsupportedModelError
from hdap.networks.channel_graph import ChannelGraph
from hdap.networks.counting import count_flops, count_parameters, verify_counts
from hdap.networks.description import architecture_of
from hdap.networks.equivalence import verify_equivalence
from hdap.networks.following import follow_channels
from hdap.networks.tracing import describe


class Two(nn.Module):
    input_shape = (3, 8, 8)

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 8, 3, padding=1)
        self.second = nn.Conv2d(8, 6, 1)
        self.head = nn.Linear(6, 4)

    def forward(self, image: Tensor) -> Tensor:
        result: Tensor = self.head(self.second(self.first(image)).mean((2, 3)))
        return result


class Extra(Two):
    """Does a linear map that is no layer."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("mix", torch.ones(4, 4))

    def forward(self, image: Tensor) -> Tensor:
        return nn.functional.linear(super().forward(image), self.get_buffer("mix"))


def verify(network: nn.Module, architecture: Architecture) -> None:
    graph = follow_channels(network, architecture.input_shape)
    verify_counts(graph, architecture, [group.name for group in architecture.groups])


def prove(network: nn.Module, graph: ChannelGraph | None = None) -> None:
    graph = graph or follow_channels(network, (3, 8, 8))
    graph = replace(graph, network=network)
    names = [group.name for group in graph.groups]
    verify_equivalence(graph, architecture_of(graph, "two", (3, 8, 8)), names)


def test_counts_by_layer_and_in_all() -> None:
    counted = count_flops(Two(), (3, 8, 8))
    assert counted["first"] == 8 * 3 * 9 * 64
    assert counted[""] == counted["first"] + 8 * 6 * 64 + 6 * 4
    assert count_parameters(Two()) == 8 * 3 * 9 + 8 + 8 * 6 + 6 + 6 * 4 + 4


def test_an_exact_description_passes() -> None:
    network = Two()
    verify(network, describe(network, "two", (3, 8, 8)))


def test_a_wrong_layer_is_named() -> None:
    network = Two()
    right = describe(network, "two", (3, 8, 8))
    first, second, head = right.layers
    wrong = replace(right, layers=(first, replace(second, kernel=(3, 3)), head))
    with pytest.raises(UnsupportedModelError, match="`second` does"):
        verify(network, wrong)


def test_wrong_parameters_are_refused() -> None:
    network = Two()
    right = describe(network, "two", (3, 8, 8))
    with pytest.raises(UnsupportedModelError, match="every parameter must follow"):
        verify(network, replace(right, other_parameters=7))


def test_work_that_no_layer_does_is_counted() -> None:
    network = Extra()
    architecture = describe(network, "extra", (3, 8, 8))
    assert [x.name for x in architecture.layers if not x.weights] == ["mix"]
    verify(network, architecture)


def test_work_that_is_left_out_is_refused() -> None:
    network = Extra()
    right = describe(network, "extra", (3, 8, 8))
    with pytest.raises(UnsupportedModelError, match="computes beyond its layers"):
        verify(network, replace(right, layers=right.layers[:-1]))


def test_equivalence_holds_for_a_plain_network() -> None:
    prove(Two())


def test_equivalence_fails_where_channels_mix_between_layers() -> None:
    class Rolled(Two):
        def forward(self, image: Tensor) -> Tensor:
            x = torch.roll(self.first(image), 1, dims=1)
            result: Tensor = self.head(self.second(x).mean((2, 3)))
            return result

    with pytest.raises(UnsupportedModelError, match="`second` comes after something"):
        prove(Rolled(), follow_channels(Two(), (3, 8, 8)))
