"""A search problem: which counts are allowed, what they cost, and what makes one better."""

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Protocol

import numpy as np

from hdap.fleet_data.architecture import Architecture, Counts
from hdap.fleet_data.costs import parameters
from hdap.fleet_data.errors import InfeasibleError, InputError
from hdap.fleet_data.records import Bools, Floats
from hdap.search.problem.accuracy import AccuracyModel
from hdap.search.problem.budget import FlopsBand
from hdap.search.problem.defaults import DEFAULT_PROXY, DEFAULT_RISK
from hdap.search.problem.enumeration import configurations_within
from hdap.search.problem.evaluation import Evaluation, Scores
from hdap.search.problem.fleet_weights import FleetWeights
from hdap.search.problem.kept_importance import Importance
from hdap.search.problem.objectives import (
    ACCURACY,
    FLOPS,
    KEPT,
    MEAN,
    Goals,
)
from hdap.search.problem.proxies import PROXIES
from hdap.search.problem.repair import Repair
from hdap.search.problem.search_space import SearchSpace
from hdap.search.problem.uniform import (
    UniformNetwork,
    hardest_to_beat,
    uniform,
    uniform_networks,
    uniform_within,
)
from hdap.surrogate.models.base import Z90, Prediction

SLACK = 1e-9
"""Kept importance this far (in its logarithm) below the floor is rounding, not a violation."""


class LatencyModel(Protocol):
    """The latency functions of K clusters, such as `hdap.surrogate.models.base.FleetSurrogate`."""

    def predict(self, counts: Counts) -> Prediction:
        """Latencies of n configurations: `n x groups` -> `n x K`."""
        ...


@dataclass(frozen=True)
class SearchProblem:
    """Minimise a fleet's latency within a FLOPs band, keeping at least `floor` importance.

    `risk` is how many standard deviations of the surrogates are added to every latency before
    configurations are compared: a good optimiser finds a surrogate's mistakes, and they lie where
    it knows little. Build it with `build`, which fills in the default floor.

    With `limit_ms` the roles change: keep the most importance with an objective of at most so many
    ms. Where `goals` are several, `blend` weighs their latencies in the one number that samplers
    for one objective see. `start` (`groups`) replaces uniform pruning as the place where a search
    begins.
    """

    space: SearchSpace
    band: FlopsBand
    latency: LatencyModel
    fleet: FleetWeights
    importance: Importance
    floor: float
    goals: Goals = MEAN
    risk: float = DEFAULT_RISK
    limit_ms: float | None = None
    blend: tuple[float, ...] = ()
    start: Counts | None = None
    accuracy_model: AccuracyModel | None = None

    @classmethod
    def build(
        cls,
        space: SearchSpace,
        band: FlopsBand,
        latency: LatencyModel,
        fleet: FleetWeights,
        importance: Importance | None = None,
        floor: float | None = None,
        goals: Goals = MEAN,
        risk: float = DEFAULT_RISK,
        limit_ms: float | None = None,
        floor_share: float = 1.0,
    ) -> "SearchProblem":
        """A problem whose floor is, unless given, `floor_share` of what the best uniform network
        keeps.

        There is none by default where kept importance is what a search wants most of, or FLOPs are
        an objective themselves.

        Raises:
            InputError: `floor`, `risk`, `limit_ms` or `goals` is out of range.
            InfeasibleError: the band is out of reach, or a given floor keeps more than the widest
                network does.
        """
        if limit_ms is not None and (goals.several or goals.first.unit != "ms"):
            raise InputError(
                f"a latency budget must limit one latency in ms, but got objective={goals.text!r}: "
                f"mean, p95, worst or cvar:0.9"
            )
        if not (0.0 <= risk <= 10.0):
            raise InputError(f"`0 <= risk <= 10` must hold, but got {risk=}: 1 is usual")
        if floor is not None and not 0.0 <= floor <= 1.0:
            raise InputError(f"`0 <= floor <= 1` must hold, but got {floor=}: 0.5 keeps half")
        if importance is None:
            importance = Importance.by_channels(space.architecture)
            importance = importance.with_proxy(PROXIES[DEFAULT_PROXY], space.architecture)
        most = importance.kept(space.widest[None])[0]
        if floor is not None and floor > most:
            raise InfeasibleError(
                f"the floor must be at most the {most:.3f} that the widest allowed network keeps, "
                f"but got {floor=}: lower it, or free a fixed group"
            )
        if floor is None and FLOPS in goals.names and KEPT not in goals.names:
            raise InputError(
                f"{FLOPS} beside a latency must be weighed against {KEPT}, because the smallest "
                f"network has least of both, but got objective={goals.text!r}: add {KEPT}, or give "
                f"a floor"
            )
        if floor is None and (limit_ms is not None or FLOPS in goals.names):
            floor = 0.0
        posed = cls(space, band, latency, fleet, importance, floor or 0.0, goals, risk, limit_ms)
        if floor is not None:
            return posed
        return replace(posed, floor=floor_share * posed._same_quality())

    @property
    def architecture(self) -> Architecture:
        """The model that is pruned."""
        return self.space.architecture

    @cached_property
    def repair(self) -> Repair:
        """Moves any proposal into the band."""
        return Repair(self.space, self.band)

    @cached_property
    def every(self) -> Counts | None:
        """All configurations in the band where they are few: `n x groups`; else None."""
        return configurations_within(self.space, self.band)

    @cached_property
    def uniform_networks(self) -> tuple[UniformNetwork, ...]:
        """Uniform pruning to the budget on every grid: what one gets without a search.

        Where no grid holds such a network, uniform pruning on that of the search. Raises
        InfeasibleError where none meets the budget.
        """
        limit = np.inf if self.limit_ms is None else self.limit_ms

        def fits(counts: Counts) -> Bools:
            return np.asarray(self.ucb_ms(counts) <= limit)

        fitting = None if self.limit_ms is None else fits
        found = uniform_networks(self.space, self.band.high, fitting)
        return found or (UniformNetwork(self.space.step, self._uniform_on_the_grid),)

    @cached_property
    def best_uniform(self) -> UniformNetwork:
        """The base line: of `uniform_networks` the fastest if all kept the same importance, within
        a latency budget the one that keeps most.

        Raises InfeasibleError where none meets the budget.
        """
        found = self.uniform_networks
        if self.limit_ms is not None:
            kept = self.importance.log_kept(np.stack([network.counts for network in found]))
            return found[int(kept.argmax())]
        in_ms = replace(self, goals=self.goals if self.goals.first.unit == "ms" else MEAN)
        return hardest_to_beat(
            found, self.space, self.band.high, in_ms.ucb_ms, self.importance.log_kept
        )

    @cached_property
    def uniform(self) -> Counts:
        """Where a search begins: `start`, else the base line where the grid and the band hold it,
        else uniform pruning on the grid: `groups`.

        Raises InfeasibleError where none meets the budget.
        """
        if self.start is not None:
            return self.start
        best = self.best_uniform.counts
        on_the_grid = (self.space.snap(best[None].astype(np.float64)) == best).all()
        inside = self.band.contains(self.repair.flops(best[None]))[0]
        return best if on_the_grid and inside else self._uniform_on_the_grid

    @cached_property
    def _uniform_on_the_grid(self) -> Counts:
        if self.limit_ms is None:
            return uniform(self.space, self.band)
        return uniform_within(self.space, self.band, self.ucb_ms, self.limit_ms)

    @property
    def narrowest_share(self) -> float:
        """Share of the free groups that uniform pruning on the grid leaves at their narrowest."""
        free = self.space.free
        at = self.space.index(self._uniform_on_the_grid[None])[0, free]
        return float((at == 0).mean()) if len(free) else 0.0

    def _same_quality(self) -> float:
        """What the base line keeps, or uniform pruning on the grid where its grid keeps no more."""
        both = np.stack([self._uniform_on_the_grid, self.best_uniform.counts])
        return float(self.importance.kept(both).min())

    @cached_property
    def log_floor(self) -> float:
        """Logarithm of the floor, less a rounding slack; -inf where there is none."""
        return float(np.log(self.floor)) - SLACK if self.floor > 0.0 else -np.inf

    def for_cluster(self, *clusters: int) -> "SearchProblem":
        """The same problem as someone who measured these clusters alone would pose it."""
        return replace(self, fleet=self.fleet.only(*clusters), start=self.uniform)

    def violation(self, counts: Counts) -> Floats:
        """How far (in the logarithm) kept importance is below the floor; 0 where it holds: `n`.

        With an `accuracy_model` also how far the accuracy to expect is below the least.
        """
        missing = np.maximum(self.log_floor - self.importance.log_kept(counts), 0.0)
        if self.accuracy_model is None:
            return missing
        return missing + self.accuracy_model.shortfall(counts)

    def ucb_ms(self, counts: Counts) -> Floats:
        """The latency objective with `risk` standard deviations on top: `n x groups` -> `n`.

        In the objective's unit; several are blended.
        """
        return self.goals.blended(self.fleet, self._cautious_cluster_ms(counts), self.blend)

    def scores(self, counts: Counts) -> Scores:
        """What samplers compare, without the rest of `evaluate`."""
        return self._scores(counts, self.ucb_ms(counts))

    def values(self, counts: Counts) -> Floats:
        """What the search minimises, objective by objective: `n x groups` -> `n x objectives`."""
        ms = self._cautious_cluster_ms(counts)
        return self._values(counts, ms, self.repair.flops(counts))

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
        flops, goals = self.repair.flops(counts), self.goals
        scores = self._scores(counts, goals.blended(self.fleet, cautious, self.blend))
        in_ms = goals.first if goals.first.unit == "ms" else MEAN.first
        plain = self.limit_ms is None and not goals.several and goals.first.unit == "ms"
        values = None if plain else self._values(counts, cautious, flops)
        return Evaluation(
            counts=counts,
            flops=flops.astype(np.int64),
            parameters=parameters(self.architecture, counts),
            fleet_mean_ms=self.fleet.fleet_mean(middle),
            fleet_mean_low_ms=self.fleet.fleet_mean(low),
            fleet_mean_high_ms=self.fleet.fleet_mean(high),
            fleet_p95_ms=self.fleet.percentile(middle),
            objective=goals.first.reported(self.fleet, middle),
            ucb_ms=in_ms.of(self.fleet, cautious),
            worst_cluster_ms=worst_ms,
            worst_cluster=worst,
            kept_importance=self.importance.kept(counts),
            feasible=self.band.contains(flops) & (scores.violation == 0.0),
            cluster_ms=middle,
            cluster_low_ms=low,
            cluster_high_ms=high,
            values=values,
            scores=replace(scores, values=values) if goals.several else scores,
        )

    def _cautious_cluster_ms(self, counts: Counts) -> Floats:
        found = self.latency.predict(counts)
        return np.exp(found.log_ms + self.risk * found.log_sd)

    def _scores(self, counts: Counts, latency: Floats) -> Scores:
        violation = self.violation(counts)
        if self.limit_ms is None:
            return Scores(latency, violation)
        excess = np.maximum(np.log(latency / self.limit_ms) - SLACK, 0.0)
        return Scores(self._given_up(counts), violation + excess)

    def _values(self, counts: Counts, cluster_ms: Floats, flops: Floats) -> Floats:
        if self.limit_ms is not None:
            return self._given_up(counts)[:, None]
        given_up = self._given_up(counts)
        others = {KEPT: given_up, ACCURACY: given_up, FLOPS: flops}
        columns = [
            others[name] if objective is None else objective.of(self.fleet, cluster_ms)
            for name, objective in zip(self.goals.names, self.goals.objectives, strict=True)
        ]
        return np.stack(columns, axis=1)

    def _given_up(self, counts: Counts) -> Floats:
        return 1.0 - self.importance.kept(counts)
