"""How much each channel matters, from the weights alone.

Magnitude pruning (Li et al., "Pruning Filters for Efficient ConvNets", ICLR 2017), with squared L2
norms so that shares of a group's total are shares of energy.
"""

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from hdap.fleet_data.architecture import Architecture, Layer
from hdap.fleet_data.errors import InputError
from hdap.networks.layer_kinds.registry import kind_of

Floats = NDArray[np.float64]


def channel_importance(module: nn.Module, architecture: Architecture) -> tuple[Floats, ...]:
    """One array of `width` non-negative scores for each width group; their mean is 1.

    The score of a channel is the squared norm of its filter, folded with the batch norm that
    follows; each layer is brought to mean 1, so that layers of different scale count alike, and the
    layers of a group are averaged. Raises `InputError` when weights are not finite or on meta.
    """
    norms = _following_norms(architecture)
    return tuple(
        np.mean([_energy(module, name, norms.get(name)) for name in group.members], axis=0)
        for group in architecture.groups
    )


def importance_curves(scores: Sequence[Floats], architecture: Architecture) -> tuple[Floats, ...]:
    """Per width group the share of all importance that the k best channels hold, k = 0..width.

    Each curve has `width + 1` entries, rises from 0 to 1 and never falls. A group with `multiple`
    above 1 keeps the same places in every block, so its curve is exact at multiples and
    interpolated between.
    """
    return tuple(
        _curve(score, group.multiple)
        for score, group in zip(scores, architecture.groups, strict=True)
    )


def _curve(scores: Floats, multiple: int) -> Floats:
    places = scores.reshape(multiple, -1).sum(axis=0)
    held = np.concatenate([[0.0], np.cumsum(np.sort(places)[::-1])])
    # Not a division by the last entry alone: rounding must not make a share fall or pass 1.
    shares = np.minimum(held / held[-1], 1.0)
    counts = np.arange(len(shares)) * multiple
    curve: Floats = np.interp(np.arange(len(scores) + 1), counts, shares)
    return curve


def _energy(module: nn.Module, name: str, norm: str | None) -> Floats:
    layer = module.get_submodule(name)
    weight = layer.get_parameter("weight").detach()
    if weight.is_meta:
        raise InputError("importance needs weights, but the model is on meta; load it on the cpu")
    energy = weight.double().flatten(1).square().sum(dim=1)
    if norm is not None:
        following = module.get_submodule(norm)
        energy = energy * kind_of(following).energy_gain(following)
    mean = energy.mean()
    if not torch.isfinite(mean):
        raise InputError(f"weights must be finite, but those of `{name}` are not")
    # A layer of zeros (zero-initialised residual branches) says nothing about its channels.
    scores: Floats = (energy / mean if mean > 0 else torch.ones_like(energy)).cpu().numpy()
    return scores


def _following_norms(architecture: Architecture) -> dict[str, str]:
    """Layer -> the norm next to it in module order with the same channels."""

    def follows(first: Layer, second: Layer) -> bool:
        return first.has_matrix and not second.has_matrix and first.outputs == second.outputs

    pairs = zip(architecture.layers, architecture.layers[1:], strict=False)
    return {first.name: second.name for first, second in pairs if follows(first, second)}
