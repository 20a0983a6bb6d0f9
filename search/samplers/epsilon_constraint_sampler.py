"""Most kept importance within a latency budget, as a sequence of plain searches."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from hdap.fleet_data.architecture import Counts
from hdap.search.problem.search_problem import SearchProblem
from hdap.search.samplers.composite_sampler import CompositeSampler
from hdap.search.samplers.fleet_sampler import FleetSampler

STAGE = 80
"""Proposals until the floor is set anew."""
PROPOSALS = 20
PRICE = 0.7
"""The floor rises by so much for a unit of latency left (both in logarithms): about what importance
costs on the measured fleets. A stage that fails shows when it was too much."""
LEAST_RISE = 5e-4


class EpsilonConstraintSampler(CompositeSampler):
    """Raises the floor until the fastest network that keeps it just meets the latency budget.

    The epsilon-constraint method (Haimes, Lasdon and Wismer, 1971), the constraint chosen so that
    the optimum meets a target: each stage minimises latency at a floor, beginning at the best found
    so far; what it gains below the budget is spent on a higher floor. A stage that fails to reach
    the budget gives half of the last rise back.
    """

    def __init__(self, problem: SearchProblem, seed: int = 0) -> None:
        super().__init__(problem, seed)
        self._start = problem.uniform
        self._log_floor = float(problem.importance.log_kept(self._start[None])[0])
        self._rise = 0.0
        self._stage = 0
        self._left = STAGE
        self._scored = 0
        self._part = self._begin()

    @property
    def scored(self) -> int:
        """Configurations that the surrogates were asked about so far."""
        return self._scored + self._part.scored

    def turn(self) -> FleetSampler:
        if self._left == 0:
            self._next_stage()
        self._left -= 1
        return self._part

    def state(self) -> dict[str, Any]:
        return {
            "start": self._start.tolist(),
            "log_floor": self._log_floor,
            "rise": self._rise,
            "stage": self._stage,
            "left": self._left,
            "scored": self._scored,
            "part": self._part.state(),
        }

    def restore(self, state: Mapping[str, Any], told: Counts) -> None:
        super().restore(state, told)
        if state:
            self._start = np.array(state["start"], dtype=np.int64)
            self._log_floor, self._rise = state["log_floor"], state["rise"]
            self._stage, self._left = state["stage"], state["left"]
            self._scored = state["scored"]
            self._part = self.restored(self._begin(), state["part"])

    def _begin(self) -> FleetSampler:
        floor = float(np.exp(self._log_floor))
        plain = replace(self.problem, limit_ms=None, floor=floor, start=self._start)
        return self.part(plain, self.seed + self._stage, PROPOSALS)

    def _next_stage(self) -> None:
        best = self._part.evolution.best
        limit = float(self.problem.limit_ms or 0.0)
        spare = float(np.log(limit / self.problem.ucb_ms(best[None])[0]))
        if spare >= 0.0:
            self._start = best
            reached = float(self.problem.importance.log_kept(best[None])[0])
            self._rise = max(PRICE * spare, LEAST_RISE)
            self._log_floor = max(reached, self._log_floor) + self._rise
        else:
            self._rise /= 2.0
            self._log_floor -= self._rise
        self._scored += self._part.scored
        self._stage += 1
        self._left = STAGE
        self._part = self._begin()
