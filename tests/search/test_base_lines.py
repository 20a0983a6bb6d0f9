import json
import subprocess
import sys
from collections.abc import Callable

import numpy as np
import pytest

from hdap.search.driver.run_search import ResumeState, run_search
from hdap.search.problem.budget import FlopsBand
from hdap.search.problem.search_problem import SearchProblem
from hdap.search.samplers.netadapt_sampler import NetAdaptSampler

Make = Callable[..., SearchProblem]
GREEDY = ("netadapt", "halp")

TORCH_FREE = """
import sys
from pathlib import Path
import numpy as np
from hdap.fleet_data.architecture import Architecture
from hdap.search.problem.budget import band
from hdap.search.problem.fleet_weights import FleetWeights
from hdap.search.problem.budget import FlopsBand
from hdap.search.problem.search_problem import SearchProblem
from hdap.search.samplers.registry import SAMPLERS
from hdap.search.problem.search_space import SearchSpace
from hdap.search.driver.run_search import ResumeState, run_search
from hdap.surrogate.models.base import Prediction
from hdap.fleet_data.costs import flops

class Flops:
    def predict(self, counts):
        log_ms = np.log(flops(architecture, counts) / 1e8)[:, None]
        return Prediction(log_ms, np.zeros_like(log_ms))

architecture = Architecture.from_json(Path(sys.argv[1]).read_text())
space = SearchSpace.build(architecture, 8)
weights = FleetWeights(np.ones(1), np.ones((1, 1)), np.ones((1, 1)))
problem = SearchProblem.build(space, band(150_000_000), Flops(), weights)
for name in SAMPLERS:
    if name != "gp":
        run_search(problem, name, trials=12)
print("torch" in sys.modules)
run_search(problem, "gp", trials=12)
print("torch" in sys.modules)
"""


def test_only_the_gaussian_process_loads_torch(pytestconfig: pytest.Config) -> None:
    file = pytestconfig.rootpath / "tests" / "data" / "mobilenetv1_100.architecture.json"
    done = subprocess.run(
        [sys.executable, "-c", TORCH_FREE, str(file)], capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == ["False", "True"]


@pytest.mark.parametrize("sampler", GREEDY)
@pytest.mark.parametrize("cut", [7, 40])
def test_greedy_base_lines_go_on_as_if_they_never_stopped(
    make_problem: Make, sampler: str, cut: int
) -> None:
    problem = make_problem("mobilenetv1_100", "30%")
    whole = run_search(problem, sampler, trials=60, seed=4).trials
    first = run_search(problem, sampler, trials=cut, seed=4)
    assert first.trials is not None
    assert whole is not None
    state = json.loads(json.dumps(dict(first.sampler_state)))
    resumed = run_search(
        problem, sampler, trials=60, seed=4, resume=ResumeState(first.trials, state)
    ).trials
    assert resumed is not None
    assert (resumed.counts == whole.counts).all()


@pytest.mark.parametrize(("sampler", "over_uniform"), [("halp", 1.0), ("netadapt", 1.1)])
def test_greedy_base_lines_come_near_the_best_uniform_network_or_beat_it(
    make_problem: Make, sampler: str, over_uniform: float
) -> None:
    problem = make_problem("mobilenetv1_100", "30%")
    trials = run_search(problem, sampler, trials=200, seed=1).trials
    assert trials is not None
    others = trials.feasible & (trials.counts != problem.uniform).any(axis=1)
    uniform = problem.evaluate(problem.uniform[None]).ucb_ms[0]
    assert trials.ucb_ms[others].min() < over_uniform * uniform


def test_the_first_pass_of_netadapt_is_the_same_for_every_seed_and_ends_at_the_budget(
    make_problem: Make,
) -> None:
    problem = make_problem("mobilenetv1_100", "30%")
    one, other = (NetAdaptSampler(problem, seed) for seed in (0, 1))
    largest = float(problem.repair.flops(problem.space.widest[None])[0])
    steps = 0
    while largest > problem.band.high:
        assert (one.propose() == other.propose()).all()
        largest = float(problem.repair.flops(np.array(one.state()["current"])[None])[0])
        steps += 1
    assert 10 <= steps <= 40


def test_each_step_of_netadapt_shrinks_one_group_and_frees_what_it_should(
    make_problem: Make,
) -> None:
    problem = make_problem("resnet50", "1.0G")
    sampler = NetAdaptSampler(problem)
    sampler.propose()
    current = np.array([problem.space.widest])
    for _ in range(5):
        sampler.propose()
        after = np.array([sampler.state()["current"]])
        assert (after != current).sum() == 1
        assert (after <= current).all()
        assert problem.ucb_ms(after)[0] <= 0.9 * problem.ucb_ms(current)[0] * (1 + 1e-12)
        current = after


@pytest.mark.parametrize("sampler", GREEDY)
def test_greedy_base_lines_keep_to_a_latency_budget_and_keep_more_than_uniform_pruning(
    make_problem: Make, sampler: str
) -> None:
    given = make_problem("resnet50", "1.0G")
    widest = given.space.widest[None]
    limit = 0.4 * float(given.ucb_ms(widest)[0])
    problem = SearchProblem.build(
        given.space,
        FlopsBand(1, int(given.repair.flops(widest)[0])),
        given.latency,
        given.fleet,
        given.importance,
        limit_ms=limit,
    )
    trials = run_search(problem, sampler, trials=200, seed=1).trials
    assert trials is not None
    found = trials.counts[trials.feasible]
    assert (problem.ucb_ms(found) <= limit * (1 + 1e-6)).all()
    uniform = problem.importance.kept(problem.uniform[None])[0]
    assert problem.importance.kept(found).max() > 1.02 * uniform
