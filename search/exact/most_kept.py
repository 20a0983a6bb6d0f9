"""The most importance that can be kept within a FLOPs band, and a bound that nothing exceeds."""

import math
from dataclasses import dataclass

import numpy as np

from hdap.fleet_data.architecture import Counts
from hdap.fleet_data.costs import format_flops
from hdap.fleet_data.errors import InfeasibleError
from hdap.search.exact.relaxation import MOST_ENTRIES, flops_tables, kept_tables
from hdap.search.exact.variable_elimination import Elimination
from hdap.search.problem.search_problem import SLACK, SearchProblem

ROUNDS = 40
CLOSE = 1e-9


@dataclass(frozen=True)
class MostKept:
    """A configuration in the band (`counts`: groups) and the importance that it keeps; none keeps
    more than `at_most`, so where the two agree it is the best of all."""

    counts: Counts
    kept: float
    at_most: float

    def refusal(self, problem: SearchProblem) -> str:
        """What to say where the floor is above what can be kept."""
        band = problem.band
        shown = math.floor(1000.0 * self.kept) / 1000.0
        return (
            f"the floor must be at most {shown:.3f}, the most importance that a network of "
            f"{format_flops(band.low)} to {format_flops(band.high)} FLOPs can keep in steps of "
            f"{problem.space.step}, but got {problem.floor:g}: lower `--floor`, raise `--flops`, "
            f"or give a smaller `--step`"
        )


def most_kept(problem: SearchProblem) -> MostKept:
    """Exact where a band holds few configurations; else between a network and its dual bound.

    The importance that is kept is a sum over groups, FLOPs one over groups and pairs of them. With
    a price on FLOPs both are minimised exactly (`Elimination`); the best price lies where two of
    the dual's lines cross. A network that a price gives is repaired into the band.
    """
    log_kept = problem.importance.log_kept
    if problem.every is not None:
        kept = log_kept(problem.every)
        best = int(kept.argmax())
        return MostKept(problem.every[best], *np.exp([kept[best], kept[best]]).tolist())
    networks, bound = _priced(problem)
    inside = problem.repair(np.vstack([networks, problem.uniform]))
    kept = log_kept(inside)
    best = int(kept.argmax())
    return MostKept(inside[best], *np.exp([kept[best], max(bound, kept[best])]).tolist())


def check_floor(problem: SearchProblem) -> None:
    """Raise InfeasibleError where no configuration in the band can keep the floor."""
    if problem.floor <= 0.0:
        return
    most = most_kept(problem)
    if problem.log_floor > np.log(most.at_most) + SLACK:
        raise InfeasibleError(most.refusal(problem))


def _priced(problem: SearchProblem) -> tuple[Counts, float]:
    """The networks (`m x groups`) at the prices tried, and the least dual value, a logarithm."""
    space, high = problem.space, float(problem.band.high)
    ends = np.stack([space.widest, space.smallest])
    flops, kept = flops_tables(problem), kept_tables(problem)
    elimination = Elimination(space.sizes, sorted({*flops, *kept}))
    networks = [ends[0], ends[1]]
    # Lines of the dual, value and slope: one network above the budget, one within it.
    lines = [_line(problem, end) for end in ends]
    bound = lines[0][0]
    if lines[0][1] <= 0.0 or elimination.entries > MOST_ENTRIES:
        return np.stack(networks), bound
    for _ in range(ROUNDS):
        (above, more), (within, less) = lines
        price = (above - within) / (more - less)
        tables = {scope: price / high * table for scope, table in flops.items()}
        for scope, table in kept.items():
            tables[scope] = tables[scope] - table
        found = space.counts(elimination.least(tables)[None])[0]
        value, slope = _line(problem, found)
        bound = min(bound, value - price * slope)
        networks.append(found)
        if value - price * slope <= above - price * more + CLOSE:
            break
        lines[slope <= 0.0] = (value, slope)
    return np.unique(np.stack(networks), axis=0), bound


def _line(problem: SearchProblem, counts: Counts) -> tuple[float, float]:
    """Logarithm of what a network keeps, and by which share of the budget it exceeds it."""
    log_kept = float(problem.importance.log_kept(counts[None])[0])
    return log_kept, float(problem.repair.flops(counts[None])[0]) / problem.band.high - 1.0
