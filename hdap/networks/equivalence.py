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
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from hdap.fleet_data.architecture import Architecture
from hdap.fleet_data.errors import UnsupportedModelError
from hdap.networks.channel_graph import ChannelGraph, refuse
from hdap.networks.forward_pass import run
from hdap.networks.layer_kinds.base import Indices
from hdap.networks.layer_kinds.registry import find_kind, kind_of
from hdap.networks.surgery import keep, kept_channels, losses, prune

Kept = list[Indices]
Losses = Mapping[str, tuple[Indices, Indices]]
_NONE = np.empty(0, dtype=np.int64)

# As a share of a layer's largest input: rounding in float64 stays far below it.
_TOLERANCE = 1e-9

# Standard deviation of the activations in each round, against what saturates, cuts or is steep.
_SIZES = (1.0, 0.01, 100.0)

# Channels (in each block) of the thin network that stands for the real one.
_THIN = (4, 9)

# How much smaller an image may be: channels do not depend on it.
_SHRINK = 4

# Parameters and buffers that are added or taken away, whatever layer they are of.
_ADDED = ("bias", "running_mean")


def thinned(network: nn.Module, architecture: Architecture, graph: ChannelGraph) -> nn.Module:
    """A copy of `network` with few channels: the same graph, but fast to run with real numbers."""
    rng = np.random.default_rng(0)
    places = rng.integers(*_THIN, len(architecture.groups)) * architecture.multiples
    return prune(network, architecture, np.minimum(places, architecture.widths), graph=graph)


def verify_equivalence(network: nn.Module, architecture: Architecture) -> None:
    """Prune a random half of each width group, then the other, and compare what layers are given.

    Only the structure of `network` is used; it may be on meta. Raises `UnsupportedModelError` with
    the first layer that is given other numbers than those of the channels that stay.
    """
    graph = ChannelGraph(network, architecture.input_shape)
    with _one_thread():
        _verify(network, architecture, graph)


def _verify(network: nn.Module, architecture: Architecture, graph: ChannelGraph) -> None:
    halves = _halves(architecture)
    image = _image(_with_random_weights(network, 1.0, seed=0), architecture.input_shape)
    for turn, size in enumerate(_SIZES):
        numbered = _with_random_weights(network, size, seed=turn)
        _calibrate(numbered, image * size, size)
        kept = halves[turn % 2]
        gone = losses(graph, architecture, kept)
        pruned = keep(numbered, architecture, kept, graph=graph)
        stay = _stay(numbered, architecture, gone)
        given = _Given()
        with given.recorded(_masked(numbered, gone)) as masked:
            expected = run(masked, image * size)
        with given.compared(pruned, stay):
            output = run(pruned, image * size)
        if not _same(output, expected):
            raise given.refusal("the output")


def _halves(architecture: Architecture) -> tuple[Kept, Kept]:
    """What stays of each width group: a random half of it, or as many of the others."""
    rng = np.random.default_rng(0)
    scores = [rng.random(group.width) for group in architecture.groups]
    first, second = (
        [
            kept_channels(sign * score, max(g.width // g.multiple // 2, 1) * g.multiple, g.multiple)
            for g, score in zip(architecture.groups, scores, strict=True)
        ]
        for sign in (1, -1)
    )
    return first, second


def _stay(network: nn.Module, architecture: Architecture, gone: Losses) -> dict[str, Indices]:
    """The input channels that each layer keeps; none for layers that have no channels."""
    stay = {}
    for layer in architecture.layers:
        module = network.get_submodule(layer.name)
        kind = kind_of(module)
        if kind.has_channels(module):
            inputs, outputs = gone.get(layer.name, (_NONE, _NONE))
            lost = outputs if kind.same_channels(module) else inputs
            stay[layer.name] = np.setdiff1d(np.arange(kind.channels(module)[0]), lost)
    return stay


class _Given:
    """What layers of the masked network were given, to compare a pruned one with as it runs."""

    def __init__(self) -> None:
        self._inputs: dict[str, Tensor] = {}
        self._between: list[str] = []

    @contextmanager
    def recorded(self, masked: nn.Module) -> Iterator[nn.Module]:
        """Notes the input of every layer while it runs; raises nothing."""

        def note(name: str, inputs: tuple[Any, ...]) -> None:
            self._inputs[name] = inputs[0]

        with _before_layers(masked, note):
            yield masked

    @contextmanager
    def compared(self, pruned: nn.Module, stay: Mapping[str, Indices]) -> Iterator[None]:
        """While it runs, raises `UnsupportedModelError` at the first layer of another input."""

        def compare(name: str, inputs: tuple[Any, ...]) -> None:
            if name not in stay:
                return
            layer, whole = pruned.get_submodule(name), self._inputs[name]
            dim = kind_of(layer).channel_dim(layer, inputs[0])
            if not _same(inputs[0], whole.index_select(dim, torch.from_numpy(stay[name]))):
                raise self.refusal(f"`{name}`")
            self._between.clear()

        passed = [
            module.register_forward_hook(lambda *_, name=name: self._between.append(name))
            for name, module in pruned.named_modules()
            if name and find_kind(module) is None and not _holds_layers(module)
        ]
        try:
            with _before_layers(pruned, compare):
                yield
        finally:
            for handle in passed:
                handle.remove()

    def refusal(self, at: str) -> UnsupportedModelError:
        """The error for another input of a layer, or another output."""
        why = "mixes channels, reorders them, or depends on how many there are"
        if len(self._between) == 1:
            return refuse(self._between[0], f"{why} ({at} after it shows it)")
        within = f" ({', '.join(self._between)})" if self._between else ""
        return refuse(at.strip("`"), f"comes after something{within} that {why}")


@contextmanager
def _one_thread() -> Iterator[None]:
    """Sharing out layers of so few channels costs more than it saves, most on a busy machine."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


@contextmanager
def _before_layers(
    network: nn.Module, see: Callable[[str, tuple[Any, ...]], None]
) -> Iterator[None]:
    handles = [
        layer.register_forward_pre_hook(lambda _, inputs, name=name: see(name, inputs))
        for name, layer in network.named_modules()
        if find_kind(layer) is not None
    ]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def _holds_layers(module: nn.Module) -> bool:
    return any(find_kind(part) is not None for part in module.modules())


def _same(left: Any, right: Tensor) -> bool:
    """Whether two tensors are the same but for rounding, and overflow at the same places."""
    if not isinstance(left, Tensor) or left.shape != right.shape:
        return False
    left, right = (x.nan_to_num(0.0, 0.0, 0.0) * x.isfinite() for x in (left, right))
    return bool((left - right).abs().max() <= _TOLERANCE * right.abs().max())


def _image(network: nn.Module, shape: tuple[int, ...]) -> Tensor:
    """A random image; a smaller one where the network takes that too."""
    channels, *sides = shape
    rng = torch.Generator().manual_seed(0)
    small = [max(side // _SHRINK, 1) for side in sides]
    image = torch.randn(1, channels, *small, generator=rng, dtype=torch.float64)
    try:
        run(network, image)
    except UnsupportedModelError:
        image = torch.randn(1, *shape, generator=rng, dtype=torch.float64)
    return image


def _masked(network: nn.Module, gone: Losses) -> nn.Module:
    """The network itself, in which no consumer sees any longer the channels that are gone."""
    for name, (inputs, _) in gone.items():
        layer = network.get_submodule(name)
        kind = kind_of(layer)
        if len(inputs) and not kind.same_channels(layer):
            _ignore(layer.get_parameter("weight"), kind.blocks(layer), torch.from_numpy(inputs))
    return network


@torch.no_grad()
def _ignore(weight: Tensor, blocks: int, inputs: Tensor) -> None:
    # out x in/blocks -> blocks x out/blocks x in/blocks: each block sees its own inputs.
    weight = weight.view(blocks, -1, *weight.shape[1:])
    size = weight.shape[2]
    weight[inputs // size, :, inputs % size] = 0.0


@torch.no_grad()
def _with_random_weights(network: nn.Module, size: float, seed: int) -> nn.Module:
    """A copy in float64 with random numbers everywhere, whose norms act on each channel alone."""
    numbered = copy.deepcopy(network).to_empty(device="cpu").double().eval()
    rng = torch.Generator().manual_seed(seed)
    for name, tensor in [*numbered.named_parameters(), *numbered.named_buffers()]:
        if not tensor.is_floating_point():
            tensor.copy_(torch.arange(tensor.numel()).view(tensor.shape) % 2)  # such as places
        elif tensor.dim() > 1:  # variance 2 / inputs keeps activations of one size (He et al.)
            bound = (6.0 / max(tensor[0].numel(), 1)) ** 0.5
            tensor.uniform_(-bound, bound, generator=rng)
        elif name.endswith(_ADDED):
            tensor.uniform_(-size, size, generator=rng)
        else:  # factors, variances
            tensor.uniform_(0.5, 1.5, generator=rng)
    _separate_channels(numbered)
    return numbered


def _separate_channels(network: nn.Module) -> None:
    """Make norms that mix channels act on each alone: means change with pruning."""

    def affine(norm: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> Tensor:
        x = inputs[0]
        weight, bias = (dict(norm.named_parameters()).get(n) for n in ("weight", "bias"))
        last = kind_of(norm).channel_dim(norm, x) == -1
        shape = [-1] if last else [-1, *[1] * (x.dim() - 2)]
        x = x if weight is None else x * weight.view(shape)
        return x if bias is None else x + bias.view(shape)

    for layer in network.modules():
        kind = find_kind(layer)
        if kind is not None and kind.mixes(layer):
            layer.register_forward_hook(affine)


def _calibrate(network: nn.Module, image: Tensor, size: float) -> None:
    """Scale each layer's matrix so that what it makes of the image has this standard deviation.

    (Mishkin and Matas, "All you need is a good init", ICLR 2016, in one pass.)
    """

    def scale(layer: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> Tensor:
        weight, bias = layer.get_parameter("weight"), getattr(layer, "bias", None)
        dim = kind_of(layer).channel_dim(layer, output)
        shift = (
            0.0 if bias is None else bias.view([-1, *[1] * (output.dim() - dim % output.dim() - 1)])
        )
        bare = output - shift
        deviation = bare.std(correction=0)
        if not (0 < deviation < torch.inf):
            return output
        weight.mul_(size / deviation)
        return bare * (size / deviation) + shift

    handles = [
        layer.register_forward_hook(scale)
        for layer in network.modules()
        for kind in [find_kind(layer)]
        if kind is not None and kind.has_matrix
    ]
    run(network, image)
    for handle in handles:
        handle.remove()
