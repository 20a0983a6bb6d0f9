"""How much the loss rises when one width group alone is cut."""

import numpy as np
from torch import nn

from hdap.fleet_data.architecture import Architecture, Counts
from hdap.fleet_data.records import Floats
from hdap.networks.following import follow_channels
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
        graph = follow_channels(module, architecture.input_shape)

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
