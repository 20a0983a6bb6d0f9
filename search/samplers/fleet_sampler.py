"""The default sampler: a population evolved on the surrogates, its best handed out as trials."""

from collections.abc import Iterable, Mapping
from threading import Lock
from typing import Any

import numpy as np

from hdap.fleet_data.architecture import Counts
from hdap.search.problem.search_problem import SearchProblem
from hdap.search.samplers.base import GridSampler
from hdap.search.samplers.evolution import Evolution, EvolutionSettings

LOOKED_AHEAD = 8
"""Generations that a sampler looks ahead while nobody asks: its CPU is wanted elsewhere too."""

GENERATIONS = 8
"""Generations to look through for a configuration that no trial had yet, before repeating one; and
a single one as long as that was in vain."""


class FleetSampler(GridSampler):
    """Proposes the best new configurations of each generation of an `Evolution`, worst first.

    The first trial is uniform pruning, so a study always holds its base line. Every trial is a new
    configuration as long as the search finds any. Trials' values are not needed: the surrogates
    are asked directly, thousands of configurations for each trial.
    """

    def __init__(
        self, problem: SearchProblem, seed: int = 0, settings: EvolutionSettings | None = None
    ) -> None:
        super().__init__(problem, seed)
        self.evolution = Evolution(problem, seed, settings)
        self._queue: list[Counts] = []
        self._seen: set[bytes] = set()
        self._looked_ahead = 0
        self._dry = False
        self._lock = Lock()

    @property
    def scored(self) -> int:
        """Configurations that the surrogates were asked about so far."""
        return self.evolution.scored

    def propose(self) -> Counts:
        with self._lock:
            self._looked_ahead = 0
            if not self._seen and not self._queue:
                self._queue.append(self.problem.uniform)
            for _ in range(1 if self._dry else GENERATIONS):
                if self._queue:
                    break
                self._queue = self._unseen(self.evolution.step())
            self._dry = not self._queue
            found = self._queue.pop(0) if self._queue else self.evolution.best
            self._seen.add(found.tobytes())
            return found

    def note(self, counts: Counts) -> None:
        with self._lock:
            self._seen |= {row.tobytes() for row in counts}

    def avoid(self, seen: set[bytes]) -> None:
        """Propose nothing that others add to `seen` either, and add to it."""
        self._seen = seen

    def inject(self, counts: Counts) -> None:
        with self._lock:
            self.evolution.inject(counts)
            self._seen |= {row.tobytes() for row in counts}
            self._queue = self._unseen(self._queue)

    def invalidate(self) -> None:
        with self._lock:
            self.evolution.rescore()

    def refine(self, keep: int) -> bool:
        with self._lock:
            if self._looked_ahead >= LOOKED_AHEAD or not self._seen:
                return False
            self._looked_ahead += 1
            rows = self._unseen([*self._queue, *self.evolution.step()])
            if rows:
                best = self.problem.scores(np.stack(rows)).order[:keep]
                self._queue = [rows[i] for i in best[::-1]]
            return True

    def _unseen(self, rows: Iterable[Counts]) -> list[Counts]:
        return [row for row in rows if row.tobytes() not in self._seen]

    def state(self) -> dict[str, Any]:
        queue = [x.tolist() for x in self._queue]
        return {"evolution": self.evolution.state(), "queue": queue, "dry": self._dry}

    def restore(self, state: Mapping[str, Any], told: Counts) -> None:
        if state:
            self.evolution.restore(state["evolution"])
            self._queue = [np.array(x, dtype=np.int64) for x in state["queue"]]
            self._dry = bool(state.get("dry", False))
        self._seen = {row.tobytes() for row in np.ascontiguousarray(told, dtype=np.int64)}
