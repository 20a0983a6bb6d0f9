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
    made |= {id(t): change(t.detach()) for t in _made_of_others(module)}
    return copy.deepcopy(module, made)


def duplicate(module: nn.Module) -> nn.Module:
    """A copy with tensors of its own."""
    return copy.deepcopy(module, {id(t): t.detach().clone() for t in _made_of_others(module)})


def _made_of_others(module: nn.Module) -> list[Tensor]:
    """What old weight norms and masks make of parameters and keep beside them, which torch does not
    copy: it is made again when the module runs."""
    held = (value for part in module.modules() for value in vars(part).values())
    return [value for value in held if isinstance(value, Tensor) and not value.is_leaf]


def on_cpu(module: nn.Module) -> nn.Module:
    """A copy in eval mode on the CPU."""
    return duplicate(module).cpu().eval()


def all_tensors(network: nn.Module) -> dict[str, Tensor]:
    """Every parameter and buffer once, by its first name."""
    found: dict[int, tuple[str, Tensor]] = {}
    for name, tensor in [*network.named_parameters(), *network.named_buffers()]:
        found.setdefault(id(tensor), (name, tensor))
    return dict(found.values())
