"""How much each channel matters, from the weights alone.

Magnitude pruning (Li et al., "Pruning Filters for Efficient ConvNets", ICLR 2017), with squared L2
norms so that shares of a group's total are shares of energy.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn

from hdap.fleet_data.architecture import Architecture, Layer, WidthGroup
from hdap.fleet_data.errors import InputError
from hdap.networks.channel_graph import ChannelGraph
from hdap.networks.following import follow_channels
from hdap.networks.layer_kinds.registry import find_kind, kind_of

Floats = NDArray[np.float64]


def channel_importance(
    module: nn.Module, architecture: Architecture, *, graph: ChannelGraph | None = None
) -> tuple[Floats, ...]:
    """One array of `width` non-negative scores for each width group; their mean is 1.

    The score of a channel is the squared norm of its filter, folded with the batch norm that
    follows; each layer is brought to mean 1, so that layers of different scale count alike, and the
    layers of a group are averaged. Raises `InputError` when weights are not finite or on meta.
    """
    norms = _following_norms(module, architecture)
    rows = OutputRows(module, architecture, graph)
    return tuple(
        np.mean([_energy(rows, group, name, norms.get(name)) for name in group.members], axis=0)
        for group in architecture.groups
    )


@dataclass(frozen=True, eq=False)
class OutputRows:
    """The outputs of a network's layers, and which channels of width groups they are.

    `known` is what `follow_channels` found for the network; it is followed when there is need.
    """

    module: nn.Module
    architecture: Architecture
    known: ChannelGraph | None = None

    def filters(self, name: str) -> Tensor:
        """The weights of a layer, outputs x all that makes one."""
        return self.by_output(name, self.weight(name))

    def weight(self, name: str) -> Tensor:
        """The weight of a layer: a parameter, or computed from some."""
        weight = self.module.get_submodule(name).weight
        assert isinstance(weight, Tensor)
        return weight

    def by_output(self, name: str, weight: Tensor) -> Tensor:
        """A tensor of the shape of a layer's weight as outputs x all that makes one."""
        layer = self.module.get_submodule(name)
        kind = find_kind(layer)
        # a module of the network's own lays them out as most layers do
        return weight.flatten(1) if kind is None else kind.by_output(layer, weight)

    def summed(self, group: WidthGroup, name: str, values: Floats) -> Floats:
        """One number an output of the layer `name` -> one a channel of its width group."""
        if len(values) == group.width:
            return values
        touch = next(
            t
            for t in self._graph.touches(group.name, range(group.width))
            if t.outputs and t.name == name
        )
        return touch.summed(values, group.width)

    @cached_property
    def _graph(self) -> ChannelGraph:
        return self.known or follow_channels(self.module, self.architecture.input_shape)


def importance_curves(scores: Sequence[Floats], architecture: Architecture) -> tuple[Floats, ...]:
    """Per width group the share of all importance that the k best channels hold, k = 0..width.

    Each curve has `width + 1` entries, rises from 0 to 1 and never falls. A group with `multiple`
    above 1 keeps the same places in every block, so its curve is exact at multiples and
    interpolated between.
    """
    return tuple(
        _curve(score, group.multiple)
        for score, group in zip(scores, architecture.groups, strict=True)
    )


def _curve(scores: Floats, multiple: int) -> Floats:
    places = scores.reshape(multiple, -1).sum(axis=0)
    held = np.concatenate([[0.0], np.cumsum(np.sort(places)[::-1])])
    # Not a division by the last entry alone: rounding must not make a share fall or pass 1.
    shares = np.minimum(held / held[-1], 1.0)
    counts = np.arange(len(shares)) * multiple
    curve: Floats = np.interp(np.arange(len(scores) + 1), counts, shares)
    return curve


def _energy(rows: OutputRows, group: WidthGroup, name: str, norm: str | None) -> Floats:
    filters = rows.filters(name).detach()
    if filters.is_meta:
        raise InputError("importance needs weights, but the model is on meta; load it on the cpu")
    energy = filters.double().square().sum(dim=1)
    if norm is not None:
        following = rows.module.get_submodule(norm)
        energy = energy * kind_of(following).energy_gain(following)
    whole = rows.summed(group, name, energy.cpu().numpy())
    return normalised(whole, name, "weights")


def normalised(scores: Floats, where: str, what: str = "weights and gradients") -> Floats:
    """Scores brought to mean 1; all 1 where all are 0. Raises `InputError` when not finite."""
    mean = scores.mean()
    if not np.isfinite(mean):
        raise InputError(f"{what} must be finite, but those of `{where}` are not")
    # A layer of zeros (zero-initialised residual branches) says nothing about its channels.
    result: Floats = scores / mean if mean > 0 else np.ones_like(scores)
    return result


def _following_norms(module: nn.Module, architecture: Architecture) -> dict[str, str]:
    """Layer -> the norm next to it in module order with the same channels."""
    modules = dict(module.named_modules())

    def follows(first: Layer, second: Layer) -> bool:
        known = find_kind(modules.get(second.name)) is not None
        norm = known and second.kind == "norm"
        return first.has_matrix and norm and first.outputs == second.outputs

    pairs = zip(architecture.layers, architecture.layers[1:], strict=False)
    return {first.name: second.name for first, second in pairs if follows(first, second)}
