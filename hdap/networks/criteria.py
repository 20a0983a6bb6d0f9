"""Which channels stay: one number a channel, by several criteria."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from hdap.fleet_data.architecture import Architecture
from hdap.fleet_data.errors import InputError
from hdap.networks.channel_graph import ChannelGraph
from hdap.networks.channel_importance import channel_importance
from hdap.networks.taylor import Batch, taylor_scores

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Evidence:
    """What a criterion may use beside the weights: a seed, and batches of (input, target)."""

    seed: int = 0
    batches: Iterable[Batch] | None = None


Criterion = Callable[[nn.Module, Architecture, Evidence], tuple[Floats, ...]]
"""Scores of all channels: one array of `width` finite, non-negative numbers for each width group,
the channels with the highest stay. The network is on the CPU, in eval mode, and is not changed. The
same weights, seed and batches give the same scores.

Raises `InputError` when weights are not finite or lack what the criterion needs.
"""


def channel_scores(
    name: str, network: nn.Module, architecture: Architecture, evidence: Evidence
) -> tuple[Floats, ...]:
    """Scores by the criterion of that name; raises as `criterion` and `Criterion` say."""
    return criterion(name)(network, architecture, evidence)


def criterion(name: str) -> Criterion:
    """The criterion of that name. Raises `InputError` for one that is not in `CRITERIA`."""
    if name not in CRITERIA:
        raise InputError(f"a criterion is one of {', '.join(CRITERIA)}, but got {name!r}")
    return CRITERIA[name]


def _l2(network: nn.Module, architecture: Architecture, evidence: Evidence) -> tuple[Floats, ...]:
    """Squared L2 norms of filters, folded with the batch norm that follows (Li et al., 2017)."""
    return channel_importance(network, architecture)


def _l1(network: nn.Module, architecture: Architecture, evidence: Evidence) -> tuple[Floats, ...]:
    """L1 norms of filters (Li et al., "Pruning Filters for Efficient ConvNets", ICLR 2017, 3.1).

    Each layer is brought to mean 1 and the layers of a group are averaged, as for `l2`.
    """

    def magnitude(layer: str) -> Floats:
        weight = network.get_submodule(layer).get_parameter("weight").detach()
        return normalised(weight.double().flatten(1).abs().sum(dim=1).cpu().numpy(), layer)

    return tuple(np.mean([magnitude(m) for m in g.members], axis=0) for g in architecture.groups)


def _bn_scale(
    network: nn.Module, architecture: Architecture, evidence: Evidence
) -> tuple[Floats, ...]:
    """Absolute scales of batch norms (Liu et al., "Network Slimming", ICCV 2017).

    Averaged over all batch norms that a channel goes through, each brought to mean 1; so a
    concatenation counts for the parts that it is made of.
    """
    graph = ChannelGraph(network, architecture.input_shape)
    return tuple(_scales(network, graph, g.name, g.width) for g in architecture.groups)


def _scales(network: nn.Module, graph: ChannelGraph, group: str, width: int) -> Floats:
    total, seen = np.zeros(width), np.zeros(width)
    for touch in graph.coupling(group, range(width)).touches:
        norm = network.get_submodule(touch.name)
        if not isinstance(norm, _BatchNorm) or norm.weight is None:
            continue
        scale = normalised(norm.weight.detach().double().abs().cpu().numpy(), touch.name)
        np.add.at(total, touch.roots, scale[touch.indices])
        np.add.at(seen, touch.roots, 1.0)
    if not seen.all():
        raise InputError(
            f"bn_scale needs a batch norm with scales after every width group, but `{group}` has "
            "none; take another criterion, l2 for one"
        )
    return total / seen


def _taylor(
    network: nn.Module, architecture: Architecture, evidence: Evidence
) -> tuple[Floats, ...]:
    if evidence.batches is None:
        raise InputError(
            "taylor needs batches of (input, target), but got none; "
            "give them with --data package.module:factory"
        )
    scores = taylor_scores(network, architecture, evidence.batches)
    return tuple(
        normalised(score, group.name)
        for score, group in zip(scores, architecture.groups, strict=True)
    )


def _random(
    network: nn.Module, architecture: Architecture, evidence: Evidence
) -> tuple[Floats, ...]:
    """Uniform random numbers: the base line."""
    rng = np.random.default_rng(evidence.seed)
    return tuple(rng.random(group.width) for group in architecture.groups)


def normalised(scores: Floats, where: str) -> Floats:
    """Scores brought to mean 1; all 1 where all are 0. Raises `InputError` when not finite."""
    mean = scores.mean()
    if not np.isfinite(mean):
        raise InputError(f"weights and gradients must be finite, but those of `{where}` are not")
    result: Floats = scores / mean if mean > 0 else np.ones_like(scores)
    return result


CRITERIA: Mapping[str, Criterion] = {
    "l1": _l1,
    "l2": _l2,
    "bn_scale": _bn_scale,
    "taylor": _taylor,
    "random": _random,
}
