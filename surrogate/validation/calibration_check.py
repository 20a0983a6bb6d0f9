"""Whether measurements that surrogates have not seen lie where they said."""

from dataclasses import dataclass

import numpy as np
from scipy.special import bdtr

from hdap.surrogate.models.base import Z90, FleetSurrogate
from hdap.surrogate.training_data.training_cells import TrainingData

EXPECTED = 0.9
SURPRISE = 0.01
"""Probability of so few inside below which it is no chance."""
LEAST_CELLS = 5
MISSED = 1.5
"""Measured over predicted, or the other way round, from which on a prediction decided nothing,
however wide its interval: between the best network of a budget and uniform pruning lies less."""


@dataclass(frozen=True)
class Residuals:
    """New pruned configurations on one cluster against its surrogate.

    `inside` of `cells` lie in the 90 % interval; `bias` is the median of measured over predicted
    minus 1 (> 0: slower than predicted).
    """

    cluster: int
    cells: int
    inside: int
    bias: float

    @property
    def off(self) -> bool:
        """Whether predictions missed by a factor."""
        return missed(1.0 + self.bias)

    @property
    def left(self) -> bool:
        """Whether more left the interval than chance explains, or all by a factor."""
        if self.off:
            return True
        if self.cells < LEAST_CELLS:
            return False
        return float(bdtr(self.inside, self.cells, EXPECTED)) < SURPRISE


def off_by(ratio: float) -> float:
    """The factor, at least 1, that measured over predicted stands for (NaN: unknown)."""
    return max(ratio, 1.0 / ratio) if ratio > 0 else float("nan")


def missed(ratio: float) -> bool:
    """Whether measured over predicted is off by a factor, in either direction."""
    return off_by(ratio) >= MISSED


def residuals(surrogate: FleetSurrogate, unseen: TrainingData) -> tuple[Residuals, ...]:
    """Figures of each cluster that measured something pruned that the surrogate did not learn."""
    cells = unseen.at(~unseen.dense).cells
    if not len(cells):
        return ()
    prediction = surrogate.predict(cells.counts)
    place = np.arange(len(cells)), cells.cluster
    error = cells.log_ms - prediction.log_ms[place]
    inside = np.abs(error) <= Z90 * prediction.log_sd[place]
    found = []
    for cluster in np.unique(cells.cluster).tolist():
        mine = cells.cluster == cluster
        bias = float(np.expm1(np.median(error[mine])))
        found.append(Residuals(cluster, int(mine.sum()), int(inside[mine].sum()), bias))
    return tuple(found)
