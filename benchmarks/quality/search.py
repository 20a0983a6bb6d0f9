"""What the search finds with one floor or another, on a simulated fleet at equal FLOPs."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from hdap.fleet_data.architecture import Architecture, Counts
from hdap.fleet_data.records import Floats
from hdap.search.driver.run_search import run_search
from hdap.search.problem.budget import FlopsBand
from hdap.search.problem.fleet_weights import FleetWeights
from hdap.search.problem.kept_importance import Importance
from hdap.search.problem.proxies import PROXIES
from hdap.search.problem.search_problem import SearchProblem
from hdap.search.problem.search_space import NARROWEST_SHARE, SearchSpace
from hdap.search.problem.uniform import least_share
from hdap.simulation.presets import preset
from hdap.simulation.simulated_fleet import SimulatedFleet, draw_fleet
from hdap.simulation.workload import true_kind_latency
from hdap.surrogate.models.base import Prediction

FLEET, DEVICES, STEP, TRIALS = "phones", 200, 4, 400
FLOORS = ("log-mean", "harmonic", "layers")
UNIFORM, RULE, FREE, AS_FAST = "uniform", "rule", "free", "as fast"
"""With the rule every group keeps half of uniform's share; free of it, the usual eighth."""
WITH_WEIGHTS = "l2 log-mean, rule"
LOWEST_FLOOR, HALVINGS = 0.6, 5
"""Of what uniform pruning keeps; and how often what is left of the range is halved."""


@dataclass(frozen=True)
class Found:
    """One configuration (`groups`) and its simulated fleet mean."""

    counts: Counts
    simulated_ms: float


class Simulated:
    """The law of a simulated fleet as a latency model without error: one cluster a kind."""

    def __init__(self, architecture: Architecture, fleet: SimulatedFleet) -> None:
        self.architecture, self.fleet = architecture, fleet

    def predict(self, counts: Counts) -> Prediction:
        log_ms = np.log(true_kind_latency(self.fleet, self.architecture, counts))
        return Prediction(log_ms, np.zeros_like(log_ms))


def searched(
    architecture: Architecture, budget: FlopsBand, curves: Sequence[Floats], seed: int
) -> dict[str, Found]:
    """Uniform pruning, and the fastest networks by floor and least width, such as `log-mean, rule`.

    Every floor is what uniform pruning keeps, but `as fast`: lowered until the answer is as fast as
    that of the first floor. `curves` are those of L2 importance, for a search that knows the
    weights.
    """
    channels = Importance.by_channels(architecture)
    latency, weights = _fleet(architecture, seed)
    spaces = {
        RULE: SearchSpace.build(architecture, STEP, min_share=least_share(architecture, budget)),
        FREE: SearchSpace.build(architecture, STEP, min_share=NARROWEST_SHARE),
    }

    def problem(importance: Importance, words: str) -> SearchProblem:
        posed = SearchProblem.build(spaces[words], budget, latency, weights, importance)
        return replace(posed, floor=float(importance.kept(posed.uniform[None])[0]))

    known = problem(Importance("l2", tuple(curves)), RULE)
    found = {UNIFORM: _of(known, known.uniform), WITH_WEIGHTS: _fastest(known, seed)}
    for name in FLOORS:
        importance = channels.with_proxy(PROXIES[name], architecture)
        for words in spaces:
            found[f"{name}, {words}"] = _fastest(problem(importance, words), seed)
        if name != FLOORS[0]:
            limit = found[f"{FLOORS[0]}, {RULE}"].simulated_ms
            found[f"{name}, {AS_FAST}"] = _as_fast(problem(importance, RULE), limit, seed)
    return found


def _fleet(architecture: Architecture, seed: int) -> tuple[Simulated, FleetWeights]:
    fleet = draw_fleet(preset(FLEET, DEVICES, seed))
    share = np.bincount(fleet.kind, fleet.weight) / fleet.weight.sum()
    weights = FleetWeights(share, np.ones((len(share), 1)), share[:, None])
    return Simulated(architecture, fleet), weights


def _fastest(problem: SearchProblem, seed: int) -> Found:
    """What a search finds; uniform pruning where it finds nothing."""
    trials = run_search(problem, trials=TRIALS, seed=seed).trials
    if trials is None or not trials.feasible.any():
        return _of(problem, problem.uniform)
    feasible = trials.counts[trials.feasible]
    return _of(problem, feasible[problem.ucb_ms(feasible).argmin()])


def _as_fast(problem: SearchProblem, limit_ms: float, seed: int) -> Found:
    """The answer at the highest floor that meets `limit_ms`: bisection on the floor's logarithm."""
    low, high = LOWEST_FLOOR, 1.0
    best = _fastest(replace(problem, floor=low * problem.floor), seed)
    for _ in range(HALVINGS):
        middle = (low * high) ** 0.5
        found = _fastest(replace(problem, floor=middle * problem.floor), seed)
        low, high = (middle, high) if found.simulated_ms <= limit_ms else (low, middle)
        best = found if found.simulated_ms <= limit_ms else best
    return best


def _of(problem: SearchProblem, counts: Counts) -> Found:
    return Found(counts, float(problem.evaluate(counts[None]).fleet_mean_ms[0]))
