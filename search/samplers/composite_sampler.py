"""What samplers share that search one problem as several plainer ones."""

from abc import abstractmethod
from collections.abc import Mapping
from typing import Any

import numpy as np

from hdap.fleet_data.architecture import Counts
from hdap.search.problem.search_problem import SearchProblem
from hdap.search.samplers.base import GridSampler
from hdap.search.samplers.evolution import EvolutionSettings
from hdap.search.samplers.fleet_sampler import FleetSampler

TRIES = 4
"""Proposals of one part until a repeated one is taken."""


def part(problem: SearchProblem, seed: int, proposals: int, told: Counts) -> FleetSampler:
    """An evolution on a plain problem that proposes nothing that was `told` (`n x groups`).

    It hands out so many `proposals` a generation: the fewer, the more generations there are within
    a number of trials that several parts share.
    """
    sampler = FleetSampler(problem, seed, EvolutionSettings(proposals=proposals))
    sampler.restore({}, told)
    return sampler


class CompositeSampler(GridSampler):
    """Proposes, after uniform pruning, what the part whose turn it is proposes; no repeats.

    A subclass says by `turn` whose turn it is, and keeps its parts' states.
    """

    def __init__(self, problem: SearchProblem, seed: int) -> None:
        super().__init__(problem, seed)
        self.seed = seed
        self._seen: set[bytes] = set()

    @abstractmethod
    def turn(self) -> FleetSampler:
        """The part that makes the next proposal."""

    def propose(self) -> Counts:
        if not self._seen:
            return self._noted(self.problem.uniform)
        found = self.turn().propose()
        for _ in range(TRIES):
            if found.tobytes() not in self._seen:
                break
            found = self.turn().propose()
        return self._noted(found)

    def restore(self, state: Mapping[str, Any], told: Counts) -> None:
        self._seen = {row.tobytes() for row in np.ascontiguousarray(told, dtype=np.int64)}

    def _noted(self, counts: Counts) -> Counts:
        self._seen.add(counts.tobytes())
        return counts
