"""Channels in order of importance, so that every configuration is a prefix."""

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import Tensor, nn

from hdap.elastic.channel_places import Places
from hdap.fleet_data.architecture import Architecture, InputShape
from hdap.fleet_data.errors import UnsupportedModelError
from hdap.networks.forward_pass import leaves, random_images, run
from hdap.networks.layer_kinds.base import Indices
from hdap.networks.surgery import Scores

TOLERANCE = 1e-3
"""How far the dense network may move, relative to its largest output: sums in another order round
differently; a channel in a wrong place is far beyond."""


def channel_orders(architecture: Architecture, scores: Sequence[Scores]) -> list[Indices]:
    """For each width group its channels from the most to the least important.

    A group with blocks keeps them: its places are ordered alike in every block, so the first places
    of every block are those that pruning to that count would keep.
    """
    return [
        _order(np.asarray(score, dtype=np.float64), group.multiple)
        for score, group in zip(scores, architecture.groups, strict=True)
    ]


def _order(scores: Scores, multiple: int) -> Indices:
    blocks = scores.reshape(multiple, -1)
    places = np.argsort(-blocks.sum(axis=0), kind="stable")
    return (np.arange(multiple)[:, None] * blocks.shape[1] + places).ravel()


@torch.no_grad()
def reorder(
    network: nn.Module,
    found: Mapping[str, Places],
    orders: Sequence[Indices],
    input_shape: InputShape,
) -> None:
    """Put the channels of all layers of `network` in these orders, in place, in eval mode.

    Raises `UnsupportedModelError` when it then computes something else.
    """
    network.eval()
    images = random_images(network, input_shape, 2, seed=0)
    before = leaves(run(network, images))
    for name, both in found.items():
        layer = network.get_submodule(name)
        outputs = both.outputs.reordered(orders)
        for tensor in (*layer.parameters(recurse=False), *layer.buffers(recurse=False)):
            if tensor.dim():
                _put(tensor, 0, outputs)
        if both.inputs is not None:
            weight = layer.get_parameter("weight")
            # a grouped convolution has the same places in every block
            _put(weight, 1, both.inputs.reordered(orders)[: weight.shape[1]])
    for expected, found_now in zip(before, leaves(run(network, images)), strict=True):
        _check_same(network, expected, found_now)


def _put(tensor: Tensor, dim: int, source: Indices) -> None:
    index = torch.as_tensor(source, device=tensor.device)
    tensor.copy_(tensor.index_select(dim, index))


def _check_same(network: nn.Module, before: Tensor, after: Tensor) -> None:
    scale = float(before.abs().max()) or 1.0
    difference = float((before - after).abs().max()) / scale
    if not difference <= TOLERANCE:
        raise UnsupportedModelError(
            "a network whose channels are put in another order must compute the same, but "
            f"{type(network).__name__} is off by {difference:.1e} of its largest output; its code "
            "knows channels by their number"
        )
