"""The fleet sampler in an Optuna study of your own, with an objective of your own.

    hdap ingest telemetry.csv && hdap search --model resnet50 --flops 1.0G
    python docs/examples/own_study.py hdap.db [STUDY]

Here a megabyte of download costs as much as so many milliseconds a device. The sampler proposes
networks in the FLOPs band that its surrogates predict to be fast; what a trial is worth is yours to
say, and parameters that are no width groups may be suggested beside the widths.
"""

import sys

import optuna

from hdap.fleet_data.store import Store
from hdap.search.problem.search_problem import SearchProblem
from hdap.search.samplers.base import FLOOR, counts_of
from hdap.search.samplers.fleet_sampler import FleetSampler
from hdap.workflows.build_problem import stored_problem

MS_PER_MEGABYTE = 0.1
BYTES = {"float32": 4, "float16": 2}


def search(problem: SearchProblem, trials: int = 300, seed: int = 0) -> optuna.Study:
    """An ordinary study: Optuna's storage, callbacks and plots work on it as on any other."""
    space = problem.space

    def objective(trial: optuna.Trial) -> float:
        for group in space.free:
            trial.suggest_int(space.architecture.groups[group].name, 0, int(space.sizes[group]) - 1)
        stored_as = trial.suggest_categorical("stored_as", list(BYTES))
        counts = counts_of(space, trial.params)
        found = problem.evaluate(counts[None])
        trial.set_constraint(FLOOR, float(found.scores.violation[0]))
        megabytes = float(found.parameters[0]) * BYTES[stored_as] / 1e6
        return float(found.ucb_ms[0]) + MS_PER_MEGABYTE * megabytes

    study = optuna.create_study(sampler=FleetSampler(problem, seed))
    study.optimize(objective, n_trials=trials)
    return study


def main(database: str, name: str | None = None) -> None:
    with Store.open(f"sqlite:///{database}", create=False) as store:
        problem, _ = stored_problem(store, store.study(name))
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = search(problem)
    counts = counts_of(problem.space, study.best_params)
    widths = zip(problem.architecture.groups, counts.tolist(), strict=True)
    print(f"{study.best_value:.2f} (predicted ms and megabytes), stored as", end=" ")
    print(study.best_params["stored_as"])
    print(";".join(f"{group.name}={count}" for group, count in widths))


if __name__ == "__main__":
    main(*sys.argv[1:])
