"""Choosing channel counts below those that are there, by importance and, if known, by latency."""

from dataclasses import dataclass, replace

import numpy as np

from hdap.fleet_data.architecture import Architecture, Counts
from hdap.search.problem.budget import band
from hdap.search.problem.fleet_weights import FleetWeights
from hdap.search.problem.kept_importance import Importance
from hdap.search.problem.search_problem import LatencyModel, SearchProblem
from hdap.search.problem.search_space import SearchSpace
from hdap.search.problem.uniform import least_share, uniform
from hdap.search.samplers.evolution import Evolution
from hdap.surrogate.models.base import Prediction

GENERATIONS = 12


@dataclass(frozen=True)
class WeightedLatency:
    """What a search knows of the devices: latencies of K clusters and how they add up."""

    latency: LatencyModel
    weights: FleetWeights


class _AllAlike:
    """The latency model of one who measured nothing: every network takes one unit."""

    def predict(self, counts: Counts) -> Prediction:
        same = np.zeros((len(counts), 1))
        return Prediction(same, same)


_ANYWHERE = WeightedLatency(_AllAlike(), FleetWeights(np.ones(1), np.ones((1, 1)), np.ones((1, 1))))


def narrowed(
    architecture: Architecture,
    importance: Importance,
    most: Counts,
    budget: int,
    fleet: WeightedLatency | None,
    *,
    step: int = 1,
    seed: int = 0,
) -> Counts:
    """The best counts (`groups`) of at most `most` channels for a budget of FLOPs.

    With `fleet` the fastest that keeps at least what a search asks for by default, without it the
    one that keeps most importance. Counts are multiples of `step` or as in `most`; no group becomes
    narrower than a search allows by default, unless it is already. The same seed gives the same
    counts.

    Raises `InfeasibleError` when nothing within `most` meets the budget.
    """
    allowed = band(budget)
    share = least_share(architecture, allowed)
    space = SearchSpace.build(architecture, step, min_share=share)
    names = [group.name for group in architecture.groups]
    space = space.within({name: (1, int(c)) for name, c in zip(names, most, strict=True)})
    known = fleet or _ANYWHERE
    problem = SearchProblem.build(
        space,
        allowed,
        known.latency,
        known.weights,
        importance,
        # All networks alike are within any limit: what is left to want is importance.
        limit_ms=None if fleet else 2.0,
    )
    problem = replace(problem, start=uniform(space, allowed))
    own = Evolution(problem, seed)
    for _ in range(GENERATIONS):
        own.step()
    return own.best
