"""What every registered sampler must keep to; see `hdap.search.samplers.base`."""

import json
import warnings
from collections.abc import Callable
from dataclasses import fields

import numpy as np
import pytest
from optuna.samplers import BaseSampler
from optuna.testing.pytest_samplers import (
    BasicSamplerTestCase,
    MultiObjectiveSamplerTestCase,
    RelativeSamplerTestCase,
)

from hdap.fleet_data.errors import InputError
from hdap.fleet_data.records import TrialBatch
from hdap.search.driver.proposal_source import InProcess
from hdap.search.driver.run_search import ResumeState, SearchResult, run_search
from hdap.search.problem.evaluation import joined
from hdap.search.problem.search_problem import SearchProblem
from hdap.search.samplers.registry import SAMPLERS

Make = Callable[..., SearchProblem]
OPTUNAS_OWN = {"tpe", "nsga2", "cmaes", "gp"}
"""Their state cannot be had, and Optuna holds them against its own cases itself."""
TIMES = ("started_at", "finished_at")
WHOLE = "it proposes whole configurations of one network and no other parameters"


@pytest.fixture(params=sorted(SAMPLERS))
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(params=sorted(set(SAMPLERS) - OPTUNAS_OWN))
def own(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def problem(make_problem: Make) -> SearchProblem:
    return make_problem("mobilenetv1_100", "30%")


def _trials(result: SearchResult) -> TrialBatch:
    assert result.trials is not None
    return result.trials


def _same(one: TrialBatch, other: TrialBatch) -> bool:
    names = [f.name for f in fields(TrialBatch) if f.name not in TIMES]
    return all(np.array_equal(getattr(one, n), getattr(other, n)) for n in names)


def test_all_trials_are_in_the_band_on_the_grid_and_respect_fixed_groups(
    make_problem: Make, name: str
) -> None:
    problem = make_problem("mobilenetv1_100", "30%", fixed={"conv_stem": 21})
    trials = _trials(run_search(problem, name, trials=30, seed=3))
    assert problem.band.contains(trials.flops.astype(np.float64)).all()
    problem.space.index(trials.counts)
    fixed = problem.architecture.index["conv_stem"]
    assert (trials.counts[:, fixed] == 21).all()
    assert trials.number.tolist() == list(range(30))


def test_a_seed_gives_the_same_trials_and_another_one_others(
    problem: SearchProblem, name: str
) -> None:
    one, same, other = (_trials(run_search(problem, name, 25, seed=s)) for s in (7, 7, 8))
    assert _same(one, same)
    assert (one.counts != other.counts).any()


def test_uniform_pruning_or_better_is_always_found(problem: SearchProblem, name: str) -> None:
    trials = _trials(run_search(problem, name, trials=60, seed=0))
    assert len(np.unique(trials.counts, axis=0)) == 60
    uniform = problem.evaluate(problem.uniform[None]).fleet_mean_ms[0]
    assert trials.fleet_mean_ms[trials.feasible].min() <= uniform * 1.03


def test_nothing_is_warned_about(problem: SearchProblem, name: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        run_search(problem, name, trials=12)


def test_every_configuration_that_the_surrogates_saw_is_counted(
    make_problem: Make, name: str
) -> None:
    problem = make_problem("mobilenetv1_100", "30%")
    _ = problem.uniform  # the base line is asked for once, by no sampler
    before = problem.latency.asked  # type: ignore[attr-defined]
    scored = run_search(problem, name, trials=14).scored
    assert problem.latency.asked - before == scored  # type: ignore[attr-defined]


def test_a_study_goes_on_from_the_trials_it_left(problem: SearchProblem, name: str) -> None:
    first = run_search(problem, name, trials=20)
    resume = ResumeState(_trials(first), first.sampler_state)
    batches: list[TrialBatch] = []
    whole = _trials(
        run_search(problem, name, trials=45, resume=resume, on_batch=lambda b, _: batches.append(b))
    )
    assert whole.number.tolist() == list(range(45))
    assert _same(whole.take(np.arange(20)), _trials(first))
    assert joined(*batches).number.tolist() == list(range(20, 45))


def test_a_study_whose_state_was_lost_goes_on(problem: SearchProblem, name: str) -> None:
    first = _trials(run_search(problem, name, trials=20))
    whole = _trials(run_search(problem, name, trials=30, resume=ResumeState(first)))
    assert _same(whole.take(np.arange(20)), first)
    assert problem.band.contains(whole.flops.astype(np.float64)).all()


def test_a_sampler_of_ours_resumes_to_the_trials_of_a_study_that_never_stopped(
    problem: SearchProblem, own: str
) -> None:
    first = run_search(problem, own, trials=40, seed=4)
    state = json.loads(json.dumps(dict(first.sampler_state), allow_nan=False))
    resume = ResumeState(_trials(first), state)
    resumed = _trials(run_search(problem, own, trials=80, seed=4, resume=resume))
    assert _same(resumed, _trials(run_search(problem, own, trials=80, seed=4)))


def test_who_does_not_resume_to_the_same_trials_says_so(problem: SearchProblem, name: str) -> None:
    assert InProcess(problem, name).resumable == (name not in OPTUNAS_OWN)


def test_an_unknown_sampler_is_answered_with_the_known_ones() -> None:
    with pytest.raises(InputError, match="fleet, tpe"):
        SAMPLERS["annealing"]


class TestOptunasCases(
    BasicSamplerTestCase, MultiObjectiveSamplerTestCase, RelativeSamplerTestCase
):
    """What Optuna asks of any sampler, in studies that have nothing to do with networks."""

    @pytest.fixture
    def sampler(self, problem: SearchProblem, own: str) -> Callable[[], BaseSampler]:
        return lambda: SAMPLERS[own].make(problem, 0)

    @pytest.mark.skip(reason=WHOLE)
    def test_sample_relative_numerical(self) -> None:  # type: ignore[override]
        """It would have to propose the two parameters of another study."""

    @pytest.mark.skip(reason=WHOLE)
    def test_sample_relative_categorical(self) -> None:  # type: ignore[override]
        """The same."""

    @pytest.mark.skip(reason=WHOLE)
    def test_sample_relative_mixed(self) -> None:  # type: ignore[override]
        """The same."""
