"""From one run of a network to its channel graph."""

from collections.abc import Collection, Sequence
from dataclasses import replace

import numpy as np
from torch import nn

from hdap.fleet_data.architecture import InputShapes, WidthGroup
from hdap.fleet_data.errors import UnsupportedModelError
from hdap.networks.channel_graph import ChannelGraph, TracedLayer, own_tensors
from hdap.networks.layer_kinds.registry import find_kind
from hdap.networks.network_copies import on_cpu, on_meta
from hdap.networks.walk.channel_ties import Settled
from hdap.networks.walk.labels import CONSTANT, Atoms
from hdap.networks.walk.recorder import Walk
from hdap.networks.walk.walking import walk
from hdap.networks.walk.width_grouping import (
    ChannelMaker,
    group_units,
    units_of_sources,
)
from hdap.networks.walk.written_sizes import written_sizes


def follow_channels(
    module: nn.Module,
    input_shape: InputShapes,
    only: Collection[str] | None = None,
    *,
    numbers: bool = False,
    counted: bool = False,
) -> ChannelGraph:
    """The channels of `module`, which is neither changed nor run: a copy on meta is.

    With `only` the width groups of other names stay whole. A network that does not run on meta
    (code that looks at numbers) runs on the CPU; `numbers` says that it is such a one. `counted`
    counts FLOPs in the same run. Raises `UnsupportedModelError` where it does not run at all.
    """
    network, seen = _walked(module, input_shape, numbers, counted)
    graph = _assembled(network, seen)
    return graph if only is None else graph.keeping_all_but(only)


def _walked(
    module: nn.Module, input_shape: InputShapes, numbers: bool, counted: bool
) -> tuple[nn.Module, Walk]:
    if not numbers:
        network = on_meta(module)
        try:
            return network, walk(network, input_shape, counted=counted)
        except UnsupportedModelError:
            if next(module.parameters()).is_meta:
                raise
    network = on_cpu(module)
    try:
        return network, walk(network, input_shape, counted=counted)
    except UnsupportedModelError:  # code that looks at numbers more closely
        return network, walk(network, input_shape, computed=True, counted=counted)


def _assembled(network: nn.Module, seen: Walk) -> ChannelGraph:
    settled = seen.ties.settle()
    tensors = units_of_sources(seen, settled)
    layers = _layers(network, seen, settled)
    own = own_tensors(network, layers)
    counted = [side for x in layers for side in (x.inputs, x.outputs)]
    counted += [side for (name, _), side in tensors.items() if name not in own]
    weights = [side for (name, _), side in tensors.items() if name in own]
    found = group_units(settled, _candidates(network, layers), counted, weights)
    groups = found.groups
    place = np.full(len(settled.unit) + 1, CONSTANT)
    offsets, offset = [], 0
    for group in groups:
        place[group.units] = np.arange(offset, offset + len(group.units))
        offsets.append(offset)
        offset += len(group.units)
    by_place = {key: place[units] for key, units in tensors.items()}

    of_atom = np.append(place[settled.unit], CONSTANT)  # a constant is -1, the last

    def places(atoms: Atoms) -> Atoms:
        return of_atom[atoms]

    roots = np.array([*(g.root for g in groups for _ in g.units), ""])
    told: dict[str, tuple[tuple[str, ...], ...]] = {}
    for call in seen.sized:
        sides = [{str(r) for r in roots[_distinct(places(x))]} - {""} for x in call.sides]
        names = tuple(min(side) if len(side) == 1 else "" for side in sides)
        told[call.module] = (*told.get(call.module, ()), names)
    return ChannelGraph(
        network=network,
        groups=tuple(WidthGroup(g.root, g.width, g.members, g.multiple) for g in groups),
        kept=found.kept,
        offsets=tuple(offsets),
        tensors={key: p for key, p in by_place.items() if (p != CONSTANT).any()},
        consumed=seen.ties.consumed(),
        layers=tuple(replace(x, inputs=place[x.inputs], outputs=place[x.outputs]) for x in layers),
        written=written_sizes(network, seen.sized, places),
        told=told,
        counted=seen.counted,
    )


def _distinct(places: Atoms) -> Atoms:
    """The places that occur, in order; `CONSTANT` is not among them."""
    occurs = np.zeros(int(places.max(initial=CONSTANT)) + 2, dtype=np.bool_)
    occurs[places] = True  # a constant is -1, the last
    return np.flatnonzero(occurs[:-1])


def _layers(network: nn.Module, seen: Walk, settled: Settled) -> list[TracedLayer]:
    """Layers and products in module order, with units instead of places."""
    order = {name: i for i, (name, _) in enumerate(network.named_modules())}
    uses: dict[str, int] = {}
    found = []
    for call in seen.calls:
        use = uses[call.name] = uses.get(call.name, -1) + 1
        found.append(
            TracedLayer(
                call.name,
                settled.units(call.inputs),
                settled.units(call.outputs),
                call.input_size,
                call.output_size,
                use,
            )
        )
    for product in seen.products:
        name = product.weight.removesuffix(".weight") or product.module or "forward"
        use = uses[name] = uses.get(name, -1) + 1
        found.append(
            TracedLayer(
                name,
                settled.units(product.inputs),
                settled.units(product.outputs),
                (1, product.positions),
                (1, product.positions),
                use,
                is_product=True,
                weight=product.weight,
                kernel=product.kernel,
                groups=product.groups,
            )
        )

    def place(layer: TracedLayer) -> int:
        name = layer.name
        while name not in order:
            name = name.rpartition(".")[0]
        return order[name]

    return sorted(found, key=place)


def _candidates(network: nn.Module, layers: Sequence[TracedLayer]) -> list[ChannelMaker]:
    found = []
    for layer in layers:
        if layer.use:
            continue
        if layer.is_product:
            if layer.weight.endswith(".weight"):
                found.append(ChannelMaker(layer.name, layer.outputs, False))
            continue
        module = network.get_submodule(layer.name)
        kind = find_kind(module)
        if kind is not None and kind.has_matrix:
            found.append(ChannelMaker(layer.name, layer.outputs, kind.same_channels(module)))
    return found
