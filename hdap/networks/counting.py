"""Proof that a description is exact: networks are really pruned, run, and counted by torch."""

from collections import defaultdict
from collections.abc import Collection, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from hdap.fleet_data.architecture import Architecture, Counts, InputShapes
from hdap.fleet_data.costs import flops, layer_macs, parameters
from hdap.fleet_data.errors import InputError, UnsupportedModelError
from hdap.networks.channel_graph import ChannelGraph, refuse
from hdap.networks.forward_pass import (
    leaves,
    plain_attention,
    quiet,
    random_images,
    run,
    run_once,
    shapes_alone,
)
from hdap.networks.network_copies import on_meta
from hdap.networks.surgery import prune

_ATEN = torch.ops.aten
_COUNTED = {
    *(_ATEN.convolution, _ATEN._convolution),
    *(_ATEN.mm, _ATEN.addmm, _ATEN.linear, _ATEN.bmm, _ATEN.baddbmm),
}


def count_flops(network: nn.Module, input_shape: InputShapes) -> dict[str, int]:
    """Multiply-accumulates by torch's counter, halved: by module name, and "" for the total.

    Convolutions, linear layers and products of two images (attention), batch 1, on the network's
    device.
    """
    try:
        counter = _counted(network, input_shape, shapes_alone(network))
    except UnsupportedModelError:  # code that looks at numbers closely
        counter = _counted(network, input_shape, nullcontext())
    result = {}
    for name, counts in counter.get_flop_counts().items():
        macs = sum(flops for operation, flops in counts.items() if operation in _COUNTED) // 2
        result["" if name == "Global" else name.partition(".")[2]] = macs
    return result


def _counted(
    network: nn.Module, input_shape: InputShapes, how: AbstractContextManager[None]
) -> FlopCounterMode:
    counter = FlopCounterMode(display=False)
    with quiet(), plain_attention(), how, _without_gradients(network), counter:
        run_once(network, input_shape)
    return counter


@contextmanager
def _without_gradients(network: nn.Module) -> Iterator[None]:
    """The counter follows modules by gradients, which no parameter has that is an output itself."""
    trained = [p for p in network.parameters() if p.requires_grad]
    for parameter in trained:
        parameter.requires_grad_(False)
    try:
        yield
    finally:
        for parameter in trained:
            parameter.requires_grad_(True)


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

    Raises `UnsupportedModelError` when the output has another shape than the dense network's or
    when FLOPs or parameters differ from the promise, `InputError` when the output is not finite.
    """
    expected = _shapes(run_once(dense, architecture.input_shape))
    output = run(pruned, random_images(pruned, architecture.input_shape, 1, seed=0))
    if _shapes(output) != expected:
        raise UnsupportedModelError(
            f"the pruned network must give an output of shape {', '.join(map(str, expected))}, but "
            f"gives {', '.join(map(str, _shapes(output)))}; use another model"
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


def _shapes(output: Any) -> list[tuple[int, ...]]:
    return [tuple(tensor.shape) for tensor in leaves(output)]


def verify_runs(graph: ChannelGraph, architecture: Architecture, groups: Collection[str]) -> None:
    """Run the network with a part of each of `groups`; `UnsupportedModelError` if it fails."""
    # not half of each: sizes in the same proportion hide behind each other
    places = np.maximum(architecture.widths // architecture.multiples, 2)
    part = np.random.default_rng(1).integers(1, places) * architecture.multiples
    counts: Counts = np.where(_free(architecture, groups), part, architecture.widths)
    pruned = prune(graph.network, architecture, counts, graph=graph)
    with quiet():
        try:
            with shapes_alone(pruned):
                run_once(pruned, architecture.input_shape)
        except UnsupportedModelError:  # of its channels, or of numbers that it looks at closely
            run_once(pruned, architecture.input_shape)


def verify_counts(
    graph: ChannelGraph, architecture: Architecture, groups: Collection[str], *, rounds: int = 1
) -> None:
    """Compare torch's counts with the description's, dense, at the smallest and at random.

    Only `groups` are pruned, really each time. Raises `UnsupportedModelError`, naming the first
    layer that differs.
    """
    for counts in _probes(architecture, groups, rounds):
        pruned = prune(graph.network, architecture, counts, graph=graph)
        _compare(pruned, architecture, counts, {x.name for x in graph.layers if not x.is_product})


def _probes(architecture: Architecture, groups: Collection[str], rounds: int) -> Iterator[Counts]:
    free = _free(architecture, groups)
    # two places: norms of weights have no variance over one
    least = np.minimum(2 * architecture.multiples, architecture.widths)
    yield np.where(free, least, architecture.widths)
    rng = np.random.default_rng(0)
    places = architecture.widths // architecture.multiples
    for _ in range(rounds):
        drawn = rng.integers(1, places + 1) * architecture.multiples
        yield np.where(free, drawn, architecture.widths)


def _free(architecture: Architecture, groups: Collection[str]) -> NDArray[np.bool_]:
    return np.array([g.name in groups for g in architecture.groups], dtype=np.bool_)


def _compare(
    pruned: nn.Module, architecture: Architecture, row: Counts, layers: Collection[str]
) -> None:
    """Raises `UnsupportedModelError` where costs differ, of one of `layers` or in all."""
    counts = row[None]
    counted = count_flops(pruned, architecture.input_shape)
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
