"""All samplers by name."""

from optuna.samplers import BaseSampler, NSGAIISampler

from hdap.fleet_data.errors import InputError
from hdap.fleet_data.plugins import Registry
from hdap.search.problem.search_problem import SearchProblem
from hdap.search.samplers.base import GridSampler, SamplerKind
from hdap.search.samplers.epsilon_constraint_sampler import EpsilonConstraintSampler
from hdap.search.samplers.exhaustive_sampler import ExhaustiveSampler
from hdap.search.samplers.fleet_sampler import FleetSampler
from hdap.search.samplers.front_sampler import FrontSampler
from hdap.search.samplers.halp_sampler import HALPSampler
from hdap.search.samplers.ncs_sampler import POPULATION, NCSSampler
from hdap.search.samplers.netadapt_sampler import NetAdaptSampler
from hdap.search.samplers.optuna_samplers import cmaes, gp, tpe
from hdap.search.samplers.random_grid_sampler import RandomGridSampler
from hdap.search.samplers.study_sampler import StudySampler


def fleet(problem: SearchProblem, seed: int) -> BaseSampler:
    """The evolution on the surrogates that fits what is searched for; in a small space nothing is
    left to evolution."""
    if problem.every is not None:
        return ExhaustiveSampler(problem, problem.every)
    if problem.goals.several:
        return FrontSampler(problem, seed)
    if problem.limit_ms is not None:
        return EpsilonConstraintSampler(problem, seed)
    return FleetSampler(problem, seed)


SAMPLERS: Registry[SamplerKind] = Registry(
    "`sampler`",
    "samplers",
    {
        "fleet": SamplerKind(fleet, 50, several=True),
        "tpe": SamplerKind(tpe, 1, several=True),
        "nsga2": SamplerKind(lambda _, seed: NSGAIISampler(seed=seed), 50, several=True),
        "cmaes": SamplerKind(cmaes, 1, constrained=False),
        "gp": SamplerKind(gp, 1),
        "random": SamplerKind(RandomGridSampler, 50, several=True),
        "ncs": SamplerKind(NCSSampler, POPULATION),
        "netadapt": SamplerKind(NetAdaptSampler, 1),
        "halp": SamplerKind(HALPSampler, 1),
    },
)


def check_goals(problem: SearchProblem, kind: SamplerKind) -> None:
    """Raise InputError for a problem of several objectives and a kind that searches for one."""
    if problem.goals.several and not kind.several:
        able = ", ".join(name for name, k in SAMPLERS.items() if k.several)
        raise InputError(
            f"`sampler` must be one of {able} for the several objectives {problem.goals.text}, but "
            f"got one that searches for one only: choose another, or name one objective"
        )


def make_sampler(problem: SearchProblem, kind: SamplerKind, seed: int) -> GridSampler:
    """A sampler of that kind, Optuna's own in a study. Raises InputError as `check_goals`."""
    check_goals(problem, kind)
    sampler = kind.make(problem, seed)
    if isinstance(sampler, GridSampler):
        return sampler
    return StudySampler(problem, kind, sampler)
