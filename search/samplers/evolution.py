"""The population behind the `fleet` sampler: numpy only, knows nothing of Optuna."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from hdap.fleet_data.architecture import Counts
from hdap.fleet_data.records import Bools, Floats, Ints
from hdap.search.problem.evaluation import Scores
from hdap.search.problem.search_problem import SearchProblem
from hdap.search.samplers import marginal_moves as guided
from hdap.search.samplers import moves
from hdap.search.samplers.moves import among, distinct, generator_state, set_generator_state
from hdap.surrogate.learning.blas_threads import one_blas_thread

STRIDES = (1 / 8, 1 / 24, 0.0)
"""A member is explored first by strides of this share of each grid, at last step by step."""


@dataclass(frozen=True, slots=True)
class EvolutionSettings:
    """Sizes of one generation, in configurations; `patience` counts generations without gain.

    The first generations are smaller, so that an answer is there soon: children, trades and
    combinations reach their numbers in generation `growth`, and one parent is explored before
    `parents` are.
    """

    population: int = 48
    growth: int = 24
    children: int = 256
    parents: int = 2
    trades: int = 48
    combinations: int = 64
    tries: int = 256
    proposals: int = 50
    patience: int = 4


class Evolution:
    """Evolves configurations in the band towards a low objective that keeps the floor.

    It starts near uniform pruning and, where the surrogates' structure gives them, from the optima
    of the relaxed problem (`moves.priced`). A generation crosses and moves members of the
    population, explores the best members that were not explored yet by exact marginals (`guided`),
    scores all of it in a few vectorised calls and keeps the best distinct ones, those that hold the
    floor first. When nothing improves for `patience` generations it starts again around the best of
    all or from scratch, in turns; the best of all is never lost. `step` returns what is worth a
    trial, worst first.
    """

    def __init__(
        self, problem: SearchProblem, seed: int, settings: EvolutionSettings | None = None
    ) -> None:
        self.problem = problem
        self.settings = settings or EvolutionSettings()
        self.scored = 0
        self._rng = np.random.default_rng(seed)
        groups = len(problem.space.levels)
        self._members = np.empty((0, groups), dtype=np.int64)
        self._scores = Scores(np.empty(0), np.empty(0))
        self._explored = np.empty(0, dtype=np.int64)
        self._best = np.empty((0, groups), dtype=np.int64)
        self._best_scores = Scores(np.empty(0), np.empty(0))
        self._stale = 0
        self._restarts = 0
        self._generation = 0

    @property
    def best(self) -> Counts:
        """The best configuration so far: `groups`."""
        found: Counts = self._best[0]
        return found

    def step(self) -> Counts:
        """One generation; returns at most `proposals` distinct configurations, worst first."""
        with one_blas_thread():
            fresh = self._offspring() if len(self._members) else self._start()
            scores = self._score(fresh)
            self._select(fresh, scores)
            self._remember()
            self._generation += 1
            return self._worth_a_trial(fresh, scores)

    def inject(self, counts: Counts) -> None:
        """Take in configurations (`n x groups`, in the band) that were found elsewhere."""
        if not len(self._members):
            counts = distinct(np.vstack([counts, self._start()]))
        fresh, stale = counts[~among(counts, self._members)], self._stale
        if len(fresh):
            self._select(fresh, self._score(fresh))
            self._remember()
            self._stale = min(self._stale, stale)

    def rescore(self) -> None:
        """Score the members anew, because the problem scores them otherwise now."""
        if not len(self._members):
            return
        self._scores = self._score(self._members)
        order = self._scores.order
        self._members, self._scores = self._members[order], self._scores.at(order)
        self._explored = self._explored[order]
        self._best_scores = self._score(self._best)
        self._remember()

    def state(self) -> dict[str, Any]:
        """Everything that the next generation depends on, ready for JSON."""
        return {
            "generator": generator_state(self._rng),
            "members": self._members.tolist(),
            "values": self._scores.value.tolist(),
            "violations": self._scores.violation.tolist(),
            "explored": self._explored.tolist(),
            "best": self._best.tolist(),
            "best_value": self._best_scores.value.tolist(),
            "best_violation": self._best_scores.violation.tolist(),
            "stale": self._stale,
            "restarts": self._restarts,
            "generation": self._generation,
            "scored": self.scored,
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Continue from `state`, to the bit."""
        groups = len(self.problem.space.levels)
        set_generator_state(self._rng, state["generator"])
        self._members = np.array(state["members"], dtype=np.int64).reshape(-1, groups)
        self._scores = Scores(np.array(state["values"]), np.array(state["violations"]))
        self._explored = np.array(state["explored"], dtype=np.int64)
        self._best = np.array(state["best"], dtype=np.int64).reshape(-1, groups)
        self._best_scores = Scores(np.array(state["best_value"]), np.array(state["best_violation"]))
        self._stale, self._restarts = state["stale"], state["restarts"]
        self._generation, self.scored = state["generation"], state["scored"]

    def _start(self) -> Counts:
        near = moves.lifted(self.problem, moves.priced(self.problem), self._rng)
        far = moves.seeds(self.problem, self._grown(self.settings.children), self._rng)
        return distinct(np.vstack([near, far]))

    def _grown(self, most: int) -> int:
        """The part of `most` that this generation has."""
        return -(-most * min(self._generation + 1, self.settings.growth) // self.settings.growth)

    def _score(self, counts: Counts) -> Scores:
        self.scored += len(counts)
        return self.problem.scores(counts)

    def _offspring(self) -> Counts:
        if self._stale > self.settings.patience:
            return self._restart()
        parts = [self._mixed()]
        parents = min(self.settings.parents, 1 + self._generation // 4)
        for parent in np.flatnonzero(self._explored < len(STRIDES))[:parents]:
            parts += self._explore(int(parent))
        fresh = distinct(np.vstack(parts))
        return fresh[~among(fresh, self._members)]

    def _mixed(self) -> Counts:
        """Crossed and stepped children of parents chosen by tournaments of two."""
        n, rng = self._grown(self.settings.children), self._rng
        ranks = rng.integers(0, len(self._members), size=(2, 2, n)).min(axis=0)
        children = moves.crossed(
            self.problem, self._members[ranks[0]], self._members[ranks[1]], rng
        )
        children = moves.stepped(self.problem, children, rng)
        children = moves.repaired(self.problem, children, rng)
        return moves.lifted(self.problem, children, rng)

    def _explore(self, parent: int) -> list[Counts]:
        share = STRIDES[self._explored[parent]]
        self._explored[parent] += 1
        value = float(self._scores.value[parent])
        around = guided.Marginals.around(self.problem, self._members[parent], value, share)
        self.scored += around.asked
        trades, some = (self._grown(n) for n in (self.settings.trades, self.settings.combinations))
        return [
            guided.pairs(self.problem, around, trades),
            guided.combinations(self.problem, around, some, self.settings.tries, self._rng),
        ]

    def _restart(self) -> Counts:
        self._restarts += 1
        self._stale = 0
        self._members = self._members[:0]
        self._scores = self._scores.at(np.empty(0, dtype=np.int64))
        self._explored = self._explored[:0]
        if self._restarts % 2:
            fresh = moves.scatter(self.problem, self.best, self.settings.children, self._rng)
        else:
            fresh = moves.seeds(self.problem, self.settings.children, self._rng)
        return distinct(moves.lifted(self.problem, fresh, self._rng))

    def _select(self, fresh: Counts, scores: Scores) -> None:
        members = np.vstack([self._members, fresh])
        joined = Scores.joined(self._scores, scores)
        explored = np.concatenate([self._explored, np.zeros(len(fresh), dtype=np.int64)])
        chosen = joined.order[: self.settings.population]
        before = self._scores.value[:1]
        self._members, self._scores = members[chosen], joined.at(chosen)
        self._explored = explored[chosen]
        gained = not len(before) or self._scores.value[0] < before[0] * (1.0 - 1e-5)
        self._stale = 0 if gained else self._stale + 1

    def _remember(self) -> None:
        joined = Scores.joined(self._best_scores, self._scores.at(np.arange(1)))
        first = joined.order[:1]
        self._best = np.vstack([self._best, self._members[:1]])[first]
        self._best_scores = joined.at(first)

    def _worth_a_trial(self, fresh: Counts, scores: Scores) -> Counts:
        """The best of a generation, and a few that trade latency for more importance."""
        n, order = self.settings.proposals, scores.order
        best, rest = order[: n - n // 5], order[n - n // 5 :]
        front = rest[_nondominated(scores, self.problem.importance.log_kept(fresh), rest)]
        others = np.setdiff1d(rest, front, assume_unique=True)
        chosen = np.concatenate([best, front, others])[:n]
        found: Counts = fresh[chosen[scores.at(chosen).order[::-1]]]
        return found


def _nondominated(scores: Scores, kept: Floats, rows: Ints) -> Bools:
    """Rows, sorted by their scores, that keep more than every row before them."""
    values = kept[rows]
    before = np.maximum.accumulate(np.concatenate([[-np.inf], values[:-1]]))
    found: Bools = values > before
    return found
