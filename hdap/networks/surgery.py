"""Really removing channels, exactly those that a configuration plans."""

from collections import defaultdict
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from hdap.fleet_data.architecture import Architecture, Counts
from hdap.fleet_data.costs import check_counts, layer_channels
from hdap.fleet_data.errors import InputError
from hdap.networks.channel_graph import ChannelGraph, refuse
from hdap.networks.following import follow_channels
from hdap.networks.layer_kinds.base import Indices
from hdap.networks.layer_kinds.registry import find_kind
from hdap.networks.network_copies import all_tensors, duplicate
from hdap.networks.walk.written_sizes import write_sizes

Scores = NDArray[np.float64]


def prune(
    module: nn.Module,
    architecture: Architecture,
    counts: Counts | Sequence[int],
    scores: Sequence[Scores] | None = None,
    *,
    graph: ChannelGraph | None = None,
) -> nn.Module:
    """A copy of `module` with `counts[g]` channels left in width group g.

    `scores` holds one array of `width` numbers a group (see `channel_importance`): the highest
    stay. Without them the first channels stay. Works on the device that `module` is on, meta
    included; training mode, `requires_grad` and all weights that stay are kept. `graph` saves time
    when one network is pruned several times.

    Raises `InputError` when counts, scores or network do not fit the architecture and
    `UnsupportedModelError` when a layer ends with other channels than the configuration promises.
    """
    row = check_counts(architecture, np.atleast_2d(np.asarray(counts)))
    kept = [
        kept_channels(_score(architecture, scores, g), int(count), group.multiple)
        for g, (group, count) in enumerate(zip(architecture.groups, row[0], strict=True))
    ]
    return keep(module, architecture, kept, graph=graph)


def keep(
    module: nn.Module,
    architecture: Architecture,
    kept: Sequence[Indices],
    *,
    graph: ChannelGraph | None = None,
    in_place: bool = False,
) -> nn.Module:
    """A copy of `module` in which group g keeps exactly the channels `kept[g]`.

    A group whose `multiple` is above 1 must keep the same places in every one of its blocks. With
    `in_place` it is `module` itself. `graph` and errors are as for `prune`.
    """
    known = {name for name, _ in module.named_modules()}
    absent = {name for group in architecture.groups for name in group.members} - known
    if absent:
        raise InputError(
            f"the network must be the one that the architecture of {architecture.model} describes, "
            f"but {type(module).__name__} has no layer `{min(absent)}`"
        )
    graph = graph or follow_channels(module, architecture.input_shape)
    network = module if in_place else duplicate(module)
    take_away(network, graph, gone_places(graph, architecture, kept))
    _check_promise(network, architecture, np.array([[len(stay) for stay in kept]]))
    return network


def gone_places(
    graph: ChannelGraph, architecture: Architecture, kept: Sequence[Indices]
) -> Indices:
    """The places of `graph` that go where group g keeps the channels `kept[g]`."""
    none = np.empty(0, dtype=np.int64)
    found = [
        graph.places(group.name, np.setdiff1d(np.arange(group.width), stay))
        for group, stay in zip(architecture.groups, kept, strict=True)
    ]
    return np.concatenate([none, *found])


def losses(
    graph: ChannelGraph, architecture: Architecture, kept: Sequence[Indices]
) -> dict[str, tuple[Indices, Indices]]:
    """Input and output channels that each layer loses; layers that lose none are left out."""
    gone = gone_places(graph, architecture, kept)
    found = {}
    for layer in graph.layers:
        sides = [np.flatnonzero(np.isin(x, gone)) for x in (layer.inputs, layer.outputs)]
        if not layer.is_product and not layer.use and any(map(len, sides)):
            found[layer.name] = (sides[0], sides[1])
    return found


def take_away(network: nn.Module, graph: ChannelGraph, gone: Indices) -> None:
    """Take the places `gone` from every tensor of `network`, in place, and from all it knows.

    Tensors are replaced, never written to; one that several layers share stays shared. A buffer
    that is cut belongs to the state from then on: which of its numbers are left, the code that made
    it does not know.
    """
    if not len(gone):
        return
    stays: dict[str, list[tuple[int, Indices]]] = defaultdict(list)
    for (name, dim), places in graph.tensors.items():
        stay = np.flatnonzero(~np.isin(places, gone))
        if len(stay) < len(places):
            stays[name].append((dim, stay))
    owners: dict[int, list[tuple[nn.Module, str]]] = defaultdict(list)
    for module in network.modules():
        for held in (module._parameters, module._buffers):
            for name, tensor in held.items():
                owners[id(tensor)].append((module, name))
    for name, tensor in all_tensors(network).items():
        if name in stays:
            new = _part(tensor, stays[name])
            for module, attribute in owners[id(tensor)]:
                setattr(module, attribute, new)
                module._non_persistent_buffers_set.discard(attribute)
    modules = dict(network.named_modules())
    for layer in graph.layers:
        found = modules.get(layer.name)
        kind = find_kind(found)
        if layer.use or found is None or kind is None:
            continue
        inputs, outputs = (int((~np.isin(x, gone)).sum()) for x in (layer.inputs, layer.outputs))
        changed = (inputs, outputs) != (len(layer.inputs), len(layer.outputs))
        if changed and kind.has_channels(found):
            given = None if kind.same_channels(found) else inputs
            for name, value in kind.attributes_after(found, given, outputs).items():
                setattr(found, name, value)
    write_sizes(network, graph.written, gone)


def _part(tensor: Tensor, stays: Sequence[tuple[int, Indices]]) -> Tensor:
    part = tensor.detach()
    for dim, stay in stays:
        part = part.index_select(dim, torch.as_tensor(stay, device=part.device))
    return nn.Parameter(part, tensor.requires_grad) if isinstance(tensor, nn.Parameter) else part


def kept_channels(scores: Scores, count: int, multiple: int = 1) -> Indices:
    """The `count` channels that stay, ascending.

    With `multiple` blocks the same places stay in every block, those with the highest sum over
    blocks: a grouped convolution has one weight matrix a block, all of one shape, so its inputs
    must be cut alike. Of equals the first stay.
    """
    blocks = scores.reshape(multiple, -1)
    order = np.argsort(-blocks.sum(axis=0), kind="stable")
    places = np.sort(order[: count // multiple])
    starts = np.arange(multiple) * blocks.shape[1]
    return (starts[:, None] + places).ravel()


def _score(architecture: Architecture, scores: Sequence[Scores] | None, index: int) -> Scores:
    group = architecture.groups[index]
    if scores is None:
        return np.zeros(group.width)
    if len(scores) != len(architecture.groups) or len(scores[index]) != group.width:
        raise InputError(
            f"scores must hold {group.width} numbers for `{group.name}` and one array for each of "
            f"{len(architecture.groups)} width groups, but got {len(scores)=}; "
            "make them with channel_importance for this architecture"
        )
    return np.asarray(scores[index], dtype=np.float64)


def _check_promise(network: nn.Module, architecture: Architecture, counts: Counts) -> None:
    modules = dict(network.named_modules())
    inputs, outputs = (side[0] for side in layer_channels(architecture, counts))
    for layer, given, made in zip(architecture.layers, inputs, outputs, strict=True):
        kind = find_kind(modules.get(layer.name))
        if kind is None:  # a tensor or a product, counted as a whole
            continue
        actual = kind.channels(modules[layer.name])
        if actual != (given, made):
            raise refuse(
                layer.name,
                f"ends with {actual[0]} input and {actual[1]} output channels "
                f"where {given} and {made} were planned",
            )
