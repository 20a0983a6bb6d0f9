"""Putting what channels that go would have given where it stays, on a copy that shares tensors."""

import copy
from collections.abc import Iterator
from itertools import groupby
from operator import attrgetter

import numpy as np
import torch
from torch import Tensor, nn

from hdap.networks.layer_kinds.base import Indices, replace_tensor
from hdap.networks.layer_kinds.registry import kind_of
from hdap.portfolio.channel_uses import Floats
from hdap.portfolio.constant_propagation import ChannelConstants
from hdap.portfolio.redundancy import Redundancy


def sharing_copy(module: nn.Module) -> nn.Module:
    """A copy with the same tensors: most of them are about to be cut, which makes new ones."""
    tensors = [*module.parameters(), *module.buffers()]
    return copy.deepcopy(module, {id(tensor): tensor for tensor in tensors})


def own_tensors(network: nn.Module, other: nn.Module) -> None:
    """Give `network` copies of what it still shares with `other`."""
    shared = {id(tensor) for tensor in [*other.parameters(), *other.buffers()]}
    for layer in network.modules():
        own = [*layer.named_parameters(recurse=False), *layer.named_buffers(recurse=False)]
        for name, tensor in own:
            if id(tensor) in shared:
                replace_tensor(layer, name, tensor.detach().clone())


@torch.no_grad()
def fold_constants(network: nn.Module, constants: ChannelConstants, found: Redundancy) -> None:
    """Merge inputs, put constants into biases, and stop reading what stays only for its place.

    In place on `network`, whose tensors are replaced and never written to.
    """
    merged: dict[str, list[int]] = {}
    for merge in found.merges:
        merged.setdefault(merge.layer, []).append(merge.source)
    for name in merged.keys() | found.unread.keys():
        layer = network.get_submodule(name)
        replace_tensor(layer, "weight", layer.get_parameter("weight").detach().clone())
    # Merges into one input are one product; one that was merged into before comes later.
    for (layer_name, target), merges in groupby(found.merges, key=attrgetter("layer", "target")):
        weight = network.get_submodule(layer_name).get_parameter("weight")
        every = list(merges)
        sources = weight[:, [merge.source for merge in every]]
        sources = sources.reshape(*sources.shape[:2], -1)  # outputs x inputs x places
        ratios = torch.tensor([merge.ratio for merge in every]).to(weight)
        weight[:, target] += (sources.transpose(1, 2) @ ratios).view(weight[:, target].shape)
    for name, gone in found.inputs.items():
        values = constants.given[name].values.nan_to_num().cpu().numpy() * gone
        values[merged.get(name, [])] = 0.0  # carried by another input already
        if values.any():
            weight = network.get_submodule(name).get_parameter("weight")
            shift = _shift(weight, constants.given[name].always, values)
            # the layer itself or the norm behind it; where neither can, nothing reads the constant
            for owner in filter(None, (name, constants.norms.get(name))):
                layer = network.get_submodule(owner)
                if kind_of(layer).absorbs(layer):
                    kind_of(layer).absorb(layer, shift)
                    break
    for name, inputs in found.unread.items():
        weight = network.get_submodule(name).get_parameter("weight")
        for rows, own, _ in _blocks(weight, len(constants.given[name].values), inputs):
            rows[:, own] = 0.0


def _shift(weight: Tensor, always: Tensor, values: Floats) -> Tensor:
    """What outputs get from inputs that are `values` at every position."""
    parts = []
    for rows, own, inputs in _blocks(weight, len(values), np.flatnonzero(values)):
        kernels = rows[:, own].double().reshape(len(rows), len(own), len(always))
        each = torch.from_numpy(values[inputs]).to(kernels)
        parts.append(kernels[..., always].sum(2) @ each)
    return torch.cat(parts)


def _blocks(
    weight: Tensor, width: int, inputs: Indices
) -> Iterator[tuple[Tensor, Indices, Indices]]:
    """For each group of a layer its rows, and those of `inputs` that are its own: their places in
    it and themselves."""
    size = weight.shape[1]
    for block, rows in enumerate(torch.split(weight, len(weight) * size // width)):
        inside = inputs[(inputs >= block * size) & (inputs < (block + 1) * size)]
        yield rows, inside - block * size, inside
