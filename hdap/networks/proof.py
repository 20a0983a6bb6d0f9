"""That a pruned network runs and is what was promised, to the last digit."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from hdap.fleet_data.architecture import Architecture, Counts
from hdap.fleet_data.costs import flops, parameters
from hdap.fleet_data.errors import InputError, UnsupportedModelError
from hdap.networks.channel_graph import on_meta
from hdap.networks.counting import count_flops, count_parameters
from hdap.networks.layers import run, run_once


@dataclass(frozen=True)
class NetworkSize:
    """Counted, not computed; `bytes` is what the tensors take in a file."""

    flops: int
    parameters: int
    bytes: int


def size_of(network: nn.Module, architecture: Architecture) -> NetworkSize:
    """FLOPs by torch's counter, parameters, and bytes of a network."""
    return NetworkSize(
        flops=count_flops(on_meta(network), architecture.input_shape)[""],
        parameters=count_parameters(network),
        bytes=sum(t.numel() * t.element_size() for t in network.state_dict().values()),
    )


def check_pruned(
    dense: nn.Module, pruned: nn.Module, architecture: Architecture, counts: Counts
) -> NetworkSize:
    """Run the pruned network on a random image and count it; `dense` may be on meta.

    Raises `UnsupportedModelError` when the output has another shape than the dense network's or
    when FLOPs or parameters differ from the promise, `InputError` when the output is not finite.
    """
    expected = tuple(run_once(dense, architecture.input_shape).shape)
    output = run(pruned, random_images(pruned, architecture.input_shape, 1, seed=0))
    if tuple(output.shape) != expected:
        raise UnsupportedModelError(
            f"the pruned network must give an output of shape {expected}, but gives "
            f"{tuple(output.shape)}; use another model"
        )
    if not torch.isfinite(output).all():
        raise InputError(
            "the pruned network must give finite numbers, but gives "
            f"{int((~torch.isfinite(output)).sum())} others for a random image; check the weights"
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


def random_images(
    network: nn.Module, input_shape: tuple[int, int, int], batch: int, seed: int
) -> Tensor:
    """Standard normal numbers, batch x channels x height x width, as the network takes them."""
    first = next(network.parameters())
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(batch, *input_shape, generator=generator).to(first.device, first.dtype)
