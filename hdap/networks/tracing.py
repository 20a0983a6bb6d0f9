"""From a torch model to its torch-free description.

Channel dependencies come from Torch-Pruning's graph (Fang et al., "DepGraph: Towards Any Structural
Pruning", CVPR 2023), shapes from a forward pass on the meta device. A description that differs from
the network that was really pruned is never returned: see `hdap.networks.counting`.
"""

import math
from collections import defaultdict
from dataclasses import dataclass, field
from operator import itemgetter

import numpy as np
from torch import nn

from hdap.fleet_data.architecture import Architecture, WidthGroup
from hdap.fleet_data.errors import UnsupportedModelError
from hdap.networks.channel_graph import ChannelGraph, Coupling, Touch, on_meta, refuse
from hdap.networks.counting import verify_counts
from hdap.networks.equivalence import thinned, verify_equivalence
from hdap.networks.layer_kinds.registry import find_kind, kind_of
from hdap.networks.layers import layer_of, observe, parameters_of
from hdap.networks.loading import input_shape_of, load_model

Terms = dict[str, list[tuple[int, int]]]


@dataclass
class _Draft:
    """Width groups in the order found, and for each layer the (group, factor) of both sides."""

    groups: list[WidthGroup] = field(default_factory=list)
    inputs: Terms = field(default_factory=lambda: defaultdict(list))
    outputs: Terms = field(default_factory=lambda: defaultdict(list))
    settled: set[str] = field(default_factory=set)


def trace(
    model: str | nn.Module,
    *,
    name: str | None = None,
    input_shape: tuple[int, ...] | None = None,
) -> Architecture:
    """The architecture of a timm name, a `package.module:factory` or a network itself.

    `name` and `input_shape` are taken from the model when they are not given (a network without
    either: its class and 3 x 224 x 224). The network is not changed, and its weights play no part.

    Raises `NotFoundError` or `InputError` for a name that does not work, and
    `UnsupportedModelError`, naming a layer, for a network that cannot be described exactly.
    """
    if isinstance(model, str):
        loaded = load_model(model, device="meta")
        network, shape, known = loaded.module, loaded.input_shape, model
    else:
        network, known = model, type(model).__name__
        shape = input_shape or input_shape_of(known, model)
    architecture = describe(network, name or known, input_shape or shape)
    if not architecture.groups:
        raise UnsupportedModelError(
            f"a network must have convolutions whose width may change, but {known} has none; "
            "use another model"
        )
    graph = ChannelGraph(network, architecture.input_shape)
    verify_counts(graph.network, architecture, graph)
    thin = thinned(graph.network, architecture, graph)
    verify_equivalence(thin, describe(thin, architecture.model, architecture.input_shape))
    return architecture


def describe(module: nn.Module, model: str, input_shape: tuple[int, ...]) -> Architecture:
    """Description of `module`, not yet checked against real pruning.

    `module` is not changed. Raises `UnsupportedModelError` with the name of the first layer whose
    channels are not a function of width groups.
    """
    shapes = observe(on_meta(module), input_shape)
    graph = ChannelGraph(module, input_shape)
    network = graph.network
    draft = _couple(graph)
    groups, place = _in_module_order(draft.groups, list(shapes))
    layers = tuple(
        layer_of(
            name,
            network.get_submodule(name),
            shape,
            _terms(draft.inputs[name], place),
            _terms(draft.outputs[name], place),
            tuple(group.width for group in groups),
        )
        for name, shape in shapes.items()
    )
    total = sum(p.numel() for p in network.parameters())
    described = sum(parameters_of(network.get_submodule(name)) for name in shapes)
    return Architecture(model, input_shape, groups, layers, total - described)


def _couple(graph: ChannelGraph) -> _Draft:
    draft = _Draft()
    found = [(name, module, find_kind(module)) for name, module in graph.network.named_modules()]
    convolutions = [
        (kind.same_channels(module), name, kind.channels(module)[1])
        for name, module, kind in found
        if kind is not None and kind.counted_as == "conv"
        if not kind.refusal(module) and graph.runs(name)
    ]
    postponed: list[tuple[str, str]] = []
    # A depthwise convolution passes channels on; whoever makes them comes first.
    for _, name, width in sorted(convolutions, key=itemgetter(0)):
        if name in draft.settled:
            continue
        coupling = graph.coupling(name, range(width))
        if coupling.reaches_output:
            draft.settled |= {t.name for t in coupling.touches if t.outputs}
            continue
        _refuse_unknown(coupling)
        irregular = _first_irregular(coupling, width)
        if irregular:
            # Its channels may be those of several later groups, concatenated.
            postponed.append((name, irregular))
        else:
            _add_group(draft, coupling, width)
    for name, irregular in postponed:
        if name not in draft.settled:
            raise refuse(irregular, f"takes or gives a part of the channels of `{name}`")
    return draft


def _refuse_unknown(coupling: Coupling) -> None:
    for touch in coupling.touches:
        kind = find_kind(touch.module)
        if kind is not None and not kind.refusal(touch.module):
            continue
        what = type(touch.module).__name__
        raise refuse(touch.name, f"is a {what} that moves with `{coupling.touches[0].name}`")


def _first_irregular(coupling: Coupling, width: int) -> str:
    for touch in coupling.touches:
        if touch.roots.min() < 0 or len(np.unique(np.bincount(touch.roots, minlength=width))) > 1:
            return touch.name
    return ""


def _add_group(draft: _Draft, coupling: Coupling, width: int) -> None:
    draft.settled |= {t.name for t in coupling.touches if t.outputs}
    multiple = math.lcm(*(_blocks(touch) for touch in coupling.touches))
    if multiple == width:
        return  # one possible count is no choice: these channels stay constant
    index = len(draft.groups)
    members = []
    for touch in coupling.touches:
        term = (index, len(touch.roots) // width)
        if touch.inputs:
            draft.inputs[touch.name].append(term)
        if touch.outputs:
            draft.outputs[touch.name].append(term)
            kind = kind_of(touch.module)
            every = np.arange(kind.channels(touch.module)[1])
            whole = kind.has_matrix and np.array_equal(touch.indices, every)
            if whole and np.array_equal(touch.indices, touch.roots):
                members.append(touch.name)
    draft.groups.append(WidthGroup(members[0], width, tuple(members), multiple))


def _blocks(touch: Touch) -> int:
    """How many equal blocks the channels of a touched layer form: its fixed number of groups."""
    kind = kind_of(touch.module)
    blocks = kind.blocks(touch.module)
    if blocks == 1:
        return 1
    inputs, outputs = kind.channels(touch.module)
    if blocks == outputs != inputs:
        raise refuse(touch.name, "joins several input channels into each group's one output")
    if not np.array_equal(touch.roots, np.arange(outputs if touch.outputs else inputs)):
        raise refuse(touch.name, "has groups over channels that come from several width groups")
    return blocks


def _in_module_order(
    groups: list[WidthGroup], names: list[str]
) -> tuple[tuple[WidthGroup, ...], dict[int, int]]:
    """Groups and their members in module order, and where each group of the draft went."""
    position = {name: i for i, name in enumerate(names)}
    tidy = []
    for group in groups:
        members = tuple(sorted(group.members, key=position.__getitem__))
        tidy.append(WidthGroup(members[0], group.width, members, group.multiple))
    order = sorted(range(len(tidy)), key=lambda i: position[tidy[i].name])
    return tuple(tidy[i] for i in order), {old: new for new, old in enumerate(order)}


def _terms(terms: list[tuple[int, int]], place: dict[int, int]) -> tuple[tuple[int, int], ...]:
    return tuple(sorted((place[group], factor) for group, factor in terms))
