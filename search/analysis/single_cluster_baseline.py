"""What it was worth to know the whole fleet and not one device."""

from dataclasses import dataclass, replace

import numpy as np
from scipy.stats import rankdata

from hdap.fleet_data.architecture import Counts
from hdap.fleet_data.records import Floats
from hdap.fleet_data.wording import number, percent
from hdap.search.problem.budget import FlopsBand
from hdap.search.problem.search_problem import SearchProblem
from hdap.search.samplers import moves
from hdap.search.samplers.evolution import Evolution

GENERATIONS = 40
"""As many at most as a default search of 2,000 trials runs."""
SETTLED, LEAST_GAIN = 8, 1e-4
"""Generations, a fresh start among them, that must gain more than that fraction to go on: what is
told of the network is rounded to a thousandth."""
SAMPLE = 512
ALIKE = 0.95
"""Clusters whose predicted latencies of a sample of feasible configurations correlate in rank at
least this much rank them alike. The kinds of the measured fleets reach 0.96-0.99 among themselves,
two halves of one kind about as much: below 0.95 it is more than noise."""


@dataclass(frozen=True)
class SingleClusterBaseline:
    """Our answer against the best for the largest cluster alone, both seen by the whole fleet.

    `gain` is by how much (a fraction of ours) the other one is slower on the fleet, as predicted;
    `uncertainty` one relative standard deviation of the predictions. `ranks` are Spearman's
    correlations between clusters (K x K).
    """

    largest: int
    single: Counts
    single_fleet_ms: float
    found_fleet_ms: float
    uncertainty: float
    ranks: Floats

    @property
    def gain(self) -> float:
        """How much slower the fleet would be with the largest cluster's favourite."""
        return self.single_fleet_ms / self.found_fleet_ms - 1.0

    @property
    def lowest_rank(self) -> float:
        """The lowest correlation between two clusters; 1 where there is but one."""
        return float(self.ranks.min())

    @property
    def one_device_would_do(self) -> bool:
        """Whether all clusters rank alike and the gain is within what is not known anyway."""
        return self.lowest_rank >= ALIKE and self.gain <= self.uncertainty

    @property
    def words(self) -> str:
        """One line for people."""
        if len(self.ranks) == 1:
            return "the fleet is one cluster: one device would have done"
        gain = f"{percent(abs(self.gain))} {'slower' if self.gain >= 0 else 'faster'}"
        told = (
            f"the best for cluster {self.largest} alone is predicted {gain} on the whole fleet; "
            f"clusters rank configurations with correlation {number(self.lowest_rank)} or more"
        )
        return f"{told}: one device would have done" if self.one_device_would_do else told


def single_cluster_baseline(
    problem: SearchProblem, found: Counts, seed: int = 0, generations: int = GENERATIONS
) -> SingleClusterBaseline:
    """Compare `found` (`groups`) with what the same search finds for the largest cluster alone.

    Where latency is not all that is searched for, with the fastest for that cluster that keeps no
    less than `found` at no more FLOPs.
    """
    largest = problem.fleet.largest
    problem = _latency_alone(problem, found)
    several = len(problem.fleet.mean) > 1
    single = _fastest(problem.for_cluster(largest), seed, generations if several else 1)
    seen = problem.evaluate(np.stack([single, found]))
    spread = problem.latency.predict(found[None]).log_sd[0]
    ms = seen.cluster_ms[1] * problem.fleet.mean
    return SingleClusterBaseline(
        largest=largest,
        single=single,
        single_fleet_ms=float(seen.fleet_mean_ms[0]),
        found_fleet_ms=float(seen.fleet_mean_ms[1]),
        uncertainty=float(ms @ spread / ms.sum()),
        ranks=rank_correlations(problem, found, seed),
    )


def _fastest(problem: SearchProblem, seed: int, generations: int) -> Counts:
    """The best that an evolution finds, over once it gains no more."""
    evolution = Evolution(problem, seed)
    values: list[float] = []
    for _ in range(generations):
        evolution.step()
        best = problem.scores(evolution.best[None])
        values.append(float(best.value[0]) if best.violation[0] == 0.0 else np.inf)
        since = values[-1 - SETTLED :]
        if len(since) > SETTLED and since[0] - since[-1] <= LEAST_GAIN * abs(since[-1]):
            break
    return evolution.best


def _latency_alone(problem: SearchProblem, found: Counts) -> SearchProblem:
    if problem.limit_ms is None and not problem.goals.several:
        return problem
    allowed = FlopsBand(problem.band.low, int(problem.repair.flops(found[None])[0]))
    kept = float(problem.importance.kept(found[None])[0])
    goals = problem.goals.first_alone
    return replace(problem, band=allowed, floor=kept, goals=goals, limit_ms=None, start=found)


def rank_correlations(problem: SearchProblem, found: Counts, seed: int = 0) -> Floats:
    """Spearman's correlations between clusters over configurations in the band: `K x K`."""
    rng = np.random.default_rng(seed)
    half = SAMPLE // 2
    near = moves.scatter(problem, found, half, rng)
    sample = np.vstack([near, moves.seeds(problem, half, rng)])
    ranks = rankdata(problem.latency.predict(sample).log_ms, axis=0)
    if ranks.shape[1] == 1:
        return np.ones((1, 1))
    with np.errstate(invalid="ignore", divide="ignore"):  # a sample may hold one network alone
        return np.asarray(np.nan_to_num(np.corrcoef(ranks, rowvar=False), nan=1.0))
