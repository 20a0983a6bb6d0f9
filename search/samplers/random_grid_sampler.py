"""Chance, as a base line."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from hdap.fleet_data.architecture import Counts
from hdap.search.problem.search_problem import SearchProblem
from hdap.search.samplers.base import GridSampler
from hdap.search.samplers.moves import generator_state, set_generator_state


class RandomGridSampler(GridSampler):
    """After uniform pruning every level of a group equally likely, repaired into the band.

    What Optuna's RandomSampler does, with a state that can be kept.
    """

    def __init__(self, problem: SearchProblem, seed: int = 0) -> None:
        super().__init__(problem, seed)
        self._rng = np.random.default_rng(seed)
        self._begun = False

    def propose(self) -> Counts:
        found: Counts = self.propose_many(1)[0]
        return found

    def propose_many(self, n: int) -> Counts:
        drawn = self.problem.repair(self.problem.space.random(n - (not self._begun), self._rng))
        if self._begun:
            return drawn
        self._begun = True
        return np.vstack([self.problem.uniform, drawn])

    def state(self) -> dict[str, Any]:
        return {"generator": generator_state(self._rng)}

    def restore(self, state: Mapping[str, Any], told: Counts) -> None:
        self._begun = True
        if state:
            set_generator_state(self._rng, state["generator"])
