"""Proof that pruning takes away what it says: a pruned network against the same network, masked.

Counts alone cannot tell a right channel from a wrong one (a concatenation whose offsets are off by
three, a channel shuffle). A network in which every consumer ignores the removed channels computes
the same as one without them, whatever its weights are; so random weights decide.

Three things keep a difference from hiding. Every layer's input is compared, not the output alone:
nothing downstream can swallow it. Every layer's weights are scaled until its activations have the
size that a round asks for: a softmax that is one-hot or a clamp that is full in one round is not in
another. And a later round takes away what the first left, so that no channel is always there.
"""

from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from functools import partial

import numpy as np
import torch
from torch import nn

from hdap.fleet_data.architecture import Architecture, numbers_of
from hdap.fleet_data.costs import flops
from hdap.fleet_data.errors import UnsupportedModelError
from hdap.networks.channel_graph import ChannelGraph, Refusal
from hdap.networks.forward_pass import Images, leaves, run
from hdap.networks.given_inputs import GivenInputs
from hdap.networks.layer_kinds.base import Indices
from hdap.networks.network_copies import all_tensors, duplicate
from hdap.networks.norms_by_channel import norms_by_channel
from hdap.networks.random_network import calibrated, fill_randomly, in_float64
from hdap.networks.small_inputs import SmallInput, smallest_input
from hdap.networks.surgery import gone_places, kept_channels, take_away
from hdap.networks.walk.labels import CONSTANT

# Standard deviation of the activations in each round, against what saturates, cuts or is steep.
_SIZES = (1.0, 0.01, 100.0)

# FLOPs of the thin network beyond which one round must do: a second on one core in float64.
_HEAVY = 2e9

# Channels (in each block) of the thin network that stands for the real one.
_THIN = (4, 9)


def verify_equivalence(
    graph: ChannelGraph, architecture: Architecture, groups: Collection[str]
) -> None:
    """Prune a random half of each of `groups`, then the other, and compare what layers are given.

    A thin copy with random weights stands for the network. Raises `UnsupportedModelError` with the
    first layer that is given other numbers than those of the channels that stay.
    """
    thin = _thinned(graph, architecture, groups)
    left = np.array([g.width for g in thin.groups])
    small = smallest_input(thin.network, architecture.input_shape)
    share = numbers_of(small.shape) / numbers_of(architecture.input_shape)
    heavy = int(flops(architecture, left[None])[0]) * share > _HEAVY
    sizes = _SIZES[: 1 if heavy else len(_SIZES)]
    with _one_thread(not heavy), torch.no_grad():
        try:
            _verify(thin, small, groups, sizes)
        except NotShownError:
            whole = SmallInput(architecture.input_shape)
            if small == whole:
                raise
            _verify(thin, whole, groups, sizes)  # there may be no box in a small image


class NotShownError(Refusal):
    """A layer that was given or gave no numbers in a proof; of `groups` nothing is known so."""

    def __init__(self, layer: str, why: str, groups: Collection[str] = ()) -> None:
        super().__init__(layer, why)
        self.groups = frozenset(groups)


def mask(network: nn.Module, graph: ChannelGraph, gone: Indices) -> None:
    """Make nothing that applies weights see the places `gone`, in place."""
    tensors = all_tensors(network)
    for name, dim in graph.consumed:
        places = graph.tensors.get((name, dim))
        if places is not None:
            lost = torch.from_numpy(np.flatnonzero(np.isin(places, gone)))
            tensors[name].data.index_fill_(dim, lost.to(tensors[name].device), 0.0)


def pruning_error(network: nn.Module, graph: ChannelGraph, gone: Indices, images: Images) -> float:
    """How far the outputs without the places `gone` are from those of the masked network.

    Relative to the largest output; norms that take channels together act on each alone in both.
    `network` has numbers, and is not changed. Raises `UnsupportedModelError` where it does not run.
    """
    pruned = duplicate(network)
    take_away(pruned, graph, gone)
    blind = duplicate(network)
    mask(blind, graph, gone)
    with norms_by_channel(blind, pruned):
        expected = leaves(run(blind, images))
        got = leaves(run(pruned, images))
    if [x.shape for x in got] != [x.shape for x in expected]:
        return float("inf")
    scale = max(float(x.abs().max()) for x in expected if x.numel()) or 1.0
    return max(float((x - y).abs().max()) for x, y in zip(got, expected, strict=True)) / scale


def _thinned(
    graph: ChannelGraph, architecture: Architecture, groups: Collection[str]
) -> ChannelGraph:
    """The graph of a network with few channels in `groups`: as such, but fast to run."""
    rng = np.random.default_rng(0)
    counts = rng.integers(*_THIN, len(architecture.groups)) * architecture.multiples
    kept = [
        np.arange(g.width)
        if g.name not in groups
        else kept_channels(np.zeros(g.width), min(int(n), g.width), g.multiple)
        for g, n in zip(architecture.groups, counts, strict=True)
    ]
    gone = gone_places(graph, architecture, kept)
    network = duplicate(graph.network)
    take_away(network, graph, gone)
    return graph.after(gone, network)


def _verify(
    graph: ChannelGraph, small: SmallInput, groups: Collection[str], sizes: Sequence[float]
) -> None:
    halves = _halves(graph, groups)
    shown: set[str] = set()
    network = in_float64(graph.network)
    for turn, size in enumerate(sizes):
        fill_randomly(network, size, seed=turn)
        run = partial(small.run, images=small.random(size))
        with calibrated(network, size):
            run(network)
        gone = halves[turn % 2]
        pruned = duplicate(network)
        take_away(pruned, graph, gone)
        given = GivenInputs(graph, gone, run)
        mask(network, graph, gone)
        given.record(network)
        shown |= given.shown
        if not turn and not any(x.isfinite().any() for x in given.outputs):
            why = "gives no finite numbers for random weights: nothing is shown"
            raise NotShownError(given.last, why)
        try:
            given.compare(pruned)
        except UnsupportedModelError:
            if not given.unsteady(network):
                raise
            given.compare(pruned)
    _require_shown(graph, np.concatenate(halves), shown)


def _require_shown(graph: ChannelGraph, gone: Indices, shown: Collection[str]) -> None:
    hidden = [
        layer
        for layer in graph.layers
        if not layer.is_product and layer.name not in shown and np.isin(layer.inputs, gone).any()
    ]
    if hidden:
        places = np.concatenate([x.inputs[x.inputs != CONSTANT] for x in hidden])
        groups = {graph.groups[g].name for g in np.unique(graph.group_of[places])}
        why = "is given nothing by random weights: nothing is shown of what it reads"
        raise NotShownError(hidden[0].name, why, groups)


def _halves(graph: ChannelGraph, groups: Collection[str]) -> tuple[Indices, Indices]:
    """Places of each of `groups` that go: a random half of them, or as many of the others."""
    rng = np.random.default_rng(0)
    first, second = [np.empty(0, np.int64)], [np.empty(0, np.int64)]
    for group in graph.groups:
        count = group.width // group.multiple
        order = rng.permutation(count)
        if group.name in groups and count > 1:
            stay = max(count // 2, 1)
            first.append(graph.places(group.name, order[stay:]))
            second.append(graph.places(group.name, order[: count - stay]))
    return np.concatenate(first), np.concatenate(second)


@contextmanager
def _one_thread(asked: bool) -> Iterator[None]:
    """Sharing out layers of so few channels costs more than it saves, most on a busy machine."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1 if asked else threads)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
