"""Optuna's own samplers, as ours are asked."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np
import optuna
from optuna.samplers import BaseSampler
from optuna.study import Study, StudyDirection
from optuna.trial import Trial, create_trial

from hdap.fleet_data.architecture import Counts
from hdap.fleet_data.records import Floats
from hdap.search.problem.evaluation import Scores
from hdap.search.problem.search_problem import SearchProblem
from hdap.search.samplers.base import FLOOR, GridSampler, SamplerKind, counts_of, parameters_of


class StudySampler(GridSampler):
    """A sampler of Optuna's in a study in memory; what it proposes is repaired into the band.

    Its state cannot be had, so a resumed study goes on from the same trials with a fresh generator.
    """

    resumable = False

    def __init__(self, problem: SearchProblem, kind: SamplerKind, sampler: BaseSampler) -> None:
        super().__init__(problem, 0)
        self.kind = kind
        self._asked: list[Trial] = []
        self.study = self._new_study(sampler)
        # Every base line starts from uniform pruning too.
        self.study.enqueue_trial(parameters_of(problem.space, problem.uniform))

    def propose(self) -> Counts:
        found: Counts = self.propose_many(1)[0]
        return found

    def propose_many(self, n: int) -> Counts:
        self._asked = [self.study.ask(self._distributions) for _ in range(n)]
        wanted = [counts_of(self.problem.space, trial.params) for trial in self._asked]
        return self.problem.repair(np.stack(wanted))

    def tell(self, scores: Scores) -> None:
        rows = zip(self._asked, self._values(scores), scores.violation, strict=True)
        for trial, values, violation in rows:
            if self.kind.constrained:
                trial.set_constraint(FLOOR, float(violation))
            self.study.tell(trial, values.tolist())

    def inject(self, counts: Counts) -> None:
        scores = self.problem.evaluate(counts).scores
        columns = zip(counts, self._values(scores), scores.violation.tolist(), strict=True)
        for row, values, violation in columns:
            self.study.add_trial(
                create_trial(
                    values=values.tolist(),
                    params=parameters_of(self.problem.space, row),
                    distributions=self._distributions,
                    constraints={FLOOR: violation},
                )
            )

    def state(self) -> dict[str, Any]:
        return {}

    def restore(self, state: Mapping[str, Any], told: Counts) -> None:
        self.study = self._new_study(self.study.sampler)
        self.inject(told)

    def _values(self, scores: Scores) -> Floats:
        """What is told of n networks, `n x objectives`."""
        if scores.values is not None:
            return scores.values
        told = scores.value if self.kind.constrained else scores.penalised
        return told[:, None]

    def _new_study(self, sampler: BaseSampler) -> Study:
        directions = [StudyDirection.MINIMIZE] * len(self.problem.goals.names)
        with quiet_optuna():
            return optuna.create_study(sampler=sampler, directions=directions)


@contextmanager
def quiet_optuna() -> Iterator[None]:
    """Optuna announces studies on stderr; here a progress bar does."""
    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(max(before, optuna.logging.WARNING))
    try:
        yield
    finally:
        optuna.logging.set_verbosity(before)
