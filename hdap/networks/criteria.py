"""Which channels stay: one number a channel, by several criteria."""

import itertools
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from hdap.fleet_data.architecture import Architecture, WidthGroup
from hdap.fleet_data.errors import InputError, UnsupportedModelError
from hdap.networks.channel_graph import ChannelGraph
from hdap.networks.channel_importance import OutputRows, channel_importance, normalised
from hdap.networks.following import follow_channels
from hdap.networks.forward_pass import one_tensor
from hdap.networks.layer_kinds.registry import find_kind
from hdap.networks.lookahead import lookahead_scores
from hdap.networks.network_copies import duplicate

Floats = NDArray[np.float64]
Batch = tuple[Tensor, Tensor]

MAX_BATCHES = 64
"""As many are read at most, so that an endless loader is no trap."""


@dataclass(frozen=True)
class Evidence:
    """What a criterion may use beside the weights: a seed, and batches of (input, target)."""

    seed: int = 0
    batches: Iterable[Batch] | None = None


Criterion = Callable[[nn.Module, Architecture, ChannelGraph, Evidence], tuple[Floats, ...]]
"""Scores of all channels: one array of `width` finite, non-negative numbers for each width group,
the channels with the highest stay. The network, which the graph follows, is on the CPU, in eval
mode, and is not changed. The same weights, seed and batches give the same scores.

Raises `InputError` when weights are not finite or lack what the criterion needs.
"""


def channel_scores(
    name: str,
    network: nn.Module,
    architecture: Architecture,
    evidence: Evidence,
    *,
    graph: ChannelGraph | None = None,
) -> tuple[Floats, ...]:
    """Scores by the criterion of that name; raises as `criterion` and `Criterion` say.

    `graph` is what `follow_channels` found for the network, if it is there.
    """
    score = criterion(name)
    graph = graph or follow_channels(network, architecture.input_shape)
    return score(network, architecture, graph, evidence)


def criterion(name: str) -> Criterion:
    """The criterion of that name. Raises `InputError` for one that is not in `CRITERIA`."""
    if name not in CRITERIA:
        raise InputError(f"a criterion is one of {', '.join(CRITERIA)}, but got {name!r}")
    return CRITERIA[name]


def _lookahead(
    network: nn.Module, architecture: Architecture, graph: ChannelGraph, evidence: Evidence
) -> tuple[Floats, ...]:
    return lookahead_scores(network, architecture, graph=graph)


def _l2(
    network: nn.Module, architecture: Architecture, graph: ChannelGraph, evidence: Evidence
) -> tuple[Floats, ...]:
    """Squared L2 norms of filters, folded with the batch norm that follows (Li et al., 2017)."""
    return channel_importance(network, architecture, graph=graph)


def _l1(
    network: nn.Module, architecture: Architecture, graph: ChannelGraph, evidence: Evidence
) -> tuple[Floats, ...]:
    """L1 norms of filters (Li et al., "Pruning Filters for Efficient ConvNets", ICLR 2017, 3.1).

    Each layer is brought to mean 1 and the layers of a group are averaged, as for `l2`.
    """
    rows = OutputRows(network, architecture, graph)

    def magnitude(group: WidthGroup, layer: str) -> Floats:
        sums = rows.filters(layer).detach().double().abs().sum(dim=1)
        return normalised(rows.summed(group, layer, sums.cpu().numpy()), layer)

    return tuple(np.mean([magnitude(g, m) for m in g.members], axis=0) for g in architecture.groups)


def _bn_scale(
    network: nn.Module, architecture: Architecture, graph: ChannelGraph, evidence: Evidence
) -> tuple[Floats, ...]:
    """Absolute scales of batch norms (Liu et al., "Network Slimming", ICCV 2017).

    Averaged over all batch norms that a channel goes through, each brought to mean 1; so a
    concatenation counts for the parts that it is made of.
    """
    return tuple(_scales(network, graph, g.name, g.width) for g in architecture.groups)


def _scales(network: nn.Module, graph: ChannelGraph, group: str, width: int) -> Floats:
    total, seen = np.zeros(width), np.zeros(width)
    for touch in graph.touches(group, range(width)):
        layer = network.get_submodule(touch.name)
        kind = find_kind(layer)
        factors = None if kind is None else kind.scale(layer)
        if factors is None:
            continue
        scale = normalised(factors.detach().double().abs().cpu().numpy(), touch.name)
        total += touch.summed(scale, width)
        np.add.at(seen, touch.roots, 1.0)
    if not seen.all():
        raise InputError(
            f"bn_scale needs a batch norm with scales after every width group, but `{group}` has "
            "none; take another criterion, lookahead for one"
        )
    return total / seen


def _taylor(
    network: nn.Module, architecture: Architecture, graph: ChannelGraph, evidence: Evidence
) -> tuple[Floats, ...]:
    if evidence.batches is None:
        raise InputError(
            "taylor needs batches of (input, target), but got none; "
            "give them with --data package.module:factory"
        )
    scores = taylor_scores(network, architecture, evidence.batches, graph=graph)
    return tuple(
        normalised(score, group.name)
        for score, group in zip(scores, architecture.groups, strict=True)
    )


def taylor_scores(
    network: nn.Module,
    architecture: Architecture,
    batches: Iterable[Batch],
    *,
    graph: ChannelGraph | None = None,
) -> tuple[Floats, ...]:
    """How much the loss would change without a channel: mean over batches, `width` numbers a group.

    Molchanov et al., "Importance Estimation for Neural Network Pruning", CVPR 2019, equation 8: the
    square of the sum of weight times gradient. The layers of a width group lose a channel together,
    so their sums are added before they are squared.

    The loss is cross-entropy; targets are class numbers, or probabilities (batch x classes). The
    network runs in eval mode. Raises `InputError` when there are no batches, when one is not a pair
    of tensors that the network takes, or when the loss is not finite.
    """
    work = duplicate(network).eval().requires_grad_(True)
    rows = OutputRows(work, architecture, graph)
    totals = [np.zeros(group.width) for group in architecture.groups]
    count = 0
    for count, batch in enumerate(itertools.islice(batches, MAX_BATCHES), start=1):
        work.zero_grad(set_to_none=True)
        _loss(work, batch, count).backward()  # type: ignore[no-untyped-call]
        for total, group in zip(totals, architecture.groups, strict=True):
            total += np.sum([_change(rows, group, name) for name in group.members], axis=0) ** 2
    if not count:
        raise InputError("taylor needs at least one batch of (input, target), but got none")
    return tuple(total / count for total in totals)


def _loss(network: nn.Module, batch: Batch, number: int) -> Tensor:
    pair = isinstance(batch, tuple | list) and len(batch) == 2
    if not pair or not all(isinstance(x, Tensor) for x in batch):
        raise InputError(
            f"a batch is (input, target), both tensors, but batch {number} is a "
            f"{type(batch).__name__}; see --data"
        )
    images, target = batch
    try:
        output = one_tensor(network(images), "--criterion taylor")
        loss = nn.functional.cross_entropy(output, target)
    except UnsupportedModelError:
        raise
    except Exception as error:
        first = str(error).partition("\n")[0]
        raise InputError(
            f"the network must take every batch and its targets be classes, but batch {number} of "
            f"shapes {tuple(images.shape)} and {tuple(target.shape)} failed with "
            f"{type(error).__name__}: {first}"
        ) from error
    if not torch.isfinite(loss):
        raise InputError(
            f"the loss must be finite, but that of batch {number} is {loss.item()}; "
            "check the weights and the data"
        )
    return loss


def _change(rows: OutputRows, group: WidthGroup, name: str) -> Floats:
    weight = rows.weight(name)
    if weight.grad is None:
        return np.zeros(group.width)
    product = weight.detach().double() * weight.grad.double()
    return rows.summed(group, name, rows.by_output(name, product).sum(dim=1).cpu().numpy())


def _random(
    network: nn.Module, architecture: Architecture, graph: ChannelGraph, evidence: Evidence
) -> tuple[Floats, ...]:
    """Uniform random numbers: the base line."""
    rng = np.random.default_rng(evidence.seed)
    return tuple(rng.random(group.width) for group in architecture.groups)


CRITERIA: Mapping[str, Criterion] = {
    "lookahead": _lookahead,
    "l1": _l1,
    "l2": _l2,
    "bn_scale": _bn_scale,
    "taylor": _taylor,
    "random": _random,
}
