"""Proof that a description is exact: networks are really pruned, run, and counted by torch."""

from collections import defaultdict
from collections.abc import Collection, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import nn

from hdap.fleet_data.architecture import Architecture, Counts, InputShapes
from hdap.fleet_data.costs import flops, layer_macs, parameters
from hdap.fleet_data.errors import InputError, UnsupportedModelError
from hdap.networks.channel_graph import ChannelGraph, refuse
from hdap.networks.flop_counter import counting, macs_of
from hdap.networks.forward_pass import leaves, random_images, run, run_once
from hdap.networks.network_copies import on_meta
from hdap.networks.shapes_alone import shapes_alone
from hdap.networks.surgery import prune


def count_flops(network: nn.Module, input_shape: InputShapes) -> dict[str, int]:
    """Multiply-accumulates by torch's counter, halved: by module name, and "" for the total.

    Convolutions, linear layers and products of two images (attention), batch 1, on the network's
    device.
    """
    try:
        return _counted(network, input_shape, shapes_alone(network))
    except UnsupportedModelError:  # code that looks at numbers closely
        return _counted(network, input_shape, nullcontext())


def _counted(
    network: nn.Module, input_shape: InputShapes, how: AbstractContextManager[None]
) -> dict[str, int]:
    with how, counting(network) as counter:
        run_once(network, input_shape)
    return macs_of(counter)


def count_parameters(network: nn.Module) -> int:
    """Number of parameters, shared ones once."""
    return sum(p.numel() for p in network.parameters())


def bytes_of(network: nn.Module) -> int:
    """What the tensors of a network take in a file."""
    return sum(t.numel() * t.element_size() for t in network.state_dict().values())


@dataclass(frozen=True)
class NetworkSize:
    """Counted, not computed; `bytes` is what the tensors take in a file."""

    flops: int
    parameters: int
    bytes: int


def size_of(network: nn.Module, architecture: Architecture) -> NetworkSize:
    """FLOPs by torch's counter, parameters, and bytes of a network."""
    try:
        counted = count_flops(on_meta(network), architecture.input_shape)
    except UnsupportedModelError:  # code that looks at numbers
        counted = count_flops(network, architecture.input_shape)
    return NetworkSize(
        flops=counted[""],
        parameters=count_parameters(network),
        bytes=bytes_of(network),
    )


def check_pruned(
    dense: nn.Module, pruned: nn.Module, architecture: Architecture, counts: Counts
) -> NetworkSize:
    """Run the pruned network on a random image and count it; `dense` may be on meta.

    How many rows an output has may follow from numbers, as that of boxes does. Raises
    `UnsupportedModelError` when the output has another shape than the dense network's or when FLOPs
    or parameters differ from the promise, `InputError` when the output is not finite.
    """
    expected = _shapes(run_once(dense, architecture.input_shape))
    output = run(pruned, random_images(pruned, architecture.input_shape, 1, seed=0))
    found = _shapes(output)
    if found != expected and not (
        _differ_in_rows(found, expected) and _looks_at_numbers(dense, architecture.input_shape)
    ):
        raise UnsupportedModelError(
            f"the pruned network must give an output of shape {', '.join(map(str, expected))}, but "
            f"gives {', '.join(map(str, found))}; use another model"
        )
    others = sum(int((~torch.isfinite(tensor)).sum()) for tensor in leaves(output))
    if others:
        raise InputError(
            f"the pruned network must give finite numbers, but gives {others} others for a random "
            "input; check the weights"
        )
    size = size_of(pruned, architecture)
    row = counts[None]
    promised = int(flops(architecture, row)[0]), int(parameters(architecture, row)[0])
    if (size.flops, size.parameters) != promised:
        raise UnsupportedModelError(
            f"the pruned network must have {promised[0]} FLOPs and {promised[1]} parameters, but "
            f"has {size.flops} and {size.parameters}; use another model"
        )
    return size


Shapes = list[tuple[int, ...]]


def _shapes(output: Any) -> Shapes:
    return [tuple(tensor.shape) for tensor in leaves(output)]


def _differ_in_rows(left: Shapes, right: Shapes) -> bool:
    return [(len(x), x[1:]) for x in left] == [(len(x), x[1:]) for x in right]


def _looks_at_numbers(network: nn.Module, input_shape: InputShapes) -> bool:
    try:
        run_once(on_meta(network), input_shape)
    except UnsupportedModelError:
        return True
    return False


def verify_dense(graph: ChannelGraph, architecture: Architecture) -> None:
    """Compare torch's counts of the dense network with the description's.

    Raises `UnsupportedModelError`, naming the first layer that differs.
    """
    counted = graph.counted or count_flops(graph.network, architecture.input_shape)
    _compare(graph, graph.network, counted, architecture, architecture.widths)


def verify_counts(
    graph: ChannelGraph,
    architecture: Architecture,
    groups: Collection[str],
    *,
    fewest: bool = False,
) -> None:
    """Compare torch's counts of a network with a part of each of `groups` with the description's.

    Really pruned and run: a random part, or as little as may be left (`fewest`). Raises
    `UnsupportedModelError` where it does not run, or naming the first layer that differs.
    """
    places = architecture.widths // architecture.multiples
    if fewest:  # norms of weights have no variance over one
        part = np.minimum(places, 2)
    else:  # not half of each: sizes in the same proportion hide behind each other
        part = np.random.default_rng(1).integers(1, np.maximum(places, 2))
    free = np.array([g.name in groups for g in architecture.groups], dtype=np.bool_)
    counts: Counts = np.where(free, part * architecture.multiples, architecture.widths)
    pruned = prune(graph.network, architecture, counts, graph=graph)
    counted = count_flops(pruned, architecture.input_shape)
    _compare(graph, pruned, counted, architecture, counts)


def _compare(
    graph: ChannelGraph,
    pruned: nn.Module,
    counted: Mapping[str, int],
    architecture: Architecture,
    row: Counts,
) -> None:
    """Raises `UnsupportedModelError` where costs differ, of a layer or in all."""
    counts = row[None]
    layers = {x.name for x in graph.layers if not x.is_product}
    expected: dict[str, int] = defaultdict(int)
    for layer, macs in zip(architecture.layers, layer_macs(architecture, counts)[0], strict=True):
        expected[layer.name.partition("#")[0]] += int(macs)
    for name, macs in expected.items():
        if name in layers and counted.get(name, 0) != macs:
            raise refuse(name, f"does {counted.get(name, 0)} FLOPs, not {macs}")
    total = int(flops(architecture, counts)[0])
    if counted.get("", 0) != total:
        raise refuse(
            architecture.model,
            f"computes beyond its layers: {counted.get('', 0)} FLOPs in all, not {total}",
        )
    held, promised = count_parameters(pruned), int(parameters(architecture, counts)[0])
    if held != promised:
        raise UnsupportedModelError(
            f"every parameter must follow from the width groups alone, but {architecture.model} "
            f"holds {held} after pruning, not {promised}; use another model"
        )
