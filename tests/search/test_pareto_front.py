import json
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hdap.fleet_data.errors import InputError
from hdap.fleet_data.records import Floats, TrialBatch
from hdap.search.analysis.answer import answer
from hdap.search.analysis.pareto_front import distances, front, values_of
from hdap.search.driver.run_search import ResumeState, run_search
from hdap.search.problem.budget import FlopsBand
from hdap.search.problem.dominance import nondominated
from hdap.search.problem.objectives import parse_goals
from hdap.search.problem.search_problem import SearchProblem
from hdap.search.samplers.front_sampler import parts

Make = Callable[..., SearchProblem]


@settings(deadline=None, max_examples=60)
@given(st.integers(0, 2**32 - 1), st.integers(1, 40), st.integers(1, 3))
def test_the_front_is_what_no_other_row_beats(seed: int, n: int, m: int) -> None:
    values = np.random.default_rng(seed).integers(0, 6, (n, m)).astype(np.float64)
    no_worse = (values[None] <= values[:, None]).all(axis=2)
    better = no_worse & (values[None] < values[:, None]).any(axis=2)
    earlier = no_worse & no_worse.T & np.tri(n, k=-1, dtype=np.bool_)
    expected = ~(better | earlier).any(axis=1)
    found = nondominated(values)
    assert len(np.unique(values[found], axis=0)) == found.sum()
    assert np.array_equal(np.unique(values[found], axis=0), np.unique(values[expected], axis=0))


def test_the_balanced_row_is_the_one_near_the_best_of_everything() -> None:
    values = np.array([[0.0, 10.0], [2.0, 2.0], [10.0, 0.0]])
    assert distances(values).argmin() == 1


def _several(make_problem: Make, objective: str, wide: bool = False) -> SearchProblem:
    problem = make_problem("mobilenetv1_100", "30%")
    low = int(problem.repair.flops(problem.space.smallest[None])[0]) if wide else problem.band.low
    return SearchProblem.build(
        problem.space,
        FlopsBand(low, problem.band.high),
        problem.latency,
        problem.fleet,
        goals=parse_goals(objective),
    )


def _volume(values: Floats, reference: Floats) -> float:
    """Area that a front of two objectives dominates below a reference point."""
    own = values[nondominated(values)]
    own = own[(own < reference).all(axis=1)]
    own = own[own[:, 0].argsort()]
    right = np.append(own[1:, 0], reference[0])
    return float(((right - own[:, 0]) * (reference[1] - own[:, 1])).sum())


def _trials(problem: SearchProblem, sampler: str, n: int, seed: int = 0) -> TrialBatch:
    found = run_search(problem, sampler, trials=n, seed=seed).trials
    assert found is not None
    return found


def test_the_fleet_samplers_front_holds_more_than_that_of_nsga2(make_problem: Make) -> None:
    problem = _several(make_problem, "mean,kept")
    ours, theirs = (_trials(problem, name, 300) for name in ("fleet", "nsga2"))
    reference = 1.05 * values_of(ours)[0]  # uniform pruning, and a bit
    volumes = [_volume(values_of(t)[t.feasible], reference) for t in (ours, theirs)]
    assert volumes[0] > 1.1 * volumes[1]
    assert ours.feasible.mean() > 0.5


@pytest.mark.parametrize("objective", ["mean,kept", "p95,mean", "mean,worst,kept"])
def test_a_front_has_distinct_trials_and_improves_on_uniform_pruning(
    make_problem: Make, objective: str
) -> None:
    problem = _several(make_problem, objective)
    trials = _trials(problem, "fleet", 400)
    rows = front(trials, problem.goals)
    assert len(np.unique(trials.counts, axis=0)) == 400
    assert sum(row.balanced for row in rows) == 1
    first = values_of(trials)[0]
    assert min(row.values[0] for row in rows) < 0.995 * first[0]
    assert [row.values[0] for row in rows] == sorted(row.values[0] for row in rows)


def test_flops_as_an_objective_spread_the_front_over_the_budget(make_problem: Make) -> None:
    problem = _several(make_problem, "mean,flops,kept", wide=True)
    trials = _trials(problem, "fleet", 150)
    flops = [row.flops for row in front(trials, problem.goals)]
    assert min(flops) < 0.6 * problem.band.high
    assert max(flops) > 0.9 * problem.band.high
    assert problem.floor == 0.0


def test_flops_without_kept_importance_are_refused(make_problem: Make) -> None:
    with pytest.raises(InputError, match="kept"):
        _several(make_problem, "mean,flops")


def test_every_part_keeps_the_floor_and_the_band_of_the_whole(make_problem: Make) -> None:
    problem = replace(_several(make_problem, "mean,kept"), floor=0.4)
    plain = parts(problem)
    assert len(plain) == 10
    assert all(part.floor >= 0.4 - 1e-12 for part in plain)
    wide = _several(make_problem, "mean,flops,kept", wide=True)
    assert all(wide.band.low <= part.band.high <= wide.band.high for part in parts(wide))


def test_a_front_that_was_interrupted_goes_on_as_if_it_never_stopped(make_problem: Make) -> None:
    problem = _several(make_problem, "mean,kept")
    whole = _trials(problem, "fleet", 500, seed=3)
    first = run_search(problem, "fleet", trials=210, seed=3)
    assert first.trials is not None
    state = json.loads(json.dumps(dict(first.sampler_state)))
    resumed = run_search(
        problem, "fleet", trials=500, seed=3, resume=ResumeState(first.trials, state)
    )
    assert resumed.trials is not None
    assert np.array_equal(resumed.trials.counts, whole.counts)
    assert resumed.trials.values is not None
    assert whole.values is not None
    assert np.array_equal(resumed.trials.values, whole.values)


@pytest.mark.parametrize("sampler", ["nsga2", "tpe", "random"])
def test_base_lines_search_for_several_objectives_and_resume(
    make_problem: Make, sampler: str
) -> None:
    problem = _several(make_problem, "mean,kept")
    first = _trials(problem, sampler, 12)
    more = run_search(problem, sampler, trials=20, resume=ResumeState(first, {})).trials
    assert more is not None
    assert len(more) == 20
    assert np.array_equal(more.counts[:12], first.counts)


def test_a_sampler_for_one_objective_names_those_for_several(make_problem: Make) -> None:
    with pytest.raises(InputError, match="nsga2"):
        _trials(_several(make_problem, "mean,kept"), "cmaes", 5)


def test_the_answer_of_several_objectives_is_the_front_and_its_balanced_trial(
    make_problem: Make,
) -> None:
    problem = _several(make_problem, "mean,kept")
    trials = _trials(problem, "fleet", 120)
    found = answer(problem, trials)
    balanced = next(row for row in found.front if row.balanced)
    assert int(found.numbers[0]) == balanced.number
    on_front = {row.number for row in found.front}
    assert set(found.numbers.tolist()) <= on_front
