"""Copies of a network without its numbers or elsewhere, and its tensors by name."""

import copy
from collections.abc import Callable
from typing import Any

from torch import Tensor, nn


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
