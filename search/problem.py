"""A search problem: which counts are allowed, what they cost, and what makes one better."""

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Protocol

import numpy as np

from hdap.fleet_data.architecture import Architecture, Counts
from hdap.fleet_data.errors import InfeasibleError, InputError
from hdap.fleet_data.records import Bools, Floats, Ints
from hdap.search.budget import FlopsBand
from hdap.search.fleet_weights import FleetWeights
from hdap.search.importance import Importance
from hdap.search.objectives import OBJECTIVES
from hdap.search.repair import Repair
from hdap.search.space import SearchSpace
from hdap.search.uniform import uniform
from hdap.surrogate.base import Z90, Prediction
from hdap.surrogate.costs import parameters

DEFAULT_RISK = 1.0
SLACK = 1e-9
"""Kept importance this far (in its logarithm) below the floor is rounding, not a violation."""


PENALTY = 5.0
"""Steeper than latency can be bought with importance, so the floor holds at the optimum: on the
measured fleets 1 % of kept importance is worth about 1-2 % of latency."""


class LatencyModel(Protocol):
    """The latency functions of K clusters, such as `hdap.surrogate.base.FleetSurrogate`."""

    def predict(self, counts: Counts) -> Prediction:
        """Latencies of n configurations: `n x groups` -> `n x K`."""
        ...


@dataclass(frozen=True)
class Scores:
    """What samplers compare: `value` in ms, less is better; `violation` 0 where the floor holds."""

    value: Floats
    violation: Floats

    @cached_property
    def order(self) -> Ints:
        """Best first: rows that keep the floor by value, then the others by violation."""
        return np.lexsort((self.value, self.violation))

    @property
    def penalised(self) -> Floats:
        """One number for optimisers that know no constraints: `n`."""
        return self.value * np.exp(PENALTY * self.violation)

    def at(self, rows: Ints | Bools) -> "Scores":
        """The chosen rows."""
        return Scores(self.value[rows], self.violation[rows])

    @staticmethod
    def joined(*parts: "Scores") -> "Scores":
        """One after the other."""
        values = np.concatenate([p.value for p in parts])
        return Scores(values, np.concatenate([p.violation for p in parts]))


@dataclass(frozen=True)
class Evaluation:
    """All that is predicted of n configurations; latencies in ms, `cluster_*` are `n x K`."""

    counts: Counts
    flops: Ints
    parameters: Ints
    fleet_mean_ms: Floats
    fleet_mean_low_ms: Floats
    fleet_mean_high_ms: Floats
    fleet_p95_ms: Floats
    cautious_ms: Floats
    worst_cluster_ms: Floats
    worst_cluster: Ints
    kept_importance: Floats
    feasible: Bools
    cluster_ms: Floats
    cluster_low_ms: Floats
    cluster_high_ms: Floats
    scores: Scores


@dataclass(frozen=True)
class SearchProblem:
    """Minimise a fleet's latency within a FLOPs band, keeping at least `floor` importance.

    `risk` is how many standard deviations of the surrogates are added to every latency before
    configurations are compared: a good optimiser finds a surrogate's mistakes, and they lie where
    it knows little. Build it with `build`, which fills in the default floor.
    """

    space: SearchSpace
    band: FlopsBand
    latency: LatencyModel
    fleet: FleetWeights
    importance: Importance
    floor: float
    objective: str = "mean"
    risk: float = DEFAULT_RISK

    @classmethod
    def build(
        cls,
        space: SearchSpace,
        band: FlopsBand,
        latency: LatencyModel,
        fleet: FleetWeights,
        importance: Importance | None = None,
        floor: float | None = None,
        objective: str = "mean",
        risk: float = DEFAULT_RISK,
    ) -> "SearchProblem":
        """A problem whose floor is, unless given, what uniform pruning keeps at the same FLOPs.

        Raises:
            InputError: `floor`, `risk` or `objective` is out of range.
            InfeasibleError: the band is out of reach, or a given floor keeps more than the widest
                network does.
        """
        if objective not in OBJECTIVES:
            raise InputError(f"{objective=} must be one of {', '.join(OBJECTIVES)}")
        if not (0.0 <= risk <= 10.0):
            raise InputError(f"`0 <= risk <= 10` must hold, but got {risk=}: 1 is usual")
        if floor is not None and not 0.0 <= floor <= 1.0:
            raise InputError(f"`0 <= floor <= 1` must hold, but got {floor=}: 0.5 keeps half")
        importance = importance or Importance.by_channels(space.architecture)
        most = importance.kept(space.widest[None])[0]
        if floor is not None and floor > most:
            raise InfeasibleError(
                f"the floor must be at most the {most:.3f} that the widest allowed network keeps, "
                f"but got {floor=}: lower it, or free a fixed group"
            )
        if floor is None:
            floor = float(importance.kept(uniform(space, band)[None])[0])
        return cls(space, band, latency, fleet, importance, floor, objective, risk)

    @property
    def architecture(self) -> Architecture:
        """The model that is pruned."""
        return self.space.architecture

    @cached_property
    def repair(self) -> Repair:
        """Moves any proposal into the band."""
        return Repair(self.space, self.band)

    @cached_property
    def uniform(self) -> Counts:
        """Uniform pruning at equal FLOPs on the same grid: `groups`."""
        return uniform(self.space, self.band)

    @cached_property
    def log_floor(self) -> float:
        """Logarithm of the floor, less a rounding slack; -inf where there is none."""
        return float(np.log(self.floor)) - SLACK if self.floor > 0.0 else -np.inf

    def for_cluster(self, cluster: int) -> "SearchProblem":
        """The same problem as someone who measured one cluster alone would pose it."""
        return replace(self, fleet=self.fleet.only(cluster))

    def violation(self, counts: Counts) -> Floats:
        """How far (in the logarithm) kept importance is below the floor; 0 where it holds: `n`."""
        return np.maximum(self.log_floor - self.importance.log_kept(counts), 0.0)

    def cautious_ms(self, counts: Counts) -> Floats:
        """The objective with `risk` standard deviations on top: `n x groups` -> `n` ms."""
        found = self.latency.predict(counts)
        ms = np.exp(found.log_ms + self.risk * found.log_sd)
        return OBJECTIVES[self.objective].of(self.fleet, ms)

    def scores(self, counts: Counts) -> Scores:
        """What samplers compare, without the rest of `evaluate`."""
        return Scores(self.cautious_ms(counts), self.violation(counts))

    def evaluate(self, counts: Counts) -> Evaluation:
        """All that is predicted of n configurations.

        The interval of the fleet mean takes the clusters' errors as fully correlated, because the
        surrogates share a pooled model: wider than the truth rather than narrower.
        """
        found = self.latency.predict(counts)
        low, middle, high, cautious = (
            np.exp(found.log_ms + z * found.log_sd) for z in (-Z90, 0.0, Z90, self.risk)
        )
        worst_ms, worst = self.fleet.worst(middle)
        flops, violation = self.repair.flops(counts), self.violation(counts)
        scores = Scores(OBJECTIVES[self.objective].of(self.fleet, cautious), violation)
        return Evaluation(
            counts=counts,
            flops=flops.astype(np.int64),
            parameters=parameters(self.architecture, counts),
            fleet_mean_ms=self.fleet.fleet_mean(middle),
            fleet_mean_low_ms=self.fleet.fleet_mean(low),
            fleet_mean_high_ms=self.fleet.fleet_mean(high),
            fleet_p95_ms=self.fleet.percentile(middle),
            cautious_ms=scores.value,
            worst_cluster_ms=worst_ms,
            worst_cluster=worst,
            kept_importance=self.importance.kept(counts),
            feasible=self.band.contains(flops) & (violation == 0.0),
            cluster_ms=middle,
            cluster_low_ms=low,
            cluster_high_ms=high,
            scores=scores,
        )
