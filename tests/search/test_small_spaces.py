"""Where few configurations meet the budget: all of them, each once, and then the search is over."""

from collections.abc import Callable
from itertools import pairwise

import numpy as np
import pytest

from hdap.fleet_data.architecture import Counts
from hdap.fleet_data.records import TrialBatch
from hdap.search.analysis.single_cluster_baseline import single_cluster_baseline
from hdap.search.driver.run_search import ResumeState, SearchResult, run_search
from hdap.search.driver.unseen import Unseen
from hdap.search.problem.search_problem import SearchProblem
from hdap.search.samplers.registry import SAMPLERS

Make = Callable[..., SearchProblem]


@pytest.fixture(scope="module")
def problem(make_problem: Make) -> SearchProblem:
    """One of 19 configurations; the floor is kept by some of them."""
    return make_problem("mobilenetv1_100", "90%", 0.03, step=256)


@pytest.fixture(scope="module")
def every(problem: SearchProblem) -> Counts:
    assert problem.every is not None
    return problem.every


def _trials(result: SearchResult) -> TrialBatch:
    assert result.trials is not None
    return result.trials


def _same(counts: Counts, other: Counts) -> bool:
    return sorted(counts.tolist()) == sorted(other.tolist())


@pytest.mark.parametrize("name", sorted(SAMPLERS))
def test_every_sampler_finds_each_configuration_once_and_stops(
    problem: SearchProblem, every: Counts, name: str
) -> None:
    found = run_search(problem, name, trials=10**6)
    assert found.stopped == "exhausted"
    assert _same(_trials(found).counts, every)
    again = run_search(
        problem, name, trials=10**6, resume=ResumeState(_trials(found), found.sampler_state)
    )
    assert again.stopped == "exhausted"
    assert len(_trials(again)) == len(every)


@pytest.mark.parametrize("objective", ["mean", "mean,kept", "deadline:30ms", "mean,kept,flops"])
def test_the_default_search_scores_all_of_them_once_whatever_is_asked(
    make_problem: Make, objective: str
) -> None:
    floor = 0.0 if "flops" in objective else None
    problem = make_problem("mobilenetv1_100", "90%", 0.03, 256, objective=objective, floor=floor)
    assert problem.every is not None
    found = run_search(problem, trials=2000)
    assert found.stopped == "exhausted"
    assert found.scored == len(problem.every) + len(_trials(found))
    assert _same(_trials(found).counts, problem.every)


def test_the_best_of_all_come_first_where_there_are_more_than_trials(
    problem: SearchProblem, every: Counts
) -> None:
    found = run_search(problem, trials=8)
    assert found.stopped == "finished"
    trials, order = _trials(found), problem.scores(every).order
    assert (trials.counts[0] == problem.uniform).all()
    best = [row for row in every[order].tolist() if row != problem.uniform.tolist()]
    assert trials.counts[1:].tolist() == best[:7]


def test_a_stopped_one_goes_on_to_the_same_trials(problem: SearchProblem) -> None:
    first = run_search(problem, trials=10)
    whole = run_search(problem, trials=99, resume=ResumeState(_trials(first), first.sampler_state))
    assert _trials(whole).counts.tolist() == _trials(run_search(problem)).counts.tolist()


def test_a_network_that_cannot_be_pruned_is_one_trial(make_problem: Make) -> None:
    problem = make_problem("mobilenetv1_100", "100%", 0.03, step=512, floor=1.0)
    found = run_search(problem)
    assert _trials(found).counts.tolist() == [problem.architecture.widths.tolist()]
    assert found.stopped == "exhausted"


def test_what_is_proposed_again_is_replaced_by_something_new_near_it(make_problem: Make) -> None:
    problem = make_problem("resnet50", "1.0G")
    assert problem.every is None
    same = np.repeat(problem.uniform[None], 30, axis=0)
    order, instead = Unseen(problem, 0).replaced(same)
    assert order.tolist() == [0, *range(30, 59)]
    assert len(np.unique(np.vstack([instead, same[:1]]), axis=0)) == 30
    assert problem.band.contains(problem.repair.flops(instead)).all()
    away = np.abs(instead - problem.uniform).sum(axis=1) / problem.uniform.sum()
    assert away.max() < 0.2
    assert Unseen(problem, 0).replaced(same)[1].tolist() == instead.tolist()


def test_a_sampler_that_has_nothing_new_in_a_large_space_ends_the_search(
    problem: SearchProblem, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Unseen, "_near", lambda self, repeated: None)
    monkeypatch.setattr(SearchProblem, "every", None)
    found = run_search(problem, "ncs", trials=10**6)
    assert found.stopped == "exhausted"
    assert all(a < b for a, b in pairwise(_trials(found).number.tolist()))


@pytest.mark.parametrize("objective", ["mean", "p95", "worst", "cvar:0.9", "deadline:30ms"])
def test_what_one_cluster_alone_finds_is_told_once_nothing_is_left_to_look_at(
    make_problem: Make, objective: str
) -> None:
    problem = make_problem("mobilenetv1_100", "90%", 0.03, 256, objective=objective)
    told = single_cluster_baseline(problem, problem.uniform)
    assert np.isfinite([told.gain, told.lowest_rank]).all()
