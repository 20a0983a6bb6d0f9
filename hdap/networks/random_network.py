"""A network with random numbers: what an equality must hold for whatever they are."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from hdap.networks.forward_pass import hooked
from hdap.networks.layer_kinds.registry import find_kind, kind_of
from hdap.networks.network_copies import copied

# Parameters and buffers that are added or taken away, whatever layer they are of.
_ADDED = ("bias", "running_mean")


def in_float64(network: nn.Module) -> nn.Module:
    """A copy in eval mode on the CPU, to be filled."""
    return copied(network, _empty).eval()


def fill_randomly(network: nn.Module, size: float, seed: int) -> None:
    """Write random numbers everywhere."""
    rng = torch.Generator().manual_seed(seed)
    buffers = {id(tensor) for tensor in network.buffers()}
    for name, tensor in [*network.named_parameters(), *network.named_buffers()]:
        if tensor.is_complex():
            torch.view_as_real(tensor).uniform_(-size, size, generator=rng)
        elif not tensor.is_floating_point():
            tensor.copy_(torch.arange(tensor.numel()).view(tensor.shape) % 2)  # such as places
        elif name.endswith(_ADDED):
            tensor.uniform_(-size, size, generator=rng)
        elif tensor.dim() > 1 and id(tensor) not in buffers:
            # variance 2 / inputs keeps activations of one size (He et al.)
            bound = (6.0 / max(tensor[0].numel(), 1)) ** 0.5
            tensor.uniform_(-bound, bound, generator=rng)
        else:  # factors, variances, and whatever code may divide by or take the root of
            tensor.uniform_(0.5, 1.5, generator=rng)


def _empty(tensor: Tensor) -> Tensor:
    dtype = torch.float64 if tensor.is_floating_point() else tensor.dtype
    dtype = torch.complex128 if tensor.is_complex() else dtype
    return torch.empty_like(tensor, dtype=dtype, device="cpu")


@contextmanager
def calibrated(network: nn.Module, size: float) -> Iterator[None]:
    """Inside, what a layer makes gets this standard deviation: its matrix is scaled as it runs.

    (Mishkin and Matas, "All you need is a good init", ICLR 2016, in one pass.)
    """

    def scale(layer: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> Tensor:
        weight, bias = layer.get_parameter("weight"), getattr(layer, "bias", None)
        dim = kind_of(layer).channel_dim(layer, output)
        shift = (
            0.0 if bias is None else bias.view([-1, *[1] * (output.dim() - dim % output.dim() - 1)])
        )
        bare = output - shift
        deviation = bare.std(correction=0)
        if not (0 < deviation < torch.inf):
            return output
        weight.mul_(size / deviation)
        return bare * (size / deviation) + shift

    handles = [
        layer.register_forward_hook(scale)
        for layer in network.modules()
        for kind in [find_kind(layer)]
        if kind is not None and kind.has_matrix and "weight" in layer._parameters
    ]
    with hooked(handles):
        yield
