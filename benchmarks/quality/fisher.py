"""Fisher importance of channels, a criterion that the studies compare."""

from collections.abc import Iterable

import numpy as np
import torch
from torch import Tensor, nn

from hdap.fleet_data.architecture import Architecture
from hdap.fleet_data.records import Floats
from hdap.networks.channel_importance import normalised


def fisher_scores(
    module: nn.Module, architecture: Architecture, batches: Iterable[tuple[Tensor, Tensor]]
) -> tuple[Floats, ...]:
    """As `taylor_scores`, squared for every image and not for every batch (Theis et al., "Faster
    gaze prediction with dense networks and Fisher pruning", 2018, equation 11)."""
    kept: dict[str, Tensor] = {}

    def hold(name: str) -> object:
        def hook(layer: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
            output.retain_grad()
            kept[name] = output

        return module.get_submodule(name).register_forward_hook(hook)

    names = {member for group in architecture.groups for member in group.members}
    handles = [hold(name) for name in names]
    totals = [np.zeros(group.width) for group in architecture.groups]
    module.eval()
    try:
        for images, labels in batches:
            loss = nn.functional.cross_entropy(module(images), labels, reduction="sum")
            loss.backward()  # type: ignore[no-untyped-call]
            for total, group in zip(totals, architecture.groups, strict=True):
                total += _squares([kept[member] for member in group.members])
        module.zero_grad(set_to_none=True)
    finally:
        for handle in handles:
            handle.remove()  # type: ignore[attr-defined]
    return tuple(
        normalised(total, group.name)
        for total, group in zip(totals, architecture.groups, strict=True)
    )


def _squares(outputs: list[Tensor]) -> Floats:
    """The change of the loss without a channel, first order, squared and summed over images."""
    with torch.no_grad():
        changes = [(o * o.grad).flatten(2).sum(2) for o in outputs if o.grad is not None]
        found: Floats = torch.stack(changes).sum(0).double().square().sum(0).numpy()
    return found
