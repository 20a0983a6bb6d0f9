"""Which configurations a FLOPs band holds: all of them where they are few, and the fullest one."""

from dataclasses import dataclass

import numpy as np

from hdap.fleet_data.architecture import Counts
from hdap.fleet_data.costs import format_flops
from hdap.fleet_data.errors import InfeasibleError
from hdap.fleet_data.records import Floats
from hdap.search.problem.budget import FlopsBand
from hdap.search.problem.quadratic_flops import QuadraticFlops
from hdap.search.problem.search_space import SearchSpace

FEW = 20_000
"""As many configurations are looked at one by one: a default search scores more of them."""
CELLS = 1_000_000
"""Beginnings times levels that are looked at in one go: 8 MB a table."""
STARTS = 64
"""Uniform ratios from which a network is filled up to its budget."""


def configurations_within(space: SearchSpace, band: FlopsBand, most: int = FEW) -> Counts | None:
    """Every configuration of the grid that lies in the band, in order: `n x groups`.

    None where there are more than `most`, or more beginnings of them than that. Groups are settled
    one after the other, those that FLOPs depend on most first; a beginning is given up as soon as
    the narrowest rest is above the band or the widest below it.
    """
    form = QuadraticFlops(space.architecture)
    ends = np.stack([space.smallest, space.widest])
    values = ends.astype(np.float64)
    order = np.argsort(-form.slopes(values)[1] * (values[1] - values[0]), kind="stable")
    none = np.empty((1, 0), dtype=np.int64)
    begun = _Beginnings(none, form.cost(values)[:, None], form.slopes(values)[:, None])
    for group in order.tolist():
        found = begun.settled(form, band, group, space.levels[group], ends[:, group], most)
        if found is None:
            return None
        begun = found
    counts = np.empty_like(begun.counts)
    counts[:, order] = begun.counts
    return counts[np.lexsort(counts.T[::-1])]


@dataclass(frozen=True)
class _Beginnings:
    """n configurations of which the first groups are settled, `counts`.

    Their cost (`2 x n`) and slopes (`2 x n x groups`) with the narrowest and with the widest rest.
    """

    counts: Counts
    cost: Floats
    slopes: Floats

    def settled(
        self,
        form: QuadraticFlops,
        band: FlopsBand,
        group: int,
        levels: Counts,
        ends: Counts,
        most: int,
    ) -> "_Beginnings | None":
        """With one more group settled, as far as the band can still be met; None: too many."""
        low, high = form.limits(band)
        steps = (levels - ends[:, None]).astype(np.float64)[:, None]
        at_once = max(CELLS // len(levels), 1)
        kept: list[_Beginnings] = []
        for first in range(0, max(len(self.counts), 1), at_once):
            some = slice(first, first + at_once)
            slopes = self.slopes[:, some]
            cost = self.cost[:, some, None]
            cost = cost + (slopes[:, :, group, None] + form.square[group] * steps) * steps
            row, level = np.nonzero((cost[0] <= high) & (cost[1] >= low))
            most -= len(row)
            if most < 0:
                return None
            moved = 2.0 * form.mixed[group] * steps[:, 0, level, None]
            counts = np.column_stack([self.counts[some][row], levels[level]])
            kept.append(_Beginnings(counts, cost[:, row, level], slopes[:, row] + moved))
        return _Beginnings(
            np.concatenate([x.counts for x in kept]),
            np.concatenate([x.cost for x in kept], axis=1),
            np.concatenate([x.slopes for x in kept], axis=1),
        )


def fullest(space: SearchSpace, budget: int) -> Counts:
    """The configuration of the most FLOPs that are not above `budget`: `groups`.

    Exact where few come as near; else one that is so near that many do.

    Raises:
        InfeasibleError: the narrowest configuration is above the budget.
    """
    form = QuadraticFlops(space.architecture)
    filled = np.stack([_filled(space, form, row, budget) for row in _ladder(space, form, budget)])
    flops = form.flops(form.cost(filled.astype(np.float64)))
    best: Counts = filled[flops.argmax()]
    nearer = configurations_within(space, FlopsBand(int(flops.max()), budget))
    if nearer is not None:
        best = nearer[form.cost(nearer.astype(np.float64)).argmax()]
    return best


def reached(space: SearchSpace, asked: FlopsBand) -> FlopsBand:
    """The band itself, or one that begins at the nearest configuration below an empty one.

    The upper end is a budget and stays. Raises InfeasibleError as `fullest`.
    """
    form = QuadraticFlops(space.architecture)
    near = _filled(space, form, _ladder(space, form, asked.high)[-1], asked.high)
    flops = form.flops(form.cost(near[None].astype(np.float64)))[0]
    if flops < asked.low:
        near = fullest(space, asked.high)
        flops = form.flops(form.cost(near[None].astype(np.float64)))[0]
    return FlopsBand(min(asked.low, int(flops)), asked.high)


def _ladder(space: SearchSpace, form: QuadraticFlops, budget: int) -> Counts:
    """Uniform ratios that the budget allows, rounded to the grid, the widest last."""
    ladder = space.snap(np.linspace(0.0, 1.0, STARTS + 1)[:, None] * space.widest)
    ladder[0] = space.smallest
    flops = form.flops(form.cost(ladder.astype(np.float64)))
    if flops[0] > budget:
        raise InfeasibleError(
            f"the budget must be at least the {format_flops(flops[0])} FLOPs of the narrowest "
            f"allowed network, but got {format_flops(budget)}: raise it, or lower `--min-width` or "
            f"`--step`"
        )
    return ladder[flops <= budget]


def _filled(space: SearchSpace, form: QuadraticFlops, counts: Counts, budget: int) -> Counts:
    """Groups widened one at a time as long as one fits, each time the one that leaves least."""
    high = form.limits(FlopsBand(1, budget))[1]
    while True:
        values = counts[None].astype(np.float64)
        cost, slopes = form.cost(values)[0], form.slopes(values)[0]
        step = (space.table - counts[:, None]).astype(np.float64)
        after: Floats = cost + (slopes[:, None] + form.square[:, None] * step) * step
        after[(step <= 0.0) | (after > high)] = -np.inf
        group, level = np.unravel_index(int(after.argmax()), after.shape)
        if not np.isfinite(after[group, level]):
            return counts
        counts = counts.copy()
        counts[group] = space.table[group, level]
