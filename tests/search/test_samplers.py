import json
from collections.abc import Callable

import numpy as np
import optuna

from hdap.search.driver.run_search import run_search
from hdap.search.problem.search_problem import SearchProblem
from hdap.search.samplers.base import counts_of, distributions, parameters_of
from hdap.search.samplers.evolution import Evolution, EvolutionSettings
from hdap.search.samplers.fleet_sampler import FleetSampler

Make = Callable[..., SearchProblem]
SMALL = EvolutionSettings(population=16, children=64, tries=64, proposals=20)


def test_fleet_beats_random_and_uniform_by_far(make_problem: Make) -> None:
    problem = make_problem("resnet50", "1.0G")
    uniform = problem.evaluate(problem.uniform[None]).fleet_mean_ms[0]
    best = {}
    for name in ("fleet", "random"):
        trials = run_search(problem, name, trials=1000, seed=1).trials
        assert trials is not None
        best[name] = trials.fleet_mean_ms[trials.feasible].min()
    assert best["fleet"] < 0.945 * uniform
    assert best["fleet"] < 0.95 * best["random"]


def test_fleet_proposes_each_configuration_once_and_ends_better_than_it_began(
    make_problem: Make,
) -> None:
    trials = run_search(make_problem(), "fleet", trials=300).trials
    assert trials is not None
    assert len(np.unique(trials.counts, axis=0)) == 300
    best = np.minimum.accumulate(np.where(trials.feasible, trials.fleet_mean_ms, np.inf))
    assert best[299] < best[100] < best[0] < np.inf


def test_fleet_serves_an_ordinary_study_of_ones_own(make_problem: Make) -> None:
    problem = make_problem("mobilenetv1_100", "30%")
    sampler = FleetSampler(problem, seed=0, settings=SMALL)
    study = optuna.create_study(sampler=sampler)

    def objective(trial: optuna.Trial) -> float:
        for name, grid in distributions(problem.space).items():
            assert isinstance(grid, optuna.distributions.IntDistribution)
            trial.suggest_int(name, grid.low, grid.high)
        trial.suggest_float("dropout", 0.0, 0.5)
        return float(problem.scores(counts_of(problem.space, trial.params)[None]).value[0])

    study.optimize(objective, n_trials=40)
    rows = np.stack([counts_of(problem.space, t.params) for t in study.trials])
    assert problem.band.contains(problem.repair.flops(rows)).all()
    assert study.best_value < problem.scores(problem.uniform[None]).value[0]


def test_parameters_and_counts_are_each_others_inverse(make_problem: Make) -> None:
    space = make_problem("resnet50", "1.0G", fixed={"conv1": 33}).space
    counts = space.random(1, np.random.default_rng(0))[0]
    assert "conv1" not in parameters_of(space, counts)
    assert (counts_of(space, parameters_of(space, counts)) == counts).all()


def test_an_evolution_continues_from_its_state_to_the_bit(make_problem: Make) -> None:
    problem = make_problem("mobilenetv1_100", "30%")
    one = Evolution(problem, 5, SMALL)
    for _ in range(3):
        one.step()
    other = Evolution(problem, 99, SMALL)
    other.restore(json.loads(json.dumps(one.state())))
    for _ in range(12):
        assert (one.step() == other.step()).all()
    assert one.state() == other.state()


def test_the_best_survives_restarts(make_problem: Make) -> None:
    problem = make_problem("mobilenetv1_100", "30%", step=32)
    evolution = Evolution(problem, 0, SMALL)
    values = []
    for _ in range(40):
        evolution.step()
        values.append(problem.scores(evolution.best[None]).value[0])
    assert evolution.state()["restarts"] >= 2
    assert (np.diff(values) <= 0.0).all()
