"""Which channels of which layer belong to which place of a width group."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from torch import nn

from hdap.fleet_data.architecture import Architecture, Counts
from hdap.networks.channel_graph import ChannelGraph
from hdap.networks.layer_kinds.base import Indices
from hdap.networks.layer_kinds.registry import kind_of


@dataclass(frozen=True, eq=False)
class Side:
    """The input or the output channels of a layer.

    Channel c goes with channel `root[c]` of width group `group[c]` (-1: with none, it stays).
    """

    group: Indices
    root: Indices

    def kept(self, architecture: Architecture, counts: Counts) -> Indices:
        """Channels that a configuration (`groups`) keeps, ascending: the first of every block."""
        if not architecture.groups:
            return np.arange(len(self.group))
        blocks = architecture.widths // architecture.multiples
        place = self.root % blocks[self.group]
        stays = (self.group < 0) | (place < (counts // architecture.multiples)[self.group])
        return np.flatnonzero(stays)

    def reordered(self, orders: Sequence[Indices]) -> Indices:
        """For each channel the one that takes its place when roots are put in `orders`."""
        source = np.arange(len(self.group))
        for index in np.unique(self.group[self.group >= 0]):
            channels = np.flatnonzero(self.group == index)
            # root x copy: a flattened image has several channels a root, one after the other
            table = channels[np.argsort(self.root[channels], kind="stable")]
            table = table.reshape(len(orders[index]), -1)
            source[table] = table[orders[index]]
        return source


@dataclass(frozen=True, eq=False)
class Places:
    """Both sides of a layer; one whose inputs are its outputs has `outputs` alone."""

    inputs: Side | None
    outputs: Side

    def kept(self, architecture: Architecture, counts: Counts) -> tuple[Indices | None, Indices]:
        """Input (None where there are no others) and output channels of a configuration."""
        inputs = None if self.inputs is None else self.inputs.kept(architecture, counts)
        return inputs, self.outputs.kept(architecture, counts)


def places(graph: ChannelGraph, architecture: Architecture) -> dict[str, Places]:
    """Every layer that some width group moves, and every norm, in module order."""
    found: dict[str, Places] = {}
    touched = [
        (index, touch)
        for index, group in enumerate(architecture.groups)
        for touch in graph.touches(group.name, range(group.width))
    ]
    moved = {touch.name for _, touch in touched}
    for layer in architecture.layers:
        module = graph.network.get_submodule(layer.name)
        # a norm over whole images has no channels of its own
        flat = all(p.dim() == 1 for p in module.parameters(recurse=False))
        if layer.name in moved or (flat and not layer.has_matrix):
            found[layer.name] = _fixed(module)
    for index, touch in touched:
        both = found[touch.name]
        side = both.outputs if touch.outputs or both.inputs is None else both.inputs
        side.group[touch.indices] = index
        side.root[touch.indices] = touch.roots
    return found


def _fixed(layer: nn.Module) -> Places:
    kind = kind_of(layer)
    inputs, outputs = (
        Side(np.full(n, -1), np.zeros(n, dtype=np.int64)) for n in kind.channels(layer)
    )
    return Places(None if kind.same_channels(layer) else inputs, outputs)
