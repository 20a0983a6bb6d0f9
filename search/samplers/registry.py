"""All samplers by name."""

import warnings
from collections.abc import Callable
from dataclasses import dataclass

from optuna.exceptions import ExperimentalWarning
from optuna.samplers import BaseSampler, CmaEsSampler, NSGAIISampler, RandomSampler, TPESampler

from hdap.fleet_data.errors import InputError
from hdap.search.problem import SearchProblem
from hdap.search.samplers.fleet import FleetSampler
from hdap.search.samplers.ncs import POPULATION, NCSSampler


@dataclass(frozen=True, slots=True)
class SamplerKind:
    """How to make a sampler, and how the driver treats it.

    `batch` trials are asked for, scored in one call and told together: as many as the sampler
    proposes without hearing of any. One that is not `constrained` does not look at constraints and
    is told a penalised value instead.
    """

    make: Callable[[SearchProblem, int], BaseSampler]
    batch: int
    about: str
    constrained: bool = True


def _tpe(_: SearchProblem, seed: int) -> BaseSampler:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)
        return TPESampler(seed=seed, multivariate=True)


def _cmaes(_: SearchProblem, seed: int) -> BaseSampler:
    # Independent sampling is how its very first trial comes about; that is no news to anyone.
    return CmaEsSampler(seed=seed, warn_independent_sampling=False)


SAMPLERS: dict[str, SamplerKind] = {
    "fleet": SamplerKind(FleetSampler, 50, "population evolved on the surrogates (default)"),
    "tpe": SamplerKind(_tpe, 1, "Optuna's tree-structured Parzen estimator"),
    "nsga2": SamplerKind(lambda _, seed: NSGAIISampler(seed=seed), 50, "Optuna's NSGA-II"),
    "cmaes": SamplerKind(_cmaes, 1, "Optuna's CMA-ES", constrained=False),
    "random": SamplerKind(lambda _, seed: RandomSampler(seed), 50, "Optuna's random search"),
    "ncs": SamplerKind(NCSSampler, POPULATION, "HDAP's search", constrained=False),
}


def sampler_kind(name: str) -> SamplerKind:
    """The sampler of that name.

    Raises:
        InputError: there is none.
    """
    if name not in SAMPLERS:
        raise InputError(f"`sampler` must be one of {', '.join(SAMPLERS)}, but got {name!r}")
    return SAMPLERS[name]
