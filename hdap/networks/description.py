"""The torch-free description of a network whose channels are known."""

import math
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
from torch import Tensor, nn

from hdap.fleet_data.architecture import Architecture, Channels, InputShapes, Layer
from hdap.networks.channel_graph import ChannelGraph, TracedLayer, refuse
from hdap.networks.layer_kinds.base import Indices
from hdap.networks.layer_kinds.registry import kind_of
from hdap.networks.network_copies import all_tensors
from hdap.networks.walk.labels import CONSTANT
from hdap.networks.walk.walking import OUTPUT


def architecture_of(graph: ChannelGraph, model: str, input_shape: InputShapes) -> Architecture:
    """Layers, width groups and costs of a network, exact if its channels go as `graph` says.

    Raises `UnsupportedModelError` for a tensor that is cut along three dimensions.
    """
    tensors = all_tensors(graph.network)
    layers: list[Layer] = []
    described: set[str] = set()
    for traced in graph.layers:
        layer, counted = _layer(graph, traced, tensors, described)
        layers.append(layer)
        described |= counted
    held = list(_held(graph, tensors, described))
    described |= {layer.name for layer in held}
    parameters = {name: t for name, t in tensors.items() if isinstance(t, nn.Parameter)}
    other = sum(t.numel() for name, t in parameters.items() if name not in described)
    return Architecture(
        model,
        input_shape,
        graph.groups,
        (*layers, *held),
        other,
        tuple(k for k in graph.kept if k.why != OUTPUT),
    )


def _layer(
    graph: ChannelGraph, traced: TracedLayer, tensors: dict[str, Tensor], described: set[str]
) -> tuple[Layer, set[str]]:
    """One use of a layer, and the parameters whose numbers it accounts for."""
    common = Layer(
        name=f"{traced.name}#{traced.use + 1}" if traced.use else traced.name,
        kind="linear",
        inputs=_channels(graph, traced.inputs),
        outputs=_channels(graph, traced.outputs),
        input_size=traced.input_size,
        output_size=traced.output_size,
        weights=False,
    )
    if traced.is_product:
        return _product(traced, common, tensors, described)
    module = graph.network.get_submodule(traced.name)
    kind = kind_of(module)
    if not kind.has_channels(module):  # one number for all, whatever passes
        inputs, outputs = (Channels(n) for n in kind.channels(module))
        common = replace(common, inputs=inputs, outputs=outputs)
    own = {n: p for n, p in module.named_parameters(recurse=False) if n in kind.tensors}
    names = {f"{traced.name}.{n}" for n in own if f"{traced.name}.{n}" in tensors} - described
    whole = "weight" in own and f"{traced.name}.weight" in names
    beside = sum(own[n.rpartition(".")[2]].numel() for n in names)
    if kind.has_matrix and whole:
        beside -= own["weight"].numel()
    made = len(traced.outputs) if kind.has_channels(module) else common.outputs.constant
    if beside % made:
        raise refuse(traced.name, f"has {beside} parameters for {made} channels")
    layer = replace(
        common,
        kind=kind.counted_as,
        parameters_per_output=beside // made,
        weights=whole or not kind.has_matrix,
    )
    return kind.record(module, layer), names


def _product(
    traced: TracedLayer, common: Layer, tensors: dict[str, Tensor], described: set[str]
) -> tuple[Layer, set[str]]:
    weight = tensors.get(traced.weight)
    own = isinstance(weight, nn.Parameter) and traced.weight not in described and not traced.use
    depthwise = traced.groups > 1 and traced.groups == len(traced.inputs)
    layer = replace(
        common,
        kind="linear" if traced.kernel == traced.groups == 1 else "conv",
        kernel=(traced.kernel, 1),
        groups=1 if depthwise else traced.groups,
        depthwise=depthwise,
        weights=own,
    )
    return layer, {traced.weight} if own else set()


def _held(graph: ChannelGraph, tensors: dict[str, Tensor], described: set[str]) -> Iterator[Layer]:
    """Parameters that move and are no part of a layer: scales of layers, tables, lengths."""
    sides: dict[str, list[tuple[int, Indices]]] = defaultdict(list)
    for (name, dim), places in graph.tensors.items():
        if name not in described and isinstance(tensors[name], nn.Parameter):
            sides[name].append((dim, places))
    for name in [n for n in tensors if n in sides]:
        rest = tensors[name].numel() // math.prod(len(places) for _, places in sides[name])
        channels = [_channels(graph, places) for _, places in sides[name]]
        if len(channels) > 2:
            raise refuse(name, "has channels along more than two dimensions")
        layer = Layer(name, "held", channels[-1], channels[0], (1, 1), (1, 1), kernel=(rest, 1))
        if len(channels) == 1:
            layer = replace(layer, kind="norm", kernel=(1, 1), parameters_per_output=rest)
        yield layer


def _channels(graph: ChannelGraph, places: Indices) -> Channels:
    """A number of channels as a constant and so many for each channel of width groups."""
    moving = graph.group_of[places[places != CONSTANT]]
    times = np.bincount(moving, minlength=len(graph.groups))
    terms = tuple((g, int(n) // graph.groups[g].width) for g, n in enumerate(times) if n)
    return Channels(int((places == CONSTANT).sum()), terms)
