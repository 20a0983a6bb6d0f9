"""Uniform pruning at equal FLOPs: the base line, and where the default quality floor comes from."""

import numpy as np

from hdap.fleet_data.architecture import Counts
from hdap.search.budget import FlopsBand
from hdap.search.repair import Repair
from hdap.search.space import SearchSpace

RATIOS = 4096
GOLDEN = 0.6180339887498949


def uniform(space: SearchSpace, band: FlopsBand) -> Counts:
    """Every group at the same ratio, rounded to the grid, in the band: `groups`.

    Uniform pruning spends the budget that it is given, so of what rounds into the band the one
    nearest the budget counts. Where many groups round up at one ratio, only some of them do, spread
    over the network, so no group is further than a grid step from its nearest count.

    Raises:
        InfeasibleError: the band is out of reach of the space.
    """
    repair = Repair(space, band)
    counts = space.snap(np.linspace(0.0, 1.0, RATIOS + 1)[:, None] * space.architecture.widths)
    last = max(int((repair.flops(counts) <= band.high).sum()) - 1, 0)
    between = _between(counts[last], counts[min(last + 1, RATIOS)])
    flops = repair.flops(between)
    best = np.where(flops <= band.high, flops, -1.0).argmax()
    # A band narrower than any such step is met exactly by the repair.
    found: Counts = repair(between[[best]])[0]
    return found


def _between(low: Counts, high: Counts) -> Counts:
    """From `low` to `high`, one group after the other: `m x groups`, the first of them `low`."""
    differing = np.flatnonzero(low != high)
    order = differing[(np.arange(len(differing)) * GOLDEN % 1.0).argsort()]
    rows = np.repeat(low[None], len(order) + 1, axis=0)
    for taken, group in enumerate(order):
        rows[taken + 1 :, group] = high[group]
    return rows
