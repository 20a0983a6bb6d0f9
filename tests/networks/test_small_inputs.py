"""What a network is shown in a proof is small, whatever size it resizes its input to."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from hdap.fleet_data.errors import UnsupportedModelError
from hdap.networks.description import architecture_of
from hdap.networks.equivalence import verify_equivalence
from hdap.networks.following import follow_channels
from hdap.networks.small_inputs import SmallInput, smallest_input
from hdap.networks.tracing import trace

SHAPE = (3, 32, 32)


class Resizing(nn.Module):
    """As torchvision's detectors: every image is made 64 x 64 first."""

    input_shape = SHAPE

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Conv2d(3, 8, 3, padding=1), nn.Conv2d(8, 6, 1)
        self.head = nn.Linear(6, 4)
        self.sizes: list[tuple[int, ...]] = []

    def forward(self, image: Tensor) -> Tensor:
        image = functional.interpolate(image, size=(64, 64), mode="bilinear")
        self.sizes.append(tuple(image.shape[2:]))
        return self.end(self.between(self.first(image)))

    def between(self, features: Tensor) -> Tensor:
        return features

    def end(self, features: Tensor) -> Tensor:
        result: Tensor = self.head(self.second(features).mean((2, 3)))
        return result


class Written(Resizing):
    """One that its last layer holds to the size."""

    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Linear(6 * 64 * 64, 4)

    def end(self, features: Tensor) -> Tensor:
        result: Tensor = self.head(self.second(features).flatten(1))
        return result


class Rolled(Resizing):
    def between(self, features: Tensor) -> Tensor:
        return features.roll(1, 1)


class Enlarged(Resizing):
    """Features are resized too, to a size that is needed."""

    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Linear(6 * 16 * 16, 4)

    def end(self, features: Tensor) -> Tensor:
        enlarged = functional.interpolate(self.second(features), size=(16, 16))
        result: Tensor = self.head(enlarged.flatten(1))
        return result


@pytest.mark.parametrize(
    ("network", "expected", "sides"),
    [
        (Resizing(), SmallInput((3, 8, 8), 4), (16, 16)),
        (Written(), SmallInput((3, 8, 8)), (64, 64)),
        (Enlarged(), SmallInput((3, 8, 8), 4), (16, 16)),
    ],
)
def test_an_image_is_resized_to_less_where_the_network_runs_on(
    network: Resizing, expected: SmallInput, sides: tuple[int, int]
) -> None:
    small = smallest_input(network.eval(), SHAPE)
    assert small == expected
    assert small.run(network, torch.zeros(1, *SHAPE)).shape == (1, 4)
    assert network.sizes[-1] == sides
    network(torch.zeros(1, *SHAPE))
    assert network.sizes[-1] == (64, 64)


@pytest.mark.parametrize("network", [Resizing(), Written(), Enlarged()])
def test_what_resizes_its_input_is_pruned(network: nn.Module) -> None:
    assert [g.name for g in trace(network).groups] == ["first", "second"]


def test_a_small_image_shows_what_moves_channels() -> None:
    network = Resizing()
    graph = follow_channels(network, SHAPE)
    architecture = architecture_of(graph, "resizing", SHAPE)
    names = [group.name for group in graph.groups]
    verify_equivalence(graph, architecture, names)
    with pytest.raises(UnsupportedModelError, match="`second` comes after something"):
        verify_equivalence(replace(graph, network=Rolled()), architecture, names)
