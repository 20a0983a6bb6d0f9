"""Fronts of several objectives on the bundled measured fleet: the fleet sampler against NSGA-II.

    python -m benchmarks.search.fronts --seconds 30 --seeds 5

Both get equal seconds on the same surrogates. What counts is the hypervolume that the feasible
trials dominate below uniform pruning at the whole budget made 10 % worse in every objective, each
objective in units of that point.
"""

import argparse
from importlib.resources import as_file, files
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from optuna._hypervolume import compute_hypervolume

from hdap.fleet_data.ingest.ingest_file import ingest
from hdap.fleet_data.records import TrialBatch
from hdap.fleet_data.store import Store
from hdap.networks.model_tracer import ModelTracer
from hdap.requests.search_request import SearchRequest
from hdap.search.driver.run_search import run_search
from hdap.search.problem.dominance import nondominated
from hdap.search.problem.search_problem import SearchProblem
from hdap.workflows.search_fleet import new_search

FLEET = "microfleet-resnet50.csv.gz"
GOALS = ("mean,kept", "mean,p95,kept", "mean,flops,kept")
WORSE = 1.1


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--seconds", type=float, default=30.0)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--samplers", default="fleet,nsga2")
    options = parser.parse_args()
    with TemporaryDirectory() as folder, Store.open(str(Path(folder) / "hdap.db")) as store:
        with as_file(files("hdap") / "data" / FLEET) as fleet:
            ingest(store, fleet, trace=ModelTracer(_quiet))
        for goals in GOALS:
            request = SearchRequest("resnet50", "1.0G", objective=goals)
            problem = new_search(store, request, None, _quiet).problem
            for sampler in options.samplers.split(","):
                found = [
                    _searched(problem, sampler, options.seconds, seed)
                    for seed in range(options.seeds)
                ]
                volumes = np.array([_volume(problem, trials) for trials in found])
                print(
                    f"{goals:<16} {sampler:<6} hypervolume {volumes.mean():.4f} "
                    f"({volumes.min():.4f}-{volumes.max():.4f}), "
                    f"{np.mean([len(trials) for trials in found]):,.0f} trials",
                    flush=True,
                )


def _searched(problem: SearchProblem, sampler: str, seconds: float, seed: int) -> TrialBatch:
    found = run_search(problem, sampler, trials=10**7, timeout=seconds, seed=seed).trials
    if found is None:
        raise SystemExit(f"{sampler} found no trial in {seconds} s: give more --seconds")
    return found


def _volume(problem: SearchProblem, trials: TrialBatch) -> float:
    worst = WORSE * problem.values(problem.uniform[None])[0]
    values = problem.values(trials.counts[trials.feasible]) / worst
    front = values[nondominated(values)]
    return float(compute_hypervolume(front[(front < 1.0).all(axis=1)], np.ones(len(worst))))


def _quiet(_: str) -> None:
    """Stages say nothing here."""


if __name__ == "__main__":
    main()
