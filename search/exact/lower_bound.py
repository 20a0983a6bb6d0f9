"""How good any answer can be: a lower bound on the objective over all allowed configurations.

The Lagrangian dual of a search problem (see `relaxation`): prices on FLOPs and on kept importance
are chosen such that the least priced sum, which is exact, is as large as possible. The dual is
concave in two prices, so cutting planes find its top (Kelley, "The Cutting-Plane Method for Solving
Convex Programs", 1960); the tangent is then taken anew at the mixture of networks that they end
with. What is left to the best network is the duality gap, under one percent on the fleets at hand.
"""

import time
from dataclasses import dataclass

import numpy as np
from scipy.optimize import linprog

from hdap.fleet_data.architecture import Counts
from hdap.fleet_data.records import Floats
from hdap.search.exact.relaxation import Priced, Relaxation
from hdap.search.problem.objectives import MeanLatency
from hdap.search.problem.search_problem import SearchProblem
from hdap.surrogate.learning.blas_threads import one_blas_thread

ROUNDS = 3
"""Tangents taken; each new one starts at the mixture of the last."""
CUTS = 30
CLOSE = 1e-4
"""Relative gain below which neither another cut nor another tangent is worth its time."""
HIGHEST = 50.0
"""Prices are at most so many times the objective for the whole budget, or for a factor e of kept
importance."""
ROUNDING = 1e-6
"""Relative: the surrogates compute their doubt in single precision."""


@dataclass(frozen=True, slots=True)
class Bound:
    """No configuration in the band that keeps the floor has an objective (with the problem's risk)
    below `value_ms`; it took `seconds` to find."""

    value_ms: float
    seconds: float

    def gap(self, ms: float) -> float:
        """How far an objective of `ms` can at most be above the best possible, as a fraction."""
        return max(ms / self.value_ms - 1.0, 0.0)


@dataclass(frozen=True)
class Relaxed:
    """The top of the dual: `value_ms`, and the m networks that were looked at on the way (m x
    groups), on the grid but mostly a little outside of the band or below the floor."""

    value_ms: float
    networks: Counts


def lower_bound(problem: SearchProblem) -> Bound | None:
    """The certificate of a search for one latency in milliseconds; None where there is none.

    The mean over devices is bounded as a whole. Any other objective grows with every cluster's
    latency, so the clusters' own bounds, put into it, bound it too, less tightly. None for several
    objectives, for a latency budget, and where the surrogates do not have the structure or the
    grid is too fine (see `Relaxation.of`). What else a search demands, such as accuracy, can only
    make the best worse, so the bound holds.
    """
    started, goal = time.monotonic(), problem.goals.first
    if problem.goals.several or problem.limit_ms is not None or goal.unit != "ms":
        return None
    relaxation = Relaxation.of(problem)
    if relaxation is None:
        return None
    if isinstance(goal, MeanLatency):
        value = relaxed(relaxation, problem.fleet.mean).value_ms
    else:
        every = np.eye(len(problem.fleet.mean))
        least = np.array([relaxed(relaxation, one).value_ms for one in every])
        value = float(goal.of(problem.fleet, least[None])[0])
    return Bound(value, time.monotonic() - started)


def relaxed(relaxation: Relaxation, shares: Floats, rounds: int = ROUNDS) -> Relaxed:
    """The best lower bound on `shares @ latencies` (`shares`: K, none negative)."""
    problem, latency = relaxation.problem, relaxation.latency
    with one_blas_thread():
        features = latency.priced(problem.uniform[None])[1][0]
        best, networks = -np.inf, []
        for _ in range(rounds):
            prices = latency.tangent(features, shares, problem.risk)
            top = _Dual(relaxation, prices).top()
            networks.append(top.networks)
            before, best = best, max(best, top.value)
            if best - before < CLOSE * best:
                break
            cost, each = latency.priced(top.networks)
            weight = top.mixture * cost
            features = weight @ each / weight.sum()
    return Relaxed(float(best) * (1.0 - ROUNDING), np.unique(np.vstack(networks), axis=0))


@dataclass(frozen=True)
class _Top:
    """The best value of the dual, the networks of its cuts, and their weights there (sum 1)."""

    value: float
    networks: Counts
    mixture: Floats


class _Dual:
    """The dual of one tangent: a concave function of three prices, none negative: of FLOPs above
    the band, of FLOPs below it, and of what is missing to the floor."""

    def __init__(self, relaxation: Relaxation, prices: Floats) -> None:
        self._relaxation = relaxation
        self._tables = relaxation.tables(prices)
        problem = relaxation.problem
        self._band, self._log_floor = problem.band, problem.log_floor
        # Prices are in units of an objective of usual size.
        self._unit = relaxation.latency_of(self._tables, problem.uniform)

    def top(self) -> _Top:
        """Cutting planes until the next can gain no more than `CLOSE`."""
        prices = np.zeros(3)
        best = -np.inf
        networks: list[Counts] = []
        slopes: list[Floats] = []
        levels: list[float] = []
        weights = np.ones(1)
        for _ in range(CUTS):
            one = self._least(prices)
            slope = self._unit * self._missed(one)
            best = max(best, one.latency_ms + float(prices @ slope))
            networks.append(one.counts)
            slopes.append(slope)
            levels.append(one.latency_ms)
            most, prices, weights = self._highest(np.array(slopes), np.array(levels))
            if most - best < CLOSE * abs(best):
                break
        return _Top(best, np.array(networks), weights)

    def _highest(self, slopes: Floats, levels: Floats) -> tuple[float, Floats, Floats]:
        """The top of the lowest of all cuts (m): its value, its prices and the cuts' weights."""
        priced = HIGHEST if np.isfinite(self._log_floor) else 0.0
        program = linprog(
            [-1.0, 0.0, 0.0, 0.0],
            A_ub=np.hstack([np.ones((len(slopes), 1)), -slopes]),
            b_ub=levels,
            bounds=[(None, None), (0.0, HIGHEST), (0.0, HIGHEST), (0.0, priced)],
        )
        if program.x is None:
            raise RuntimeError(f"the dual must have a solution, but linprog says {program.message}")
        weights = np.maximum(-program.ineqlin.marginals, 0.0)
        return float(program.x[0]), program.x[1:], weights / weights.sum()

    def _least(self, prices: Floats) -> Priced:
        over, under, kept = self._unit * prices
        return self._relaxation.least(self._tables, (over - under) / self._band.high, kept)

    def _missed(self, one: Priced) -> Floats:
        """How far a network is above the band, below it (relative), and below the floor; less than
        0 where it is not."""
        share, low = one.flops / self._band.high, self._band.low / self._band.high
        short = self._log_floor - one.log_kept if np.isfinite(self._log_floor) else 0.0
        return np.array([share - 1.0, low - share, short])
