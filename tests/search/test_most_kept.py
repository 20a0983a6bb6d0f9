"""The most importance that a band can keep: exact in small spaces, bracketed in large ones."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from hdap.fleet_data.errors import InfeasibleError
from hdap.search.analysis.answer import answer
from hdap.search.driver.run_search import run_search
from hdap.search.exact.most_kept import check_floor, most_kept
from hdap.search.problem.search_problem import SearchProblem

Make = Callable[..., SearchProblem]


@pytest.mark.parametrize(
    ("model", "budget", "step"),
    [("mobilenetv1_100", "90%", 256), ("mobilenetv1_100", "80%", 256), ("resnet50", "1.0G", 16)],
)
def test_nothing_in_the_band_keeps_more(
    make_problem: Make, model: str, budget: str, step: int
) -> None:
    problem = make_problem(model, budget, step=step)
    most = most_kept(problem)
    assert problem.band.contains(problem.repair.flops(most.counts[None])).all()
    assert problem.importance.kept(most.counts[None])[0] == pytest.approx(most.kept)
    assert most.kept <= most.at_most <= most.kept * 1.01
    tried = problem.repair(problem.space.random(300, np.random.default_rng(0)))
    assert problem.importance.kept(tried).max() <= most.at_most * (1 + 1e-9)


def test_the_dual_bound_agrees_with_looking_at_all(
    make_problem: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    problem = make_problem("mobilenetv1_100", "80%", step=256)
    exact = most_kept(problem)
    assert exact.kept == exact.at_most
    monkeypatch.setattr(SearchProblem, "every", None)
    bracketed = most_kept(problem)
    assert bracketed.kept <= exact.kept * (1 + 1e-9)
    assert exact.kept <= bracketed.at_most * (1 + 1e-9)


def test_an_impossible_floor_says_the_most_that_can_be_kept(make_problem: Make) -> None:
    possible = make_problem("resnet50", "1.0G", step=16)
    most = most_kept(possible)
    check_floor(replace(possible, floor=most.kept))
    shown = np.floor(1000 * most.kept) / 1000
    impossible = replace(possible, floor=0.9)
    with pytest.raises(InfeasibleError, match=f"at most {shown:.3f}.*`--flops`"):
        check_floor(impossible)
    found = run_search(impossible, trials=60).trials
    assert found is not None
    with pytest.raises(InfeasibleError, match=f"at most {shown:.3f}"):
        answer(impossible, found)
