"""Torch-Pruning's own pruner, as its README uses it: L2 magnitude, ratio 0.5, outputs ignored.

It is told nothing else: no heads of attention, no parameters outside of layers. That it works says
that the network runs on; whether that computes what it should is asked as of hdap, with a random
importance in place of the weights'.
"""

import copy
import time
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

import timm
import torch
from torch import Tensor, nn
from torch.utils import _pytree as pytree
from torch_pruning.pruner import MagnitudePruner
from torch_pruning.pruner.importance import GroupMagnitudeImportance, RandomImportance

from benchmarks.networks.exactness import compared, shapes
from benchmarks.networks.rows import Rival
from hdap.fleet_data.architecture import one_input
from hdap.networks.counting import count_flops
from hdap.networks.factories import find_factory, in_a_line
from hdap.networks.forward_pass import quiet, random_images
from hdap.networks.loading import DEFAULT_INPUT_SHAPE

T = TypeVar("T")
RATIO = 0.5


class _FailedError(Exception):
    """A step that the rival did not get through."""


def rival(name: str) -> Rival:
    """What it takes off the network of that name, or how it fails."""
    with quiet():
        network, shape = _loaded(name)
        images = random_images(network, one_input(shape, name, "Torch-Pruning"), 1, seed=0)
        started = time.perf_counter()
        try:
            pruned = _pruned(network, images, GroupMagnitudeImportance(p=2))
            seconds = time.perf_counter() - started
            after = _step("what it pruned does not run", lambda: pruned(images))
            if shapes(after) != shapes(network(images)):
                raise _FailedError("what it pruned gives another shape")
            left = count_flops(pruned, shape)[""] / max(count_flops(network, shape)[""], 1)
            if left >= 1:
                raise _FailedError("it takes no FLOPs")
        except _FailedError as error:
            return Rival(time.perf_counter() - started, str(error))
        wrong, silent = _exactness(network, images)
        return Rival(seconds, half=left, wrong=wrong, silent=silent)


def _loaded(name: str) -> tuple[nn.Module, Any]:
    """Network and input shape, of any length: what hdap takes is no limit of the rival's."""
    if ":" not in name:
        network: nn.Module = timm.create_model(name)
        return network.eval(), network.pretrained_cfg["input_size"]  # type: ignore[index]
    factory = find_factory(name)
    network = factory().eval()
    return network, getattr(factory, "input_shape", DEFAULT_INPUT_SHAPE)


def _pruned(dense: nn.Module, images: Tensor, importance: Any) -> nn.Module:
    network = copy.deepcopy(dense)
    output = _step("the dense network does not run", lambda: network(images))
    ignored = list(output_layers(network, output))
    pruner = _step(
        "it cannot follow the network",
        lambda: MagnitudePruner(
            network, images, importance, pruning_ratio=RATIO, ignored_layers=ignored
        ),
    )
    _step("it cannot prune the network", pruner.step)
    return network


def _exactness(network: nn.Module, images: Tensor) -> tuple[str, bool]:
    def prune(dense: nn.Module) -> nn.Module:
        torch.manual_seed(0)
        with torch.enable_grad():
            return _pruned(dense, images.double(), RandomImportance())

    try:
        found = compared(network, prune, images)
    except Exception as error:
        return in_a_line(error), False
    return found.wrong, found.silent


def _step(what: str, action: Callable[[], T]) -> T:
    try:
        return action()
    except Exception as error:
        raise _FailedError(f"{what} ({type(error).__name__})") from error


def output_layers(network: nn.Module, output: Any) -> Iterator[nn.Module]:
    """The layers with a matrix that nothing with a matrix comes after, on the way to an output.

    `output` is what the network gave with gradients on.
    """
    owners = {
        weight: layer
        for layer in network.modules()
        for weight in layer.parameters(recurse=False)
        if weight.dim() > 1
    }
    found: dict[nn.Module, None] = {}
    seen: set[Any] = set()
    nodes = [t.grad_fn for t in pytree.tree_leaves(output) if isinstance(t, Tensor) and t.grad_fn]
    while nodes:
        node = nodes.pop()
        if node in seen:
            continue
        seen.add(node)
        following = [n for n, _ in node.next_functions if n is not None]
        layers = {owners[weight] for weight in _weights(following) if weight in owners}
        if layers:
            found |= dict.fromkeys(layers)
        else:
            nodes += following
    yield from found


def _weights(nodes: list[Any]) -> Iterator[nn.Parameter]:
    """The parameters that a step of the calculation takes, transposed or not."""
    for node in nodes:
        transposed = [n for n, _ in node.next_functions] if node.name() == "TBackward0" else []
        for source in (node, *transposed):
            if hasattr(source, "variable"):
                yield source.variable
