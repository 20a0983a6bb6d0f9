"""The dense network with what pruning took away masked, made without knowing how pruning works.

Every weight of a copy is given its own number; those that are left after pruning say which stayed.
A row that stayed (an output channel) then ignores the inputs that it lost, and channels that are
gone stay alive: a pruned network computes the same if no channel that is gone was needed.
"""

import copy
from collections.abc import Callable, Iterator
from typing import Any
from unittest.mock import patch

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.conv import _ConvNd, _ConvTransposeNd
from torch.nn.modules.instancenorm import _InstanceNorm
from torchvision.ops import FrozenBatchNorm2d

from hdap.networks.forward_pass import run

Prune = Callable[[nn.Module], nn.Module]

_BY_CHANNEL = (_BatchNorm, _InstanceNorm, FrozenBatchNorm2d)
_MATRICES = (_ConvNd, nn.Linear)
_ADDED = ("bias", "running_mean")
_BATCH_NORM = functional.batch_norm


@torch.no_grad()
def masked(network: nn.Module, prune: Prune, *, silent: bool = False) -> nn.Module:
    """A copy of `network`, all of its size, that computes what `prune(network)` should.

    With `silent` the channels that are gone are made of zeros instead of being ignored: the only
    way where two layers are multiplied and summed over channels, as queries and keys are.
    Raises `ValueError` or `IndexError` for a tensor that is no part of what it was.
    """
    left = dict(_numbers(prune(_numbered(network))))
    result = copy.deepcopy(network)
    for name, tensor in _numbers(result):
        indices = left[name].flatten().long()
        stays = torch.zeros(tensor.numel(), dtype=torch.bool)
        stays[indices] = True
        if int(stays.sum()) != len(indices):
            raise ValueError(f"`{name}` holds one of its numbers twice")
        if silent:
            tensor *= stays.view(tensor.shape)
        elif tensor.dim() > 1:
            _ignore(tensor, stays.view(tensor.shape), _outputs_at(result, name))
    return result


def _numbers(network: nn.Module) -> Iterator[tuple[str, Tensor]]:
    """Every tensor of real numbers by name; a shared one once."""
    for name, tensor in (*network.named_parameters(), *network.named_buffers()):
        if tensor.is_floating_point() and tensor.numel():
            yield name, tensor


def _numbered(network: nn.Module) -> nn.Module:
    numbered = copy.deepcopy(network)
    for _, tensor in _numbers(numbered):
        tensor.copy_(torch.arange(tensor.numel(), dtype=torch.float64).view(tensor.shape))
    return numbered


def _outputs_at(network: nn.Module, name: str) -> int:
    owner = network.get_submodule(name.rpartition(".")[0])
    return 1 if isinstance(owner, _ConvTransposeNd) else 0


def _ignore(tensor: Tensor, stays: Tensor, outputs_at: int) -> None:
    rows, stay = tensor.movedim(outputs_at, 0), stays.movedim(outputs_at, 0)
    kept = stay.flatten(1).any(1)
    rows[kept] *= stay[kept]


@torch.no_grad()
def with_random_numbers(network: nn.Module, images: Tensor) -> nn.Module:
    """A copy in float64 in which no part is idle, whatever it was initialised with.

    Layers with a matrix are scaled until what they make of `images` has the standard deviation 1
    (Mishkin and Matas, "All you need is a good init", ICLR 2016, in one pass).
    """
    result = copy.deepcopy(network).double()
    generator = torch.Generator().manual_seed(0)
    buffers = {id(buffer) for buffer in result.buffers()}
    for name, tensor in _numbers(result):
        if name.endswith(_ADDED):
            tensor.uniform_(-1.0, 1.0, generator=generator)
        elif tensor.dim() > 1 and id(tensor) not in buffers:
            bound = (6.0 / tensor[0].numel()) ** 0.5
            tensor.uniform_(-bound, bound, generator=generator)
        else:  # factors, variances, and whatever code may take the root of
            tensor.uniform_(0.5, 1.5, generator=generator)
    handles = [
        layer.register_forward_hook(_scale)
        for layer in result.modules()
        if isinstance(layer, _MATRICES)
    ]
    without_mixing(result, lambda: run(result, images))
    for handle in handles:
        handle.remove()
    return result


def _scale(layer: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> Tensor:
    deviation = output.std(correction=0)
    if not 0 < deviation < torch.inf:
        return output
    for tensor in layer.parameters():
        tensor.div_(deviation)
    return output / deviation


def without_mixing(network: nn.Module, action: Callable[[], object]) -> object:
    """What `action` gives while norms over several channels act on each channel alone.

    Means over channels change when channels go, so such a norm proves nothing of the rest. Weights
    that are standardised over their inputs (batch norms without a memory) are such means too.
    """
    handles = [
        layer.register_forward_hook(_factors_alone)
        for layer in network.modules()
        if "Norm" in type(layer).__name__ and not isinstance(layer, _BY_CHANNEL)
        if not any(isinstance(part, _MATRICES) for part in layer.modules())  # `ConvNormAct`
    ]
    try:
        with patch.object(functional, "batch_norm", _standardised_by_nothing):
            return action()
    finally:
        for handle in handles:
            handle.remove()


def _standardised_by_nothing(
    x: Tensor,
    mean: Tensor | None,
    variance: Tensor | None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    *rest: Any,
    **named: Any,
) -> Tensor:
    if mean is not None:
        return _BATCH_NORM(x, mean, variance, weight, bias, *rest, **named)
    shape = [-1, *[1] * (x.dim() - 2)]
    x = x if weight is None else x * weight.view(shape)
    return x if bias is None else x + bias.view(shape)


def _factors_alone(norm: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> Tensor:
    x = inputs[0]
    first = isinstance(norm, nn.GroupNorm) or "2d" in type(norm).__name__
    shape = [-1, *[1] * (x.dim() - 2)] if first else [-1]
    weight, bias = (getattr(norm, name, None) for name in ("weight", "bias"))
    x = x if weight is None else x * weight.view(shape)
    return x if bias is None else x + bias.view(shape)
