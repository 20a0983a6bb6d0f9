"""The self-check against a zoo: what mixes channels keeps them, all else is pruned exactly."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from benchmarks.reliability.layer_zoo import INPUT_SHAPE, alone, mixing
from hdap.fleet_data.errors import UnsupportedModelError
from hdap.networks.description import architecture_of
from hdap.networks.equivalence import pruning_error, verify_equivalence
from hdap.networks.following import follow_channels
from hdap.networks.tracing import trace

MIXING, ALONE = mixing(), alone()

# Here channels are moved or joined in a way that is followed: the first layer can lose some.
FOLLOWED = {
    *("shuffled", "shuffle module", "flipped", "pixels shuffled", "pixels unshuffled"),
    *("glu", "largest of pairs", "table in a buffer", "trained table"),
    # as the modules of these: a mean over channels is another one when some are gone, on purpose
    *("layer norm function", "layer norm over all", "group norm function"),
}


def error(network: nn.Module) -> tuple[float, set[str]]:
    """The largest error of three random configurations, and the width groups."""
    network = network.double().eval()
    architecture = trace(network, input_shape=INPUT_SHAPE)
    graph = follow_channels(network, INPUT_SHAPE, {g.name for g in architecture.groups})
    rng = np.random.default_rng(0)
    images = torch.randn(2, *INPUT_SHAPE, dtype=torch.float64)
    errors = [
        pruning_error(network, graph, np.flatnonzero(rng.random(len(graph.group_of)) < 0.3), images)
        for _ in range(3)
    ]
    return max(errors), {g.name for g in architecture.groups}


@pytest.mark.parametrize("name", sorted(MIXING.keys() - {"dropout that never ends"}))
def test_what_mixes_channels_keeps_them_or_is_pruned_exactly(name: str) -> None:
    off, groups = error(MIXING[name])
    assert off <= 1e-9
    assert ("first" in groups) == (name in FOLLOWED)
    if name not in FOLLOWED:
        kept = {k.layer: k.why for k in trace(MIXING[name], input_shape=INPUT_SHAPE).kept}
        assert kept["first"]


def test_what_gives_something_else_each_time_is_refused() -> None:
    with pytest.raises(UnsupportedModelError, match="nothing is left to prune"):
        trace(MIXING["dropout that never ends"], input_shape=INPUT_SHAPE)


@pytest.mark.parametrize("name", ALONE)
def test_what_leaves_channels_alone_is_pruned_exactly(name: str) -> None:
    off, groups = error(ALONE[name])
    assert "first" in groups
    assert off <= 1e-9


def test_numbers_that_are_none_show_nothing() -> None:
    class Rooted(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.second = nn.Conv2d(3, 8, 1), nn.Conv2d(8, 4, 1)
            self.head = nn.Linear(4, 2)

        def forward(self, image: Tensor) -> Tensor:
            x = self.second((self.first(image) - 1e9).sqrt())
            result: Tensor = self.head(x.mean((2, 3)))
            return result

    with pytest.raises(UnsupportedModelError, match="no finite numbers for random weights"):
        trace(Rooted(), input_shape=INPUT_SHAPE)


def test_threads_are_as_before() -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        trace(ALONE["nothing"], input_shape=INPUT_SHAPE)
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


class Ranked(nn.Module):
    """A detector of two stages: places whose scores are equal are put in an order by rounding."""

    input_shape = (3, 16, 16)

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 16, 3, padding=1)
        self.score = nn.Conv2d(16, 1, 1)
        self.second = nn.Linear(16, 12)
        self.third = nn.Linear(12, 4)

    def forward(self, image: Tensor) -> Tensor:
        features = self.first(image).relu()
        rounding = (1e17 * self.score(features)).sin()
        places = rounding.flatten(1).argsort(dim=1)[:, :9]
        chosen = features.flatten(2).transpose(1, 2)[:, places[0]]
        result: Tensor = self.third(self.second(chosen).relu())
        return result


def test_what_rounding_decides_is_not_held_against_a_network() -> None:
    architecture = trace(Ranked())
    assert set(architecture.index) == {"first", "second"}


def test_what_follows_the_choice_is_compared_all_the_same() -> None:
    network = Ranked()
    graph = follow_channels(network, network.input_shape)
    architecture = architecture_of(graph, "ranked", network.input_shape)
    names = [group.name for group in graph.groups]
    verify_equivalence(graph, architecture, names)
    mixed = {("third.weight", 1): np.flip(graph.tensors["third.weight", 1])}
    wrong = replace(graph, tensors={**graph.tensors, **mixed})
    with pytest.raises(UnsupportedModelError, match="the output"):
        verify_equivalence(wrong, architecture, names)
