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
        found = self.problem.uniform
        if not self._seen:
            self._seen.add(found.tobytes())
            return found
        for _ in range(1 + TRIES):
            known = len(self._seen)
            found = self.turn().propose()
            if len(self._seen) > known:
                break
        return found

    def note(self, counts: Counts) -> None:
        self._seen |= {row.tobytes() for row in np.ascontiguousarray(counts, dtype=np.int64)}

    def restore(self, state: Mapping[str, Any], told: Counts) -> None:
        self.note(told)

    def part(self, problem: SearchProblem, seed: int, proposals: int) -> FleetSampler:
        """An evolution on a plain problem that proposes nothing that the study has.

        It hands out so many `proposals` a generation: the fewer, the more generations there are
        within a number of trials that several parts share.
        """
        sampler = FleetSampler(problem, seed, EvolutionSettings(proposals=proposals))
        sampler.avoid(self._seen)
        return sampler

    def restored(self, sampler: FleetSampler, state: Mapping[str, Any]) -> FleetSampler:
        """A part in the state that it had."""
        sampler.restore(state, np.empty((0, len(self.problem.uniform)), dtype=np.int64))
        sampler.avoid(self._seen)
        return sampler
