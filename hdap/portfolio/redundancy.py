"""Which channels of a sparse network nobody needs, and what must be known to leave them out.

A channel can go when each layer that reads it has zero weights for it, or gets the same number from
it at every position, which then belongs into that layer's bias. Where padding makes a constant
uneven at the borders, it cannot become a bias; but several such channels become one, because what a
reader makes of them is proportional. Channels that go take readers away from others, so this is
repeated until nothing changes; the values of channels that stay never change, so one look at the
network is enough.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from torch import nn

from hdap.fleet_data.architecture import Architecture
from hdap.networks.channel_graph import ChannelGraph
from hdap.networks.layer_kinds.base import Indices
from hdap.networks.layer_kinds.registry import kind_of
from hdap.portfolio.channel_uses import Bools, ChannelUses, Merge, Reader
from hdap.portfolio.constant_propagation import ChannelConstants


@dataclass(frozen=True)
class Redundancy:
    """`needed[g]` are the channels of width group g that somebody needs.

    `kept[g]` are those that stay: with them others that only fill up the grid, or the place of a
    group that cannot be empty. `merges` come first, in order; then every constant that a layer
    still gets from a channel that is not needed belongs into its bias (`inputs[layer]` flags those
    inputs), and the inputs `unread[layer]`, which are there for their places, must not be read.
    `remaining` says in words which constant channels had to stay, and why.
    """

    needed: tuple[Indices, ...]
    kept: tuple[Indices, ...]
    inputs: dict[str, Bools]
    unread: dict[str, Indices]
    merges: tuple[Merge, ...]
    remaining: tuple[str, ...]


def find_redundancy(
    network: nn.Module,
    architecture: Architecture,
    graph: ChannelGraph,
    constants: ChannelConstants,
    step: int = 1,
) -> Redundancy:
    """What `network` does not need, by its weights and by what is known of its inputs.

    Counts of what stays are multiples of `step`, or the full width.
    """
    readers = {}
    for name, given in constants.given.items():
        layer = network.get_submodule(name)
        absorbs = name in constants.norms or kind_of(layer).absorbs(layer)
        readers[name] = Reader(name, given, absorbs)
    groups = [ChannelUses(group, graph, readers) for group in architecture.groups]
    merges: list[Merge] = []
    more = True
    while more:
        _until_nothing_changes(groups, readers)
        found = [merge for group in groups for merge in group.merge()]
        more = bool(found)
        merges += found
    unread: dict[str, Indices] = {}
    kept = tuple(group.kept(step) for group in groups)
    for group, stay in zip(groups, kept, strict=True):
        for name, indices in group.unread(stay):
            unread[name] = np.union1d(unread.get(name, np.empty(0, np.int64)), indices)
    return Redundancy(
        needed=tuple(np.flatnonzero(~group.gone) for group in groups),
        kept=kept,
        inputs={name: reader.gone for name, reader in readers.items() if reader.gone.any()},
        unread=unread,
        merges=tuple(merges),
        remaining=tuple(text for group in groups for text in group.remaining()),
    )


def _until_nothing_changes(groups: Sequence[ChannelUses], readers: dict[str, Reader]) -> None:
    changed = True
    while changed:
        # From the end, so that whatever frees the inputs of a layer has been seen before.
        changed = any([group.take(group.free()) for group in reversed(groups)])
