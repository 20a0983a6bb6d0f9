"""How much the loss rises when one width group alone is cut: what a Fisher or Taylor estimates."""

from collections.abc import Iterable

import numpy as np
import torch
from torch import Tensor, nn

from hdap.fleet_data.architecture import Architecture, Counts
from hdap.fleet_data.records import Floats
from hdap.networks.channel_graph import ChannelGraph
from hdap.networks.criteria import normalised
from hdap.networks.surgery import Scores, prune
from hdap.training.datasets import Samples
from hdap.training.network_quality import evaluate, recalibrate_on

SHARES = (0.75, 0.5, 0.25, 0.125)
RECALIBRATION_BATCHES = 8


class Sensitivity:
    """Loss of the un-tuned network by what each group keeps while all others keep everything.

    Channels go by `scores`; batch norms are recalibrated on `others`, the loss is that on `held`.
    """

    def __init__(
        self,
        module: nn.Module,
        architecture: Architecture,
        scores: tuple[Scores, ...],
        held: Samples,
        others: Samples,
    ) -> None:
        self.widths = architecture.widths
        graph = ChannelGraph(module, architecture.input_shape)

        def loss(counts: Counts) -> float:
            network = prune(module, architecture, counts, scores, graph=graph)
            recalibrate_on(network, others, count=RECALIBRATION_BATCHES)
            return evaluate(network, held).loss

        dense = loss(self.widths)
        rise = np.zeros((len(self.widths), len(SHARES) + 1))
        for group, width in enumerate(self.widths):
            for place, share in enumerate(SHARES, start=1):
                counts = self.widths.copy()
                counts[group] = max(round(share * width), 1)
                rise[group, place] = loss(counts) - dense
        self.rise = np.maximum.accumulate(np.maximum(rise, 0.0), axis=1)

    def curves(self) -> list[Floats]:
        """For each group the loss that is added at 0..width channels; linear in the logarithm of
        the share between what was tried, and further below."""
        places = -np.log((1.0, *SHARES))
        found = []
        for group, width in enumerate(self.widths):
            at = -np.log(np.maximum(np.arange(width + 1), 0.5) / width)
            slope = (self.rise[group, -1] - self.rise[group, -2]) / (places[-1] - places[-2])
            beyond = np.maximum(at - places[-1], 0.0) * slope
            found.append(np.interp(at, places, self.rise[group]) + beyond)
        return found


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
