from collections.abc import Callable

import numpy as np
import pytest

from hdap.search.analysis.promised_gain import PromisedGain, promised_gain
from hdap.search.problem.search_problem import SearchProblem


def test_a_network_promises_nothing_over_itself(fitted_problem: SearchProblem) -> None:
    counts = fitted_problem.uniform
    gain = promised_gain(fitted_problem, counts, counts)
    assert gain.predicted == pytest.approx(1.0)
    assert gain.doubt == pytest.approx(0.0, abs=1e-6)
    assert gain.promised == pytest.approx(1.0)


def test_a_promise_is_less_than_the_prediction_and_the_more_so_the_less_is_known(
    fitted_problem: SearchProblem,
) -> None:
    dense, uniform = fitted_problem.architecture.widths, fitted_problem.uniform
    near = uniform.copy()
    near[fitted_problem.space.free[0]] = fitted_problem.space.smallest[fitted_problem.space.free[0]]
    far, close = (promised_gain(fitted_problem, one, uniform) for one in (dense, near))
    assert far.promised < far.predicted
    assert close.promised < close.predicted
    assert far.doubt > close.doubt > 0.0
    assert far.low < far.promised < far.high


def test_what_two_predictions_share_cancels(fitted_problem: SearchProblem) -> None:
    one, other = fitted_problem.uniform, fitted_problem.best_uniform.counts
    near = one.copy()
    near[fitted_problem.space.free[-1]] = fitted_problem.space.smallest[
        fitted_problem.space.free[-1]
    ]
    apart = np.hypot(*fitted_problem.latency.predict(np.stack([one, near])).log_sd)
    assert promised_gain(fitted_problem, near, one).doubt < 0.5 * apart.min()
    assert promised_gain(fitted_problem, one, other).doubt == pytest.approx(
        promised_gain(fitted_problem, other, one).doubt, rel=0.2
    )


def test_models_that_cannot_compare_are_taken_for_independent(
    make_problem: Callable[..., SearchProblem],
) -> None:
    problem = make_problem()
    gain = promised_gain(problem, problem.uniform, problem.uniform)
    assert gain.doubt == pytest.approx(0.03 * np.sqrt(2.0))


def test_a_gain_within_its_doubt_is_worth_another_round_of_measuring() -> None:
    assert PromisedGain(1.02, 0.03).worth_measuring
    assert not PromisedGain(1.10, 0.03).worth_measuring
