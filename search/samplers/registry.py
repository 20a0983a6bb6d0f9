"""All samplers by name."""

import warnings
from collections.abc import Callable
from dataclasses import dataclass

from optuna.exceptions import ExperimentalWarning
from optuna.samplers import BaseSampler, CmaEsSampler, NSGAIISampler, RandomSampler, TPESampler

from hdap.fleet_data.errors import InputError
from hdap.search.problem.search_problem import SearchProblem
from hdap.search.samplers.epsilon_constraint_sampler import EpsilonConstraintSampler
from hdap.search.samplers.fleet_sampler import FleetSampler
from hdap.search.samplers.front_sampler import FrontSampler
from hdap.search.samplers.gp_sampler import gp
from hdap.search.samplers.halp_sampler import HALPSampler
from hdap.search.samplers.ncs_sampler import POPULATION, NCSSampler
from hdap.search.samplers.netadapt_sampler import NetAdaptSampler


@dataclass(frozen=True, slots=True)
class SamplerKind:
    """How to make a sampler, and how the driver treats it.

    `batch` trials are asked for, scored in one call and told together: as many as the sampler
    proposes without hearing of any. One that is not `constrained` does not look at constraints and
    is told a penalised value instead. `several` can search for several objectives at once.
    """

    make: Callable[[SearchProblem, int], BaseSampler]
    batch: int
    about: str
    constrained: bool = True
    several: bool = False


def _tpe(_: SearchProblem, seed: int) -> BaseSampler:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)
        return TPESampler(seed=seed, multivariate=True)


def _cmaes(_: SearchProblem, seed: int) -> BaseSampler:
    # Independent sampling is how its very first trial comes about; that is no news to anyone.
    return CmaEsSampler(seed=seed, warn_independent_sampling=False)


def _fleet(problem: SearchProblem, seed: int) -> BaseSampler:
    if problem.goals.several:
        return FrontSampler(problem, seed)
    if problem.limit_ms is not None:
        return EpsilonConstraintSampler(problem, seed)
    return FleetSampler(problem, seed)


SAMPLERS: dict[str, SamplerKind] = {
    "fleet": SamplerKind(
        _fleet, 50, "population evolved on the surrogates (default)", several=True
    ),
    "tpe": SamplerKind(_tpe, 1, "Optuna's tree-structured Parzen estimator", several=True),
    "nsga2": SamplerKind(
        lambda _, seed: NSGAIISampler(seed=seed), 50, "Optuna's NSGA-II", several=True
    ),
    "cmaes": SamplerKind(_cmaes, 1, "Optuna's CMA-ES", constrained=False),
    "gp": SamplerKind(gp, 1, "Optuna's Gaussian process (loads torch)"),
    "random": SamplerKind(
        lambda _, seed: RandomSampler(seed), 50, "Optuna's random search", several=True
    ),
    "ncs": SamplerKind(NCSSampler, POPULATION, "HDAP's search", constrained=False),
    "netadapt": SamplerKind(NetAdaptSampler, 1, "greedy shrinking, as NetAdapt"),
    "halp": SamplerKind(HALPSampler, 1, "latency-importance knapsack, as HALP"),
}


def sampler_kind(name: str) -> SamplerKind:
    """The sampler of that name.

    Raises:
        InputError: there is none.
    """
    if name not in SAMPLERS:
        raise InputError(f"`sampler` must be one of {', '.join(SAMPLERS)}, but got {name!r}")
    return SAMPLERS[name]


def check_goals(problem: SearchProblem, kind: SamplerKind) -> None:
    """Raise InputError for a problem of several objectives and a kind that searches for one."""
    if problem.goals.several and not kind.several:
        able = ", ".join(name for name, k in SAMPLERS.items() if k.several)
        raise InputError(
            f"`sampler` must be one of {able} for the several objectives {problem.objective}, but "
            f"got one that searches for one only: choose another, or name one objective"
        )
