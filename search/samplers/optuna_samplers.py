"""Optuna's own samplers as base lines, where they need more than a seed."""

import warnings
from typing import Any

from optuna.distributions import BaseDistribution, FloatDistribution, IntDistribution
from optuna.exceptions import ExperimentalWarning
from optuna.samplers import BaseSampler, CmaEsSampler, GPSampler, TPESampler
from optuna.study import Study
from optuna.trial import FrozenTrial
from threadpoolctl import threadpool_limits

from hdap.search.problem.search_problem import SearchProblem


def tpe(_: SearchProblem, seed: int) -> BaseSampler:
    """Tree-structured Parzen estimators of all groups together."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)
        return TPESampler(seed=seed, multivariate=True)


def cmaes(_: SearchProblem, seed: int) -> BaseSampler:
    """CMA-ES on grid positions taken as real numbers."""
    # Independent sampling is how its very first trial comes about; that is no news to anyone.
    return CmaEsSampler(seed=seed, warn_independent_sampling=False)


class RelaxedGPSampler(GPSampler):
    """Optuna's GPSampler on grid positions taken as real numbers, rounded at the end.

    Its own way with integers, a line search for each of them in turn, takes seconds a trial on a
    few dozen groups; gradients take a tenth of that. Optuna loads torch for the first modelled
    trial (the eleventh) and not before; nothing else here makes a search load torch.
    """

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        relaxed: dict[str, BaseDistribution] = {
            name: FloatDistribution(grid.low, grid.high)
            for name, grid in search_space.items()
            if isinstance(grid, IntDistribution)
        }
        # Threads of BLAS wait for one another on small matrices: ten times the processor time.
        # Torch and scipy bring their own, so the libraries are looked up anew at each call.
        with threadpool_limits(1):
            found = super().sample_relative(study, trial, relaxed)
        return {name: round(value) for name, value in found.items()}


def gp(_: SearchProblem, seed: int) -> BaseSampler:
    """A Gaussian process with log expected improvement, constrained by a second one."""
    # Its first trials are drawn independently by design; that is no news to anyone.
    return RelaxedGPSampler(seed=seed, warn_independent_sampling=False)
