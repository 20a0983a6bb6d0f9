"""Running a network once so that its channels can be followed."""

import copy
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from hdap.fleet_data.errors import UnsupportedModelError
from hdap.networks.forward_pass import leaves, plain_attention, quiet
from hdap.networks.walk.recorder import Walk
from hdap.networks.walk.rules.registry import RULES

OUTPUT = "is the network's output"


def walk(network: nn.Module, input_shape: Sequence[int]) -> Walk:
    """What every operation of one run on zeros says of the channels; `network` is not changed.

    Raises `UnsupportedModelError`, naming the module, when the network does not run.
    """
    first = next(network.parameters())
    image = torch.zeros(1, *input_shape, device=first.device, dtype=first.dtype)
    seen = Walk(network, RULES)
    try:
        with quiet(), plain_attention(), torch.no_grad(), seen.watching(network), seen:
            outputs = network(image)
    except Exception as error:
        line = str(error).partition("\n")[0]
        place = f"`{seen.module}`" if seen.module else f"what follows {seen.last}"
        raise UnsupportedModelError(
            f"a network must run on images of shape {tuple(input_shape)}, but {place} failed with "
            f"{type(error).__name__}: {line}"
        ) from error
    for tensor in leaves(outputs):
        seen.pin(tensor, OUTPUT)
    return seen


def on_meta(module: nn.Module) -> nn.Module:
    """A copy in eval mode that has shapes but no numbers."""
    return copied(module, lambda tensor: tensor.to("meta")).to("meta").eval()


def copied(module: nn.Module, change: Callable[[Tensor], Tensor]) -> nn.Module:
    """A copy whose parameters and buffers are changed ones; what was shared stays shared."""
    # Handing the new ones over spares making real copies first.
    made: dict[int, Any] = {
        id(t): nn.Parameter(change(t.detach()), t.requires_grad)
        if isinstance(t, nn.Parameter)
        else change(t)
        for t in [*module.parameters(), *module.buffers()]
    }
    return copy.deepcopy(module, made)


def on_cpu(module: nn.Module) -> nn.Module:
    """A copy in eval mode on the CPU."""
    return copy.deepcopy(module).cpu().eval()


def all_tensors(network: nn.Module) -> dict[str, Tensor]:
    """Every parameter and buffer once, by its first name."""
    found: dict[int, tuple[str, Tensor]] = {}
    for name, tensor in [*network.named_parameters(), *network.named_buffers()]:
        found.setdefault(id(tensor), (name, tensor))
    return dict(found.values())
