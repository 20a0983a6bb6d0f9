"""A front of several objectives, as a set of plain searches that share the trials."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from itertools import product
from typing import Any

import numpy as np

from hdap.fleet_data.architecture import Counts
from hdap.fleet_data.errors import InfeasibleError
from hdap.fleet_data.records import Floats
from hdap.search.problem.budget import FlopsBand, band
from hdap.search.problem.kept_importance import Importance
from hdap.search.problem.objectives import ACCURACY, FLOPS, KEPT, MEAN
from hdap.search.problem.search_problem import SearchProblem
from hdap.search.problem.uniform import uniform
from hdap.search.samplers.composite_sampler import CompositeSampler
from hdap.search.samplers.evolution import Evolution
from hdap.search.samplers.fleet_sampler import FleetSampler
from hdap.surrogate.models.base import Prediction

PROPOSALS = 10
FLOORS = {1: 10, 2: 5}
"""Levels of kept importance, by how many other things vary beside it."""
BANDS = {1: 8, 2: 5}
"""Levels of FLOPs, likewise."""
BLENDS: dict[int, tuple[tuple[float, ...], ...]] = {
    1: ((),),
    2: ((1.0, 0.0), (0.5, 0.5), (0.0, 1.0)),
    3: ((1, 0, 0), (0, 1, 0), (0, 0, 1), (0.5, 0.5, 0), (0.5, 0, 0.5), (0, 0.5, 0.5)),
}
"""Weights of one, two or three latency objectives."""
NEAR_MOST = 0.97
"""Of the way (in logarithms) to the most importance that can be kept; few networks keep more."""
GENERATIONS = 8
TOLERANCE = 0.03


class FrontSampler(CompositeSampler):
    """Cuts the problem of several objectives into plain ones and proposes of each in turn.

    Kept importance becomes a floor (epsilon-constraint, Haimes, Lasdon and Wismer, 1971), FLOPs a
    narrow band, several latencies a weighted geometric mean; levels of all are spread over what the
    problem allows. Every part is what the evolution is good at, and the trials of all parts
    together hold the front.
    """

    def __init__(self, problem: SearchProblem, seed: int = 0) -> None:
        super().__init__(problem, seed)
        plain = parts(problem, seed)
        self._parts = [self.part(p, seed + i, PROPOSALS) for i, p in enumerate(plain)]
        self._next = 0

    @property
    def scored(self) -> int:
        """Configurations that the surrogates were asked about so far."""
        return sum(sampler.scored for sampler in self._parts)

    def turn(self) -> FleetSampler:
        chosen = self._parts[self._next % len(self._parts)]
        self._next += 1
        return chosen

    def state(self) -> dict[str, Any]:
        return {"next": self._next, "parts": [sampler.state() for sampler in self._parts]}

    def restore(self, state: Mapping[str, Any], told: Counts) -> None:
        super().restore(state, told)
        states = state["parts"] if state else [{}] * len(self._parts)
        for sampler, own in zip(self._parts, states, strict=True):
            self.restored(sampler, own)
        self._next = int(state.get("next", 0))


def parts(problem: SearchProblem, seed: int = 0) -> list[SearchProblem]:
    """The plain problems that a problem of several objectives is cut into."""
    names = problem.goals.names
    kept = KEPT in names or ACCURACY in names
    varying = kept + (FLOPS in names) + (len(problem.goals.latencies) > 1)
    found = []
    for own in _bands(problem, BANDS[min(varying, 2)]) if FLOPS in names else [problem.band]:
        start = problem.uniform if own == problem.band else uniform(problem.space, own)
        inside = replace(problem, band=own, start=start)
        wanted = FLOORS[min(varying, 2)] if kept else 1
        for floor, blend in product(
            _floors(inside, wanted, seed), BLENDS[len(problem.goals.latencies)]
        ):
            found.append(replace(inside, floor=floor, blend=blend))
    return found


def _bands(problem: SearchProblem, levels: int) -> list[FlopsBand]:
    low, high = problem.band.low / (1.0 - TOLERANCE), problem.band.high
    found = []
    for budget in np.geomspace(high, min(low, high), levels):
        own = band(round(budget), TOLERANCE)
        try:
            uniform(problem.space, own)
        except InfeasibleError:
            continue
        found.append(own)
    return found or [problem.band]


def _floors(problem: SearchProblem, levels: int, seed: int) -> list[float]:
    """Floors from what uniform pruning keeps (or the problem's own, where it is higher) to nearly
    the most that can be kept; the first alone where kept importance is no objective."""
    kept = problem.importance.log_kept
    least = float(kept(uniform(problem.space, problem.band)[None])[0])
    least = max(least, problem.log_floor) if problem.floor > 0.0 else least
    if levels == 1:
        return [float(np.exp(least))]
    search = Evolution(_keeping(problem), seed)
    for _ in range(GENERATIONS):
        search.step()
    most = max(float(kept(search.best[None])[0]), least)
    spread = np.linspace(least, least + NEAR_MOST * (most - least), levels)
    return [float(floor) for floor in np.exp(spread)]


def _keeping(problem: SearchProblem) -> SearchProblem:
    """The problem of keeping the most importance in the band, whatever the latency."""
    latency = _GivenUp(problem.importance, len(problem.fleet.mean))
    return replace(problem, latency=latency, goals=MEAN, floor=0.0, risk=0.0, limit_ms=None)


@dataclass(frozen=True)
class _GivenUp:
    """A latency model that is fast where importance is kept."""

    importance: Importance
    clusters: int

    def predict(self, counts: Counts) -> Prediction:
        log_ms: Floats = np.repeat(-self.importance.log_kept(counts)[:, None], self.clusters, 1)
        return Prediction(log_ms, np.zeros_like(log_ms))
