"""How much the loss would change without a channel, to first order.

Molchanov et al., "Importance Estimation for Neural Network Pruning", CVPR 2019, equation 8: the
square of the sum of weight times gradient. The layers of a width group lose a channel together, so
their sums are added before they are squared.
"""

import copy
import itertools
from collections.abc import Iterable, Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from hdap.fleet_data.architecture import Architecture
from hdap.fleet_data.errors import InputError

Floats = NDArray[np.float64]
Batch = tuple[Tensor, Tensor]

MAX_BATCHES = 64
"""As many are read at most, so that an endless loader is no trap."""


def taylor_scores(
    network: nn.Module, architecture: Architecture, batches: Iterable[Batch]
) -> tuple[Floats, ...]:
    """Mean over batches of the squared first-order change, `width` numbers a width group.

    The loss is cross-entropy; targets are class numbers, or probabilities (batch x classes). The
    network runs in eval mode. Raises `InputError` when there are no batches, when one is not a pair
    of tensors that the network takes, or when the loss is not finite.
    """
    work = copy.deepcopy(network).eval().requires_grad_(True)
    totals = [np.zeros(group.width) for group in architecture.groups]
    count = 0
    for count, batch in enumerate(_limited(batches), start=1):
        work.zero_grad(set_to_none=True)
        _loss(work, batch, count).backward()  # type: ignore[no-untyped-call]
        for total, group in zip(totals, architecture.groups, strict=True):
            total += np.sum([_change(work, member) for member in group.members], axis=0) ** 2
    if not count:
        raise InputError("taylor needs at least one batch of (input, target), but got none")
    return tuple(total / count for total in totals)


def _limited(batches: Iterable[Batch]) -> Iterator[Batch]:
    return itertools.islice(batches, MAX_BATCHES)


def _loss(network: nn.Module, batch: Batch, number: int) -> Tensor:
    pair = isinstance(batch, tuple | list) and len(batch) == 2
    if not pair or not all(isinstance(x, Tensor) for x in batch):
        raise InputError(
            f"a batch is (input, target), both tensors, but batch {number} is a "
            f"{type(batch).__name__}; see --data"
        )
    images, target = batch
    try:
        loss = nn.functional.cross_entropy(network(images), target)
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


def _change(network: nn.Module, layer: str) -> Floats:
    weight = network.get_submodule(layer).get_parameter("weight")
    if weight.grad is None:
        return np.zeros(len(weight))
    product = (weight.detach().double() * weight.grad.double()).flatten(1)
    result: Floats = product.sum(dim=1).cpu().numpy()
    return result
