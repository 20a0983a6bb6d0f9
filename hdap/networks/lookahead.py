"""Which channels matter to the layers that read them, from the weights alone.

Park et al., "Lookahead: A Far-Sighted Alternative of Magnitude-based Pruning", ICLR 2020: what a
weight is worth depends on the layers before and behind it. For a channel: how much it varies, times
how strongly it is read. Behind a batch norm it varies by the square of the scale, whatever the
filter before; so the filter's own norm, which other criteria go by, says little of it.
"""

import numpy as np
from torch import Tensor, nn

from hdap.fleet_data.architecture import Architecture, WidthGroup
from hdap.networks.channel_graph import ChannelGraph
from hdap.networks.channel_importance import Floats, channel_importance, normalised
from hdap.networks.following import follow_channels
from hdap.networks.layer_kinds.registry import find_kind


def lookahead_scores(
    network: nn.Module, architecture: Architecture, *, graph: ChannelGraph | None = None
) -> tuple[Floats, ...]:
    """One array of `width` non-negative scores for each width group.

    The variance of a channel behind the norms that it goes through (without any: the energy of its
    filters) times the squared weights by which layers take it up; each norm and each layer is
    brought to mean 1, and they are averaged. `graph` is what `follow_channels` found, if it is
    there. Raises `InputError` when weights are not finite or on meta.
    """
    graph = graph or follow_channels(network, architecture.input_shape)
    filters = channel_importance(network, architecture, graph=graph)
    return tuple(
        _scores(network, graph, group, energy)
        for group, energy in zip(architecture.groups, filters, strict=True)
    )


def _scores(network: nn.Module, graph: ChannelGraph, group: WidthGroup, energy: Floats) -> Floats:
    variances, read = [], []
    for touch in graph.touches(group.name, range(group.width)):
        layer = network.get_submodule(touch.name)
        kind = find_kind(layer)
        if kind is None:
            continue
        variance = kind.output_variance(layer)
        if variance is not None:
            varies = touch.summed(variance.cpu().numpy(), group.width)
            variances.append(normalised(varies, touch.name, "weights"))
        if kind.has_matrix and touch.inputs and not touch.outputs:
            weight = layer.weight  # a parameter, or computed from some
            assert isinstance(weight, Tensor)
            taken = kind.by_input(layer, weight.detach().double()).square().sum(1)
            reads = touch.summed(taken.cpu().numpy(), group.width)
            read.append(normalised(reads, touch.name, "weights"))
    found: Floats = np.mean(variances, axis=0) if variances else energy
    return found * np.mean(read, axis=0) if read else found
