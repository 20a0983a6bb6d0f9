"""What moving one group alone does to latency and importance, and moves that are guided by it.

Around one configuration the surrogates are asked about every group moved alone by a few steps (one
vectorised call). Logarithms of latency then add up over groups to good accuracy, FLOPs follow
exactly from their quadratic form and kept importance exactly from its curves; so all trades of two
groups and many combinations of more are ranked without asking again, and only the most
promising are scored for real.
"""

from dataclasses import dataclass

import numpy as np

from hdap.fleet_data.architecture import Counts
from hdap.fleet_data.records import Bools, Floats, Ints
from hdap.search.problem.search_problem import SearchProblem
from hdap.search.samplers.moves import distinct
from hdap.surrogate.learning.blas_threads import one_blas_thread

REACH = 4
OFFSETS = np.array([-4, -2, -1, 1, 2, 4])
EVERY = np.arange(-REACH, REACH + 1)


class LookupTable:
    """Latencies of networks that differ from one another in a single group; counts what it asks.

    Latency is the objective that a search minimises, doubt included, in logarithms.
    """

    def __init__(self, problem: SearchProblem) -> None:
        self.problem = problem
        self.asked = 0

    def log_ms(self, counts: Counts) -> Floats:
        """Logarithm of the objective: `n x groups` -> `n`."""
        self.asked += len(counts)
        with one_blas_thread():
            return np.log(self.problem.ucb_ms(counts))

    def penalised(self, counts: Counts) -> Floats:
        """The objective, dearer below the floor: `n x groups` -> `n` ms."""
        self.asked += len(counts)
        with one_blas_thread():
            return self.problem.scores(counts).penalised

    def singles(self, center: Counts, group: Ints, index: Ints) -> Counts:
        """`center` with `group[i]` alone at grid position `index[i]`: `groups` -> `n x groups`."""
        rows = np.repeat(center[None], len(group), axis=0)
        rows[np.arange(len(group)), group] = self.problem.space.table[group, index]
        return rows


@dataclass(frozen=True)
class Marginals:
    """Around `center` (`groups`): changes by `EVERY` strides of each group, `groups x 9`.

    A stride is so many grid steps (`groups`): long ones find the way, single steps finish.

    `counts` are the channel counts there, `latency` the change of the logarithm of latency,
    `kept` that of kept importance; a step beyond the ends of the grid stays at the end.
    """

    center: Counts
    index: Ints
    stride: Ints
    counts: Counts
    latency: Floats
    kept: Floats

    @classmethod
    def around(
        cls, problem: SearchProblem, center: Counts, value: float, share: float
    ) -> "Marginals":
        """One vectorised call of the surrogates.

        `value` is what `center` itself scores; a stride is `share` of a group's grid, rounded,
        and a step at least.
        """
        space = problem.space
        stride = np.maximum(np.rint(space.sizes * share).astype(np.int64), 1)
        index = space.index(center[None])[0]
        reached = np.clip(index[:, None] + EVERY * stride[:, None], 0, space.sizes[:, None] - 1)
        counts: Counts = np.take_along_axis(space.table, reached, axis=1)
        asked = [EVERY.tolist().index(o) for o in OFFSETS]
        group, column = np.nonzero(counts[:, asked] != center[:, None])
        rows = np.repeat(center[None], len(group), axis=0)
        rows[np.arange(len(group)), group] = counts[:, asked][group, column]
        latency = np.full((len(center), len(EVERY)), np.nan)
        latency[:, REACH] = 0.0
        known = np.log(problem.ucb_ms(rows) / value) if len(rows) else np.empty(0)
        latency[group, np.asarray(asked)[column]] = known
        _fill(latency, counts == center[:, None])
        shares = problem.importance.logarithms[np.arange(len(center))[:, None], counts]
        kept = (shares - shares[:, REACH : REACH + 1]) / len(center)
        return cls(center, index, stride, counts, latency, kept)

    @property
    def asked(self) -> int:
        """Configurations that the surrogates were asked about."""
        return int((self.counts[:, EVERY.searchsorted(OFFSETS)] != self.center[:, None]).sum())

    def predicted(self, problem: SearchProblem, counts: Counts) -> Floats:
        """Change of log latency if single changes add up: `n x groups` -> `n`."""
        moved = np.rint((problem.space.index(counts) - self.index) / self.stride)
        offset = np.clip(moved, -REACH, REACH).astype(np.int64) + REACH
        found: Floats = self.latency[np.arange(counts.shape[1]), offset].sum(axis=1)
        return found


def pairs(problem: SearchProblem, around: Marginals, n: int) -> Counts:
    """The `n` best trades between two groups (or moves of one) that keep band and floor."""
    group, column = np.nonzero(around.counts != around.center[:, None])
    first, second = np.nonzero(group[:, None] < group[None, :])
    latency = around.latency[group, column]
    kept = around.kept[group, column]
    change = around.counts[group, column] - around.center[group]
    slack = problem.log_floor - problem.importance.log_kept(around.center[None])[0]
    held = kept[first] + kept[second] >= min(slack, 0.0)
    first, second = first[held], second[held]
    cost = problem.repair.pair_flops(around.center, group, change, first, second)
    inside = problem.band.contains(cost)
    first, second = first[inside], second[inside]
    best = (latency[first] + latency[second]).argsort(kind="stable")[:n]
    moved = np.repeat(around.center[None], len(best), axis=0)
    for chosen in (first[best], second[best]):
        moved[np.arange(len(best)), group[chosen]] += change[chosen]
    return moved


def combinations(
    problem: SearchProblem, around: Marginals, n: int, tries: int, rng: np.random.Generator
) -> Counts:
    """The `n` most promising of `tries` moves of many groups at once.

    Prices for FLOPs and for kept importance are drawn at random; at given prices every group has
    one best step (the Lagrangian relaxation of a multiple-choice knapsack); a random part of the
    groups takes it; the repair settles the FLOPs exactly.
    """
    slopes = problem.repair.slopes(around.center[None])[0] / problem.band.high
    flops = slopes[:, None] * (around.counts - around.center[:, None])
    price = np.exp(rng.normal(0.0, 1.0, size=(tries, 1, 1))) * _rate(around.latency, around.kept)
    fee = rng.normal(0.0, 1.0, size=(tries, 1, 1)) * _rate(around.latency, flops)
    latency, flops, kept = (x.astype(np.float32) for x in (around.latency, flops, around.kept))
    worth = rng.standard_normal((tries, *flops.shape), dtype=np.float32)
    worth *= np.float32(0.1) * np.abs(latency)
    worth += latency
    worth += fee.astype(np.float32) * flops
    worth -= price.astype(np.float32) * kept
    best = worth.argmin(axis=2)
    moving = rng.random(best.shape) < rng.choice([0.1, 0.2, 0.4, 1.0], size=(tries, 1))
    best = np.where(moving, best, REACH)
    counts = problem.repair(np.take_along_axis(around.counts[None], best[:, :, None], 2)[:, :, 0])
    counts = distinct(counts)
    order = np.lexsort((around.predicted(problem, counts), problem.violation(counts)))
    chosen: Counts = counts[order[:n]]
    return chosen


def _rate(latency: Floats, other: Floats) -> float:
    """Typical change of latency for one unit of `other`."""
    moved = np.abs(other) > 1e-12
    return float(np.median(np.abs(latency[moved]) / np.abs(other[moved]))) if moved.any() else 1.0


def _fill(latency: Floats, still: Bools) -> None:
    """Steps that were not asked about: no change at the grid's end, else between neighbours."""
    latency[still] = 0.0
    for row in latency:
        known = ~np.isnan(row)
        row[~known] = np.interp(EVERY[~known], EVERY[known], row[known])
