"""Really removing channels, exactly those that a configuration plans."""

import copy
from collections import defaultdict
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from torch import nn

from hdap.fleet_data.architecture import Architecture, Counts
from hdap.fleet_data.costs import check_counts, layer_channels
from hdap.fleet_data.errors import InputError
from hdap.networks.channel_graph import ChannelGraph, refuse
from hdap.networks.layer_kinds.base import Indices
from hdap.networks.layer_kinds.registry import kind_of

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
    absent = {x.name for x in architecture.layers} - {name for name, _ in module.named_modules()}
    if absent:
        raise InputError(
            f"the network must be the one that the architecture of {architecture.model} describes, "
            f"but {type(module).__name__} has no layer `{min(absent)}`"
        )
    graph = graph or ChannelGraph(module, architecture.input_shape)
    network = module if in_place else copy.deepcopy(module)
    for name, (inputs, outputs) in losses(graph, architecture, kept).items():
        layer = network.get_submodule(name)
        kind_of(layer).cut(layer, inputs, outputs)
    _check_promise(network, architecture, np.array([[len(stay) for stay in kept]]))
    return network


def losses(
    graph: ChannelGraph, architecture: Architecture, kept: Sequence[Indices]
) -> dict[str, tuple[Indices, Indices]]:
    """Input and output channels that each layer loses, over all width groups."""
    inputs: dict[str, list[Indices]] = defaultdict(list)
    outputs: dict[str, list[Indices]] = defaultdict(list)
    for group, stay in zip(architecture.groups, kept, strict=True):
        gone = np.setdiff1d(np.arange(group.width), stay)
        if not len(gone):
            continue
        for touch in graph.coupling(group.name, gone.tolist()).touches:
            (outputs if touch.outputs else inputs)[touch.name].append(touch.indices)
    none = [np.empty(0, dtype=np.int64)]
    return {
        name: (_union(inputs.get(name, none)), _union(outputs.get(name, none)))
        for name in inputs.keys() | outputs.keys()
    }


def _union(parts: Sequence[Indices]) -> Indices:
    return np.unique(np.concatenate(parts))


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
    inputs, outputs = (side[0] for side in layer_channels(architecture, counts))
    for layer, given, made in zip(architecture.layers, inputs, outputs, strict=True):
        module = network.get_submodule(layer.name)
        actual = kind_of(module).channels(module)
        if actual != (given, made):
            raise refuse(
                layer.name,
                f"ends with {actual[0]} input and {actual[1]} output channels "
                f"where {given} and {made} were planned",
            )
