import json
import os
import signal
import time
from collections.abc import Callable, Mapping
from dataclasses import fields, replace
from typing import Any

import numpy as np
import pytest

from hdap.fleet_data.errors import InputError
from hdap.fleet_data.records import TrialBatch
from hdap.search.driver.run_search import (
    ResumeState,
    SearchProgress,
    SearchResult,
    deferred_interrupt,
    run_search,
)
from hdap.search.problem.evaluation import joined
from hdap.search.problem.objectives import parse_goals
from hdap.search.problem.search_problem import SearchProblem

Make = Callable[..., SearchProblem]
TIMES = ("started_at", "finished_at")


@pytest.fixture
def problem(make_problem: Make) -> SearchProblem:
    return make_problem("mobilenetv1_100", "30%")


def _trials(result: SearchResult) -> TrialBatch:
    assert result.trials is not None
    return result.trials


def _same(one: TrialBatch, other: TrialBatch) -> bool:
    names = [f.name for f in fields(TrialBatch) if f.name not in TIMES]
    return all(np.array_equal(getattr(one, n), getattr(other, n)) for n in names)


@pytest.mark.parametrize("sampler", ["fleet", "ncs", "random"])
@pytest.mark.parametrize("cut", [47, 130])
def test_a_resumed_study_has_the_trials_of_one_that_never_stopped(
    problem: SearchProblem, sampler: str, cut: int
) -> None:
    whole = _trials(run_search(problem, sampler, trials=200, seed=4))
    first = run_search(problem, sampler, trials=cut, seed=4)
    state = json.loads(json.dumps(dict(first.sampler_state)))
    resume = ResumeState(_trials(first), state)
    assert _same(_trials(run_search(problem, sampler, trials=200, seed=4, resume=resume)), whole)


def test_a_study_whose_state_was_lost_goes_on_with_new_configurations(
    problem: SearchProblem,
) -> None:
    first = _trials(run_search(problem, trials=100))
    whole = _trials(run_search(problem, trials=200, resume=ResumeState(first)))
    assert len(np.unique(whole.counts, axis=0)) == 200


def test_batches_hold_every_trial_once_and_in_order(problem: SearchProblem) -> None:
    batches: list[TrialBatch] = []
    result = run_search(problem, "tpe", trials=60, on_batch=lambda b, _: batches.append(b))
    assert _same(joined(*batches), _trials(result))


def test_no_trial_waits_longer_than_a_second(problem: SearchProblem) -> None:
    lateness: list[float] = []

    def on_batch(batch: TrialBatch, _: Mapping[str, Any]) -> None:
        age = np.datetime64(int(time.time() * 1e6), "us") - batch.finished_at.min()
        lateness.append(float(age / np.timedelta64(1, "s")))

    run_search(problem, "random", trials=10**6, timeout=1.6, on_batch=on_batch)
    assert len(lateness) >= 2
    assert max(lateness) < 1.0


def test_a_timeout_ends_a_search_and_keeps_what_was_found(problem: SearchProblem) -> None:
    result = run_search(problem, trials=10**6, timeout=0.3)
    assert result.stopped == "timeout"
    assert 0.3 <= result.seconds < 3.0
    assert len(_trials(result)) >= 50


def test_should_stop_ends_a_search_and_hands_on_every_trial(problem: SearchProblem) -> None:
    batches: list[TrialBatch] = []
    calls = iter(range(100))
    result = run_search(
        problem,
        trials=10**6,
        on_batch=lambda b, _: batches.append(b),
        should_stop=lambda: next(calls) >= 3,
    )
    assert result.stopped == "stopped"
    assert len(_trials(result)) == sum(map(len, batches)) == 150


def test_stopping_before_the_first_trial_gives_none(problem: SearchProblem) -> None:
    result = run_search(problem, should_stop=lambda: True)
    assert result.trials is None
    assert result.stopped == "stopped"


def test_ctrl_c_anywhere_keeps_what_was_found_and_resumes_as_if_it_never_came(
    problem: SearchProblem,
) -> None:
    batches: list[TrialBatch] = []
    states: list[Mapping[str, Any]] = []

    def on_batch(batch: TrialBatch, state: Mapping[str, Any]) -> None:
        batches.append(batch)
        states.append(state)

    def interrupt(progress: SearchProgress) -> None:
        if progress.done >= 150:
            raise KeyboardInterrupt

    result = run_search(problem, trials=400, seed=2, on_batch=on_batch, progress=interrupt)
    assert result.stopped == "interrupted"
    assert _same(joined(*batches), _trials(result))
    resume = ResumeState(joined(*batches), states[-1])
    whole = _trials(run_search(problem, trials=400, seed=2, resume=resume))
    assert _same(whole, _trials(run_search(problem, trials=400, seed=2)))


def test_a_real_ctrl_c_while_a_batch_is_stored_waits_for_it(problem: SearchProblem) -> None:
    stored: list[int] = []

    def on_batch(batch: TrialBatch, _: Mapping[str, Any]) -> None:
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(0.01)
        stored.extend(batch.number.tolist())

    result = run_search(problem, trials=10**6, on_batch=on_batch)
    assert result.stopped == "interrupted"
    assert stored == _trials(result).number.tolist()


def test_a_batch_that_a_callback_refused_is_offered_again(problem: SearchProblem) -> None:
    offered: list[int] = []

    def on_batch(batch: TrialBatch, _: Mapping[str, Any]) -> None:
        offered.append(len(batch))
        if len(offered) == 1:
            raise KeyboardInterrupt

    result = run_search(problem, trials=10**6, on_batch=on_batch)
    assert result.stopped == "interrupted"
    assert offered == [len(_trials(result))] * 2


def test_an_error_in_a_callback_is_not_swallowed(problem: SearchProblem) -> None:
    def on_batch(batch: TrialBatch, _: Mapping[str, Any]) -> None:
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        run_search(problem, trials=50, on_batch=on_batch)


def test_progress_tells_the_best_feasible_latency(problem: SearchProblem) -> None:
    told: list[SearchProgress] = []
    trials = _trials(run_search(problem, trials=200, progress=told.append))
    assert [p.done for p in told] == [50, 100, 150, 200]
    assert told[-1].best_ms == trials.fleet_mean_ms[trials.feasible].min()
    assert told[0].best_ms >= told[-1].best_ms


@pytest.mark.parametrize("wrong", [{"trials": 0}, {"timeout": 0.0}, {"timeout": -1.0}])
def test_what_is_out_of_range_is_refused(problem: SearchProblem, wrong: dict[str, Any]) -> None:
    with pytest.raises(InputError, match=next(iter(wrong))):
        run_search(problem, **wrong)


def test_a_deferred_interrupt_comes_at_the_end() -> None:
    reached: list[bool] = []

    def interrupted() -> None:
        with deferred_interrupt():
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(0.01)
            reached.append(True)

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert reached


def test_a_search_settles_when_so_many_trials_brought_nothing_better(
    problem: SearchProblem,
) -> None:
    settled = run_search(problem, trials=100_000, patience=400)
    trials = _trials(settled)
    assert settled.stopped == "settled"
    best = np.where(trials.feasible, trials.ranking, np.inf).argmin()
    assert 400 <= len(trials) - 1 - best < 450
    patient = _trials(run_search(problem, trials=len(trials), patience=100_000))
    assert (patient.counts == trials.counts).all()


def test_a_resumed_search_remembers_how_long_nothing_was_better(problem: SearchProblem) -> None:
    whole = run_search(problem, trials=100_000, patience=300)
    first = run_search(problem, trials=150)
    before = ResumeState(_trials(first), first.sampler_state)
    resumed = run_search(problem, trials=100_000, patience=300, resume=before)
    assert resumed.stopped == "settled"
    assert len(_trials(resumed)) == len(_trials(whole))


def test_patience_needs_one_objective_and_a_number(problem: SearchProblem) -> None:
    with pytest.raises(InputError, match="patience"):
        run_search(problem, patience=0)
    with pytest.raises(InputError, match="one objective"):
        run_search(replace(problem, goals=parse_goals("mean,kept")), patience=10)
