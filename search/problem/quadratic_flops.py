"""FLOPs as an exact quadratic form of the counts, and what follows from it in closed form.

FLOPs are `constant + linear . c + c . Q . c` with no negative coefficient: they grow with every
count, and what one group must become for a budget to hold is one square root.
"""

import numpy as np

from hdap.fleet_data.architecture import Architecture
from hdap.fleet_data.costs import flops_form
from hdap.fleet_data.records import Floats
from hdap.search.problem.budget import FlopsBand


class QuadraticFlops:
    """Costs of configurations in units of `1 / divisor` FLOPs, where everything is an integer.

    So float64 is exact. `mixed` is symmetric (`groups x groups`), `square` its diagonal.
    """

    def __init__(self, architecture: Architecture) -> None:
        form = flops_form(architecture)
        self.divisor = form.divisor
        self.constant = float(form.constant)
        self.linear = np.asarray(form.linear, dtype=np.float64)
        self.mixed = np.asarray(form.quadratic + form.quadratic.T, dtype=np.float64) / 2.0
        self.square = np.diag(self.mixed).copy()

    def cost(self, counts: Floats) -> Floats:
        """`n x groups` -> `n`."""
        total: Floats = self.constant + ((counts @ self.mixed + self.linear) * counts).sum(1)
        return total

    def slopes(self, counts: Floats) -> Floats:
        """Cost of one more channel of a group, to first order: `n x groups`."""
        found: Floats = self.linear + 2.0 * (counts @ self.mixed)
        return found

    def flops(self, cost: Floats) -> Floats:
        """Whole FLOPs of costs."""
        return np.floor(cost / self.divisor)

    def limits(self, band: FlopsBand) -> tuple[float, float]:
        """The least and the most cost in the band."""
        return float(band.low * self.divisor), float((band.high + 1) * self.divisor - 1)
