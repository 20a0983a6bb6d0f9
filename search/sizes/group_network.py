"""The network for one group of devices: the most importance that all of them run in time."""

from dataclasses import dataclass, replace

import numpy as np

from hdap.fleet_data.architecture import Counts
from hdap.fleet_data.costs import flops
from hdap.fleet_data.errors import InfeasibleError
from hdap.fleet_data.records import Bools, Floats, Ints
from hdap.search.driver.run_search import run_search
from hdap.search.problem.fleet_weights import FleetWeights
from hdap.search.problem.objectives import OBJECTIVES, Goals
from hdap.search.problem.search_problem import LatencyModel, SearchProblem
from hdap.search.problem.uniform import least_share
from hdap.search.sizes.sizes_problem import SizesProblem
from hdap.surrogate.learning.physics import Physics
from hdap.surrogate.models.base import Prediction
from hdap.surrogate.models.fleet_model import FleetModel
from hdap.surrogate.models.state_surrogates import AdditiveStates

WORST = Goals("worst", ("worst",), (OBJECTIVES["worst"],))


@dataclass(frozen=True)
class SlowedClusters:
    """Chosen `clusters` (k of K), each as its slowest device of a group sees it: slower by
    `log_factor` (k)."""

    latency: LatencyModel
    clusters: Ints
    log_factor: Floats

    def predict(self, counts: Counts) -> Prediction:
        """Latencies of n configurations: `n x groups` -> `n x k`."""
        found = self.latency.predict(counts)
        log_ms = found.log_ms[:, self.clusters] + self.log_factor
        return Prediction(log_ms, found.log_sd[:, self.clusters])

    @property
    def fleet(self) -> FleetWeights:
        """The clusters as a search sees them, each with one device."""
        number = len(self.clusters)
        alike = np.full(number, 1.0 / number)
        return FleetWeights(alike, np.ones((number, 1)), alike[:, None])


@dataclass(frozen=True)
class AdditiveSlowedClusters(SlowedClusters):
    """The same, of surrogates whose structure a search can use (`AdditiveLatency`)."""

    latency: FleetModel | AdditiveStates

    @property
    def physics(self) -> Physics:
        """The terms that latencies are made of."""
        return self.latency.physics

    def priced(self, counts: Counts) -> tuple[Floats, Floats]:
        """Cost (n) and features (`n x D`) of n networks."""
        return self.latency.priced(counts)

    def tangent(self, features: Floats, shares: Floats, risk: float) -> Floats:
        """Prices (`terms x layers`) of a sum that is nowhere above the objective."""
        every = np.zeros(self.latency.clusters)
        every[self.clusters] = shares * np.exp(self.log_factor)
        return self.latency.tangent(features, every, risk)


def group_network(asked: SizesProblem, log_factor: Floats) -> Counts | None:
    """The network that keeps most where cluster k is slower by `log_factor[k]` (K; -inf: nobody of
    the group is of it); None where no allowed network is in time."""
    there = np.flatnonzero(np.isfinite(log_factor))
    latency = asked.networks.latency
    slowed = SlowedClusters(latency, there, log_factor[there])
    if isinstance(latency, FleetModel | AdditiveStates):
        slowed = AdditiveSlowedClusters(latency, there, log_factor[there])
    try:
        problem = _posed(asked, slowed)
        if problem.evaluate(problem.space.widest[None]).feasible[0]:
            return problem.space.widest
        found = run_search(problem, "fleet", asked.trials, seed=asked.seed).trials
    except InfeasibleError:
        return None
    if found is None or not found.feasible.any():
        return None
    best: Counts = found.counts[np.where(found.feasible, found.kept_importance, -1.0).argmax()]
    return best


def _posed(asked: SizesProblem, slowed: SlowedClusters) -> SearchProblem:
    networks = asked.networks
    architecture, space = networks.architecture, networks.space

    def fits(counts: Counts) -> Bools:
        seen = slowed.predict(counts)
        late = seen.log_ms + asked.certain * seen.log_sd > np.log(asked.deadline_ms)
        return np.asarray(~late.any(axis=1))

    if asked.halved:
        share = least_share(architecture, networks.band, fits)
        least = np.ceil(share * architecture.widths).astype(np.int64)
        space = space.between(least, space.widest)
    cheapest = int(flops(architecture, space.smallest[None])[0])
    band = replace(networks.band, low=min(cheapest, networks.band.high))
    return SearchProblem.build(
        space,
        band,
        slowed,
        slowed.fleet,
        networks.importance,
        floor=networks.floor,
        goals=WORST,
        risk=asked.certain,
        limit_ms=asked.deadline_ms,
    )
