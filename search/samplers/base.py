"""Grid positions as Optuna parameters, and what a sampler of ours must be able to do."""

from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from optuna.distributions import BaseDistribution, IntDistribution
from optuna.samplers import BaseSampler, RandomSampler
from optuna.study import Study
from optuna.trial import FrozenTrial, TrialState

from hdap.fleet_data.architecture import Counts
from hdap.search.problem.evaluation import Scores
from hdap.search.problem.search_problem import SearchProblem
from hdap.search.problem.search_space import SearchSpace

FLOOR = "kept_importance"
"""Name of the constraint that every trial carries: how far it is below the floor."""


@dataclass(frozen=True, slots=True)
class SamplerKind:
    """How to make a sampler of a problem and a seed, and how the driver treats it.

    `make` gives a `GridSampler`, or any sampler of Optuna's, whose proposals are then repaired into
    the band; one of Optuna's that is not `constrained` does not look at constraints and is told a
    penalised value instead. `batch` trials are asked for, scored in one call and told together: as
    many as the sampler proposes without hearing of any. `several` objectives it can search for at
    once, or one alone.
    """

    make: Callable[[SearchProblem, int], BaseSampler]
    batch: int
    constrained: bool = True
    several: bool = False


def distributions(space: SearchSpace) -> dict[str, BaseDistribution]:
    """One integer a group that can move: its position on the grid, named after the group."""
    return {
        space.architecture.groups[g].name: IntDistribution(0, int(space.sizes[g]) - 1)
        for g in space.free
    }


def parameters_of(space: SearchSpace, counts: Counts) -> dict[str, int]:
    """Optuna parameters of one configuration on the grid (`groups`)."""
    index = space.index(counts[None])[0]
    return {space.architecture.groups[g].name: int(index[g]) for g in space.free}


def counts_of(space: SearchSpace, parameters: Mapping[str, Any]) -> Counts:
    """The configuration (`groups`) that Optuna parameters mean; fixed groups need none."""
    names = [group.name for group in space.architecture.groups]
    index = np.array([int(parameters.get(name, 0)) for name in names], dtype=np.int64)
    counts: Counts = space.counts(index[None])[0]
    return counts


class GridSampler(BaseSampler):
    """An Optuna sampler that proposes whole configurations, already in the FLOPs band.

    It works in any study whose trials call `suggest_int` with the names and ranges of
    `distributions`; parameters beyond those are drawn at random. `state` and `restore` make a
    resumed study the same as one that never stopped: `restore` is called before the first
    proposal, with the state after the last of the trials that are already there; an empty state
    (it was lost) makes a fresh start that knows the trials. One whose state cannot be kept says so
    by `resumable`.
    """

    resumable = True

    def __init__(self, problem: SearchProblem, seed: int) -> None:
        self.problem = problem
        self._distributions = distributions(problem.space)
        self._independent = RandomSampler(seed)

    @abstractmethod
    def propose(self) -> Counts:
        """The next configuration: `groups`, on the grid and in the band.

        One that a trial had already is allowed: the driver takes another near it.
        """

    def propose_many(self, n: int) -> Counts:
        """The next n configurations, or fewer, one at least: `n x groups`."""
        return np.stack([self.propose() for _ in range(n)])

    def tell(self, scores: Scores) -> None:
        """The scores of the latest proposals, in their order; few samplers care."""

    def note(self, counts: Counts) -> None:
        """Configurations (`n x groups`) that the study took in the place of repeated proposals; who
        avoids what the study has avoids them too."""

    @property
    def scored(self) -> int:
        """Configurations that it asked the surrogates about so far; most have to count them."""
        return 0

    def inject(self, counts: Counts) -> None:
        """Good configurations (`n x groups`, in the band) that were found elsewhere: learn of them.

        Samplers that climb alone do not.
        """

    def invalidate(self) -> None:
        """What the problem says of configurations has changed: score anew what is kept."""

    def refine(self, keep: int) -> bool:
        """Search on for a moment while nobody asks; false where there is no more to do.

        The best `keep` of what comes of it are proposed next. Few samplers can.
        """
        return False

    @abstractmethod
    def state(self) -> dict[str, Any]:
        """What the next proposals depend on, ready for JSON."""

    @abstractmethod
    def restore(self, state: Mapping[str, Any], told: Counts) -> None:
        """Continue from `state`; `told` holds the configurations of all trials so far."""

    def after_trial(
        self,
        study: Study,
        trial: FrozenTrial,
        state: TrialState,
        values: Sequence[float] | None,
    ) -> None:
        """How an ordinary study tells values, one at a time; the driver calls `tell` itself."""
        value = np.array([values[0] if values is not None else np.inf])
        self.tell(Scores(value, np.zeros(1)))

    def infer_relative_search_space(
        self, study: Study, trial: FrozenTrial
    ) -> dict[str, BaseDistribution]:
        return self._distributions

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        if not search_space:
            return {}
        return parameters_of(self.problem.space, self.propose())

    def sample_independent(
        self,
        study: Study,
        trial: FrozenTrial,
        param_name: str,
        param_distribution: BaseDistribution,
    ) -> Any:
        return self._independent.sample_independent(study, trial, param_name, param_distribution)
