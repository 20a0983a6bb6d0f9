"""Proof that pruning takes away what it says: a pruned network against the same network, masked.

Counts alone cannot tell a right channel from a wrong one (a concatenation whose offsets are off by
three, a channel shuffle). A network in which every consumer ignores the removed channels computes
the same as one without them, whatever its weights are; so random weights decide.
"""

import copy

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from hdap.fleet_data.architecture import Architecture
from hdap.fleet_data.errors import UnsupportedModelError
from hdap.networks.channel_graph import ChannelGraph, refuse
from hdap.networks.forward_pass import run
from hdap.networks.layer_kinds.registry import find_kind, kind_of
from hdap.networks.surgery import keep, kept_channels, prune

Kept = list[NDArray[np.int64]]

# As a share of what the pruning did to the output: rounding in float64 stays far below it, a single
# wrong channel far above.
_TOLERANCE = 1e-6

# Channels (in each block) of the thin network that stands for the real one.
_THIN = (4, 9)

# How much smaller an image may be: channels do not depend on it.
_SHRINK = 4


def thinned(network: nn.Module, architecture: Architecture, graph: ChannelGraph) -> nn.Module:
    """A copy of `network` with few channels: the same graph, but fast to run with real numbers."""
    rng = np.random.default_rng(0)
    places = rng.integers(*_THIN, len(architecture.groups)) * architecture.multiples
    return prune(network, architecture, np.minimum(places, architecture.widths), graph=graph)


def verify_equivalence(network: nn.Module, architecture: Architecture) -> None:
    """Prune a random half of each width group and compare outputs.

    Only the structure of `network` is used; it may be on meta. Raises `UnsupportedModelError` with
    the first width group whose removal is not the same as ignoring its channels.
    """
    rng = np.random.default_rng(0)
    halves = [
        kept_channels(
            rng.random(g.width), max(g.width // g.multiple // 2, 1) * g.multiple, g.multiple
        )
        for g in architecture.groups
    ]
    numbered = _with_random_weights(network)
    if _agrees(numbered, architecture, halves):
        return
    everything = [np.arange(g.width) for g in architecture.groups]
    for index, group in enumerate(architecture.groups):
        one = [*everything[:index], halves[index], *everything[index + 1 :]]
        if not _agrees(numbered, architecture, one):
            raise refuse(group.name, "has channels that other layers take in another order")
    raise refuse(architecture.groups[0].name, "and later width groups do not prune independently")


def _agrees(network: nn.Module, architecture: Architecture, kept: Kept) -> bool:
    graph = ChannelGraph(network, architecture.input_shape)
    pruned = keep(network, architecture, kept, graph=graph)
    masked = _masked(network, architecture, kept, graph)
    plain = copy.deepcopy(network)
    for net in (pruned, masked, plain):
        _separate_channels(net, network)
    image = _image(plain, architecture.input_shape)
    left, right, base = (run(net, image) for net in (pruned, masked, plain))
    effect = (right - base).abs().max() + 1e-3 * right.abs().max()
    return bool((left - right).abs().max() <= _TOLERANCE * effect)


def _image(network: nn.Module, shape: tuple[int, int, int]) -> Tensor:
    """A random image; a smaller one where the network takes that too."""
    channels, *sides = shape
    rng = torch.Generator().manual_seed(0)
    small = [max(side // _SHRINK, 1) for side in sides]
    image = torch.rand(1, channels, *small, generator=rng, dtype=torch.float64)
    try:
        run(network, image)
    except UnsupportedModelError:
        image = torch.rand(1, *shape, generator=rng, dtype=torch.float64)
    return image


def _masked(
    network: nn.Module, architecture: Architecture, kept: Kept, graph: ChannelGraph
) -> nn.Module:
    """A copy in which no consumer sees the channels that are not kept."""
    masked = copy.deepcopy(network)
    for group, stay in zip(architecture.groups, kept, strict=True):
        gone = np.setdiff1d(np.arange(group.width), stay)
        if not len(gone):
            continue
        for touch in graph.coupling(group.name, gone.tolist()).touches:
            kind = kind_of(touch.module)
            if touch.inputs and not kind.same_channels(touch.module):
                weight = masked.get_submodule(touch.name).get_parameter("weight")
                _ignore(weight, kind.blocks(touch.module), torch.from_numpy(touch.indices))
    return masked


@torch.no_grad()
def _ignore(weight: Tensor, blocks: int, inputs: Tensor) -> None:
    # out x in/blocks -> blocks x out/blocks x in/blocks: each block sees its own inputs.
    weight = weight.view(blocks, -1, *weight.shape[1:])
    size = weight.shape[2]
    weight[inputs // size, :, inputs % size] = 0.0


@torch.no_grad()
def _with_random_weights(network: nn.Module) -> nn.Module:
    numbered = copy.deepcopy(network).to_empty(device="cpu").double().eval()
    rng = torch.Generator().manual_seed(0)
    for tensor in [*numbered.parameters(), *numbered.buffers()]:
        if not tensor.is_floating_point():
            tensor.zero_()
        elif tensor.dim() > 1:  # variance 2 / inputs keeps activations of one size (He et al.)
            bound = (6.0 / max(tensor[0].numel(), 1)) ** 0.5
            tensor.uniform_(-bound, bound, generator=rng)
        else:
            tensor.uniform_(0.5, 1.5, generator=rng)
    return numbered


def _separate_channels(network: nn.Module, whole: nn.Module) -> None:
    """Make norms that mix channels of `whole` act on each alone: means change with pruning."""

    def affine(norm: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> Tensor:
        x = inputs[0]
        weight, bias = (dict(norm.named_parameters()).get(n) for n in ("weight", "bias"))
        last = kind_of(norm).channel_dim(norm, x) == -1
        shape = [-1] if last else [-1, *[1] * (x.dim() - 2)]
        x = x if weight is None else x * weight.view(shape)
        return x if bias is None else x + bias.view(shape)

    for name, layer in whole.named_modules():
        kind = find_kind(layer)
        if kind is not None and kind.mixes(layer):
            network.get_submodule(name).register_forward_hook(affine)
