"""Proof that pruning takes away what it says: a pruned network against the same network, masked.

Counts alone cannot tell a right channel from a wrong one (a concatenation whose offsets are off by
three, a channel shuffle). A network in which every consumer ignores the removed channels computes
the same as one without them, whatever its weights are; so random weights decide.

Three things keep a difference from hiding. Every layer's input is compared, not the output alone:
nothing downstream can swallow it. Every layer's weights are scaled until its activations have the
size that a round asks for: a softmax that is one-hot or a clamp that is full in one round is not in
another. And a later round takes away what the first left, so that no channel is always there.
"""

import copy
from collections import defaultdict
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from hdap.fleet_data.architecture import Architecture, InputShapes, numbers_of
from hdap.fleet_data.costs import flops
from hdap.fleet_data.errors import UnsupportedModelError
from hdap.networks.channel_graph import ChannelGraph, refuse
from hdap.networks.forward_pass import Images, leaves, run
from hdap.networks.layer_kinds.base import Indices
from hdap.networks.layer_kinds.registry import find_kind, kind_of
from hdap.networks.network_copies import all_tensors
from hdap.networks.norms_by_channel import norms_by_channel
from hdap.networks.random_network import (
    calibrate,
    random_inputs,
    smaller_input,
    with_random_weights,
)
from hdap.networks.surgery import gone_places, kept_channels, take_away

# As a share of a layer's largest input: rounding in float64 stays below it, also where a steep
# softmax magnifies it; a wrong channel does not.
_TOLERANCE = 1e-7

# Relative, in float64.
_ROUNDING = 1e-15

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
    shape = smaller_input(thin.network, architecture.input_shape)
    share = numbers_of(shape) / numbers_of(architecture.input_shape)
    heavy = int(flops(architecture, left[None])[0]) * share > _HEAVY
    with _one_thread(not heavy), torch.no_grad():
        _verify(thin, shape, groups, _SIZES[: 1 if heavy else len(_SIZES)])


def masked(network: nn.Module, graph: ChannelGraph, gone: Indices) -> nn.Module:
    """A copy of `network` in which nothing that applies weights sees the places `gone`."""
    blind = copy.deepcopy(network)
    tensors = all_tensors(blind)
    for name, dim in graph.consumed:
        places = graph.tensors.get((name, dim))
        if places is not None:
            lost = torch.from_numpy(np.flatnonzero(np.isin(places, gone)))
            tensors[name].data.index_fill_(dim, lost.to(tensors[name].device), 0.0)
    return blind


def pruning_error(network: nn.Module, graph: ChannelGraph, gone: Indices, images: Images) -> float:
    """How far the outputs without the places `gone` are from those of the masked network.

    Relative to the largest output; norms that take channels together act on each alone in both.
    `network` has numbers, and is not changed. Raises `UnsupportedModelError` where it does not run.
    """
    pruned = copy.deepcopy(network)
    take_away(pruned, graph, gone)
    blind = masked(network, graph, gone)
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
    network = copy.deepcopy(graph.network)
    take_away(network, graph, gone)
    return graph.after(gone, network)


def _verify(
    graph: ChannelGraph, shape: InputShapes, groups: Collection[str], sizes: Sequence[float]
) -> None:
    halves = _halves(graph, groups)
    for turn, size in enumerate(sizes):
        numbered = with_random_weights(graph.network, size, seed=turn)
        image = random_inputs(shape, size)
        calibrate(numbered, image, size)
        gone = halves[turn % 2]
        pruned = copy.deepcopy(numbered)
        take_away(pruned, graph, gone)
        given = _Given(graph, gone)
        blind = masked(numbered, graph, gone)
        given.record(blind, image)
        if not turn and not any(x.isfinite().any() for x in given.outputs):
            raise refuse(given.last, "gives no finite numbers for random weights: nothing is shown")
        try:
            given.compare(pruned, image)
        except UnsupportedModelError:
            if not given.unsteady(blind, image):
                raise
            given.compare(pruned, image)


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


class _Given:
    """What layers of the masked network were given, to compare a pruned one with as it runs.

    Where another rounding decides what a layer is given (boxes in the order of their scores, or
    dropped for others), a pruned network may be given something else and be right. There it is
    given what the masked one was, so that what follows is compared all the same.
    """

    def __init__(self, graph: ChannelGraph, gone: Indices) -> None:
        self._stay: dict[str, list[Tensor]] = defaultdict(list)
        for layer in graph.layers:
            if not layer.is_product:
                stays = np.flatnonzero(~np.isin(layer.inputs, gone))
                self._stay[layer.name].append(torch.from_numpy(stays))
        self._inputs: dict[str, list[Tensor]] = defaultdict(list)
        self._seen: dict[str, int] = defaultdict(int)
        self._between: list[str] = []
        self._unsteady: set[tuple[str, int]] = set()
        self._steady_outputs = True
        self.outputs: list[Tensor] = []

    @property
    def last(self) -> str:
        """The last layer that ran."""
        return list(self._inputs)[-1] if self._inputs else "the network"

    def record(self, network: nn.Module, image: Images) -> None:
        """Run it and note its outputs and the input of every layer."""

        def note(name: str, inputs: tuple[Any, ...]) -> None:
            # in place, what follows may change it
            self._inputs[name].append(inputs[0].clone())

        with _before_layers(network, note), norms_by_channel(network):
            self.outputs = leaves(run(network, image))

    def unsteady(self, network: nn.Module, image: Images) -> bool:
        """Whether another rounding of what the layers of the masked network give changes more than
        rounding does, in what a layer is given or in the outputs; not so where it says something
        else each time."""
        return not self._differs(network, image, 0.0) and self._differs(network, image, _ROUNDING)

    def _differs(self, network: nn.Module, image: Images, rounding: float) -> bool:
        generator = torch.Generator().manual_seed(0)
        self._seen.clear()

        def shake(_: nn.Module, __: Any, output: Tensor) -> Tensor:
            noise = torch.randn(output.shape, generator=generator, dtype=output.dtype)
            return output * (1.0 + rounding * noise)

        def note(name: str, inputs: tuple[Any, ...]) -> tuple[Any, ...] | None:
            use = self._use(name)
            whole = self._inputs[name][use]
            if _same(inputs[0], whole):
                return None
            self._unsteady.add((name, use))
            return whole.clone(), *inputs[1:]

        shaken = [layer.register_forward_hook(shake) for _, layer in _layers(network)]
        with _hooked(shaken), _before_layers(network, note), norms_by_channel(network):
            self._steady_outputs = _all_same(leaves(run(network, image)), self.outputs)
        return bool(self._unsteady) or not self._steady_outputs

    def compare(self, pruned: nn.Module, image: Images) -> None:
        """Run it; raises `UnsupportedModelError` at the first layer of another input."""
        self._seen.clear()
        self._between.clear()

        def look(name: str, inputs: tuple[Any, ...]) -> tuple[Any, ...] | None:
            use = self._use(name)
            layer = pruned.get_submodule(name)
            kind = kind_of(layer)
            if not kind.has_channels(layer) or use >= len(self._stay[name]):
                return None
            dim = kind.channel_dim(layer, inputs[0])
            stays = self._inputs[name][use].index_select(dim, self._stay[name][use])
            if (name, use) in self._unsteady:
                return stays, *inputs[1:]
            if not _same(inputs[0], stays):
                raise self.refusal(f"`{name}`")
            self._between.clear()
            return None

        passed = [
            module.register_forward_hook(lambda *_, name=name: self._between.append(name))
            for name, module in pruned.named_modules()
            if name and find_kind(module) is None and not _holds_layers(module)
        ]
        with _hooked(passed), _before_layers(pruned, look), norms_by_channel(pruned):
            outputs = leaves(run(pruned, image))
        if self._steady_outputs and not _all_same(outputs, self.outputs):
            raise self.refusal("the output")

    def _use(self, name: str) -> int:
        self._seen[name] += 1
        return self._seen[name] - 1

    def refusal(self, at: str) -> UnsupportedModelError:
        """The error for another input of a layer, or another output."""
        why = "mixes channels, reorders them, or depends on how many there are"
        if len(self._between) == 1:
            return refuse(self._between[0], f"{why} ({at} after it shows it)")
        within = f" ({', '.join(self._between)})" if self._between else ""
        return refuse(at.strip("`"), f"comes after something{within} that {why}")


@contextmanager
def _one_thread(asked: bool) -> Iterator[None]:
    """Sharing out layers of so few channels costs more than it saves, most on a busy machine."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1 if asked else threads)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


@contextmanager
def _before_layers(
    network: nn.Module, see: Callable[[str, tuple[Any, ...]], tuple[Any, ...] | None]
) -> Iterator[None]:
    seen = [
        layer.register_forward_pre_hook(lambda _, inputs, name=name: see(name, inputs))
        for name, layer in _layers(network)
    ]
    with _hooked(seen):
        yield


@contextmanager
def _hooked(handles: Sequence[RemovableHandle]) -> Iterator[None]:
    """Afterwards the hooks of these handles are gone."""
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def _layers(network: nn.Module) -> list[tuple[str, nn.Module]]:
    """Its layers of known kinds, by name."""
    return [(name, part) for name, part in network.named_modules() if find_kind(part) is not None]


def _holds_layers(module: nn.Module) -> bool:
    return any(find_kind(part) is not None for part in module.modules())


def _all_same(left: Sequence[Tensor], right: Sequence[Tensor]) -> bool:
    return len(left) == len(right) and all(map(_same, left, right))


def _same(left: Tensor, right: Tensor) -> bool:
    """Whether two tensors are the same but for rounding, and overflow at the same places."""
    if left.shape != right.shape:
        return False
    if not left.numel():
        return True
    left, right = (x.double().nan_to_num(0.0, 0.0, 0.0) * x.isfinite() for x in (left, right))
    return bool((left - right).abs().max() <= _TOLERANCE * right.abs().max())
