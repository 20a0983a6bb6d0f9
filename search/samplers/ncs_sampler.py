"""Negatively Correlated Search, as HDAP's authors ran it."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from optuna.study import Study
from optuna.trial import FrozenTrial, TrialState

from hdap.fleet_data.architecture import Counts
from hdap.fleet_data.records import Bools, Floats, Ints
from hdap.search.problem.evaluation import Scores
from hdap.search.problem.search_problem import SearchProblem
from hdap.search.samplers.base import GridSampler
from hdap.search.samplers.moves import generator_state, set_generator_state

POPULATION = 10
SIGMA = 0.05
EPOCH = 5
RATE = 0.95
HORIZON = 100
"""Generations over which the trade-off noise cools down to nothing: as many as HDAP runs."""


class NCSSampler(GridSampler):
    """Ten parallel hill climbs that keep apart (Tang, Yang and Yao, JSAC 2016, algorithm NCS-C).

    Each climber searches pruning ratios with a normal distribution of its own width; a child
    replaces its parent when its value, divided by how far its distribution is from the nearest
    other one (Bhattacharyya distance), is better by a noisy factor. Widths follow the 1/5 rule.
    Settings are HDAP's (arXiv 2501.15240): population 10, sigma 0.05 on ratios, epochs of 5
    generations, r 0.95. Values are those told to Optuna.
    """

    def __init__(self, problem: SearchProblem, seed: int = 0) -> None:
        super().__init__(problem, seed)
        self._rng = np.random.default_rng(seed)
        self._widths = problem.space.widest.astype(np.float64)
        start = problem.uniform / self._widths
        noise = self._rng.normal(0.0, SIGMA, size=(POPULATION, len(start)))
        self._parents = np.clip(start + noise, 0.0, 1.0)
        self._children = self._parents
        self._values = np.full(POPULATION, np.inf)
        self._told = np.full(POPULATION, np.nan)
        self._sigma = np.full(POPULATION, SIGMA)
        self._wins = np.zeros(POPULATION, dtype=np.int64)
        self._generation = 0
        self._asked = 0
        self._slots: dict[int, int] = {}

    def propose(self) -> Counts:
        row = self._children[self._asked % POPULATION] * self._widths
        self._asked += 1
        found: Counts = self.problem.repair(row[None])[0]
        return found

    def propose_many(self, n: int) -> Counts:
        # a generation is told whole before the next begins, however trials are cut into batches
        return super().propose_many(min(n, POPULATION - self._asked % POPULATION))

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, Any]
    ) -> dict[str, Any]:
        self._slots[trial.number] = self._asked % POPULATION
        return super().sample_relative(study, trial, search_space)

    def after_trial(
        self,
        study: Study,
        trial: FrozenTrial,
        state: TrialState,
        values: Sequence[float] | None,
    ) -> None:
        slot = self._slots.pop(trial.number, None)
        if slot is not None:
            self._tell(slot, values[0] if values is not None else np.inf)

    def tell(self, scores: Scores) -> None:
        first = self._asked - len(scores.value)
        for place, value in enumerate(scores.penalised.tolist(), start=first):
            self._tell(place % POPULATION, value)

    def state(self) -> dict[str, Any]:
        return {
            "generator": generator_state(self._rng),
            "parents": self._parents.tolist(),
            "children": self._children.tolist(),
            "values": [None if np.isinf(v) else v for v in self._values.tolist()],
            "told": [None if np.isnan(v) else v for v in self._told.tolist()],
            "sigma": self._sigma.tolist(),
            "wins": self._wins.tolist(),
            "generation": self._generation,
            "asked": self._asked,
        }

    def restore(self, state: Mapping[str, Any], told: Counts) -> None:
        if not state:
            return
        set_generator_state(self._rng, state["generator"])
        self._parents, self._children = np.array(state["parents"]), np.array(state["children"])
        self._values = np.array([np.inf if v is None else v for v in state["values"]])
        self._told = np.array([np.nan if v is None else v for v in state["told"]])
        self._sigma, self._wins = np.array(state["sigma"]), np.array(state["wins"])
        self._generation, self._asked = state["generation"], state["asked"]

    def _tell(self, slot: int, value: float) -> None:
        self._told[slot] = value
        if not np.isnan(self._told).any():
            self._select()

    def _select(self) -> None:
        values, self._told = self._told, np.full(POPULATION, np.nan)
        if self._generation == 0:
            self._values = values
        else:
            better = self._better(values)
            self._parents[better] = self._children[better]
            self._values[better] = values[better]
            self._wins[better] += 1
        self._generation += 1
        if self._generation % EPOCH == 0:
            share = self._wins / EPOCH
            self._sigma *= np.where(share > 0.2, 1.0 / RATE, np.where(share < 0.2, RATE, 1.0))
            self._wins[:] = 0
        noise = self._rng.normal(size=self._parents.shape) * self._sigma[:, None]
        self._children = np.clip(self._parents + noise, 0.0, 1.0)

    def _better(self, values: Floats) -> Bools:
        # Values above the best so far, so that the ratio of two of them means something.
        best = min(float(values.min()), float(self._values.min()))
        own, new = self._values - best, values - best
        apart = np.array([_apart(self._parents, self._sigma, x, i) for i, x in self._pairs(0)])
        moved = np.array([_apart(self._parents, self._sigma, x, i) for i, x in self._pairs(1)])
        value = new / np.maximum(own + new, 1e-300)
        distance = moved / np.maximum(apart + moved, 1e-300)
        width = 0.1 - 0.1 * min(self._generation / HORIZON, 1.0)
        noisy = self._rng.normal(1.0, width, size=POPULATION)
        better: Bools = value < noisy * distance
        return better

    def _pairs(self, child: int) -> list[tuple[int, Floats]]:
        points = self._children if child else self._parents
        return list(enumerate(points))


def _apart(parents: Floats, sigma: Floats, point: Floats, climber: int) -> float:
    """Bhattacharyya distance from a climber's distribution at `point` to the nearest other one."""
    others: Ints = np.delete(np.arange(len(parents)), climber)
    mixed = (sigma[climber] ** 2 + sigma[others] ** 2) / 2.0
    square = ((parents[others] - point) ** 2).sum(axis=1)
    spread = np.log(mixed / (sigma[climber] * sigma[others])) * len(point) / 2.0
    return float((square / mixed / 8.0 + spread).min())
