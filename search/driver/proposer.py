"""Two ways to get configurations from a sampler: ask ours directly, or let Optuna ask its own."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np
import optuna
from optuna.samplers import BaseSampler
from optuna.study import Study, StudyDirection
from optuna.trial import Trial, create_trial

from hdap.fleet_data.architecture import Counts
from hdap.fleet_data.records import Floats, TrialBatch
from hdap.search.problem.evaluation import Scores
from hdap.search.problem.search_problem import SearchProblem
from hdap.search.samplers.base import (
    FLOOR,
    GridSampler,
    SamplerKind,
    counts_of,
    distributions,
    parameters_of,
)
from hdap.search.samplers.registry import check_goals


class Proposer(ABC):
    """Proposes configurations in the FLOPs band and hears what came of them.

    Every `propose` is followed by `tell`, of all that was proposed and in its order.
    """

    @abstractmethod
    def propose(self, n: int) -> Counts:
        """The next configurations: `n x groups`, in the band."""

    @abstractmethod
    def tell(self, scores: Scores) -> None:
        """The scores of what was proposed last."""

    @abstractmethod
    def restore(self, trials: TrialBatch, state: Mapping[str, Any]) -> None:
        """Go on after `trials`, the sampler's state being `state`; called before all else."""

    @abstractmethod
    def inject(self, trials: TrialBatch) -> None:
        """Good trials that were found elsewhere."""

    @abstractmethod
    def invalidate(self) -> None:
        """What the problem says of configurations has changed."""

    def refine(self, keep: int) -> bool:
        """Search on for a moment while nobody asks and keep the best for what is proposed next;
        false where there is no more to do."""
        return False

    @property
    def scored(self) -> int:
        """Configurations that the sampler itself asked the surrogates about."""
        return 0

    def state(self) -> dict[str, Any]:
        """What the next proposals depend on, ready for JSON; empty where a sampler hides it."""
        return {}


def proposer(problem: SearchProblem, kind: SamplerKind, seed: int) -> Proposer:
    """The proposer that fits a kind of sampler. Raises InputError as `check_goals` does."""
    check_goals(problem, kind)
    sampler = kind.make(problem, seed)
    if isinstance(sampler, GridSampler):
        return GridProposer(kind, sampler)
    with quiet_optuna():
        return StudyProposer(problem, kind, sampler)


class GridProposer(Proposer):
    """One of our samplers. No study is kept: asking Optuna for a trial costs more than finding it
    (measured: three quarters of a search), and ours read nothing from a study."""

    def __init__(self, kind: SamplerKind, sampler: GridSampler) -> None:
        self.kind, self.sampler = kind, sampler

    def propose(self, n: int) -> Counts:
        return np.stack([self.sampler.propose() for _ in range(n)])

    def tell(self, scores: Scores) -> None:
        self.sampler.tell(_values(self.kind, scores))

    def restore(self, trials: TrialBatch, state: Mapping[str, Any]) -> None:
        self.sampler.restore(state, trials.counts)

    def inject(self, trials: TrialBatch) -> None:
        self.sampler.inject(trials.counts)

    def invalidate(self) -> None:
        self.sampler.invalidate()

    def refine(self, keep: int) -> bool:
        return self.sampler.refine(keep)

    @property
    def scored(self) -> int:
        return self.sampler.scored

    def state(self) -> dict[str, Any]:
        return self.sampler.state()


class StudyProposer(Proposer):
    """A sampler of Optuna's, in a study in memory; what it proposes is repaired into the band."""

    def __init__(self, problem: SearchProblem, kind: SamplerKind, sampler: BaseSampler) -> None:
        self.problem, self.kind = problem, kind
        self._asked: list[Trial] = []
        self._space = distributions(problem.space)
        self.study = self._new_study(sampler)
        # Every base line starts from uniform pruning too.
        self.study.enqueue_trial(parameters_of(problem.space, problem.uniform))

    def propose(self, n: int) -> Counts:
        self._asked = [self.study.ask(self._space) for _ in range(n)]
        wanted = [counts_of(self.problem.space, trial.params) for trial in self._asked]
        return self.problem.repair(np.stack(wanted))

    def tell(self, scores: Scores) -> None:
        values = _values(self.kind, scores).reshape(len(self._asked), -1)
        for trial, row, violation in zip(self._asked, values, scores.violation, strict=True):
            if self.kind.constrained:
                trial.set_constraint(FLOOR, float(violation))
            self.study.tell(trial, row.tolist())

    def restore(self, trials: TrialBatch, state: Mapping[str, Any]) -> None:
        self.study = self._new_study(self.study.sampler)
        self.inject(trials)

    def inject(self, trials: TrialBatch) -> None:
        space = self.problem.space
        scores = self.problem.evaluate(trials.counts).scores
        values = _values(self.kind, scores).reshape(len(trials), -1)
        columns = zip(trials.counts, values, scores.violation.tolist(), strict=True)
        for counts, row, violation in columns:
            self.study.add_trial(
                create_trial(
                    values=row.tolist(),
                    params=parameters_of(space, counts),
                    distributions=self._space,
                    constraints={FLOOR: violation},
                )
            )

    def invalidate(self) -> None:
        pass  # Optuna's samplers hear values, not the problem

    def _new_study(self, sampler: BaseSampler) -> Study:
        directions = [StudyDirection.MINIMIZE] * len(self.problem.goals.names)
        return optuna.create_study(sampler=sampler, directions=directions)


def _values(kind: SamplerKind, scores: Scores) -> Floats:
    if scores.values is not None:
        return scores.values
    return scores.value if kind.constrained else scores.penalised


@contextmanager
def quiet_optuna() -> Iterator[None]:
    """Optuna announces studies on stderr; here a progress bar does."""
    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(max(before, optuna.logging.WARNING))
    try:
        yield
    finally:
        optuna.logging.set_verbosity(before)
