"""What it costs to share a study: one process, worker processes, and Optuna's storages.

    python -m benchmarks.search.sharing [--trials 400] [--seconds 10] [--storage postgresql://...]

First the milliseconds that one finished trial of ResNet-50 (37 parameters) takes in each ledger.
Then searches of the measured fleet with equal seconds: the best feasible fleet mean (predicted),
trials, and configurations scored a second. `--storage` adds a storage of your own, such as a real
PostgreSQL or a gRPC proxy in front of it; it gets studies of its own there.
"""

import argparse
import tempfile
import time
import uuid
from collections.abc import Callable

import numpy as np

from benchmarks.search.settings import setting
from hdap.search.driver.ledger import Ledger, LocalLedger
from hdap.search.driver.optuna_ledger import OptunaLedger
from hdap.search.driver.optuna_storage import open_storage
from hdap.search.driver.proposal_source import trials_of
from hdap.search.driver.run_search import SearchResult, best_mean_ms, drive, run_search
from hdap.search.driver.worker_pool import WorkerPool
from hdap.search.problem.search_problem import SearchProblem
from hdap.search.samplers.study_sampler import quiet_optuna

SETTING = "resnet50:measured"
STEP = 8
SAMPLE = 50
UNLIMITED = 10**9


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trials", type=int, default=400)
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--workers", default="1,2")
    parser.add_argument("--storage", action="append", default=[])
    options = parser.parse_args()
    problem = setting(SETTING, STEP).problem
    with quiet_optuna(), tempfile.TemporaryDirectory() as folder:
        places = [f"{folder}/optuna.journal", f"sqlite:///{folder}/optuna.db", *options.storage]
        show_costs(problem, places)
        show_searches(problem, places, options.trials, options.seconds, options.workers)


def ledger(problem: SearchProblem, place: str | None, limit: int) -> Ledger:
    """A ledger of a new study, in this process or in Optuna's storage at `place`."""
    if place is None:
        return LocalLedger(limit)
    return OptunaLedger(open_storage(place), f"benchmark-{uuid.uuid4().hex}", problem, limit)


def show_costs(problem: SearchProblem, places: list[str]) -> None:
    counts = problem.repair(problem.space.random(SAMPLE, np.random.default_rng(0)))
    trials = trials_of(problem, counts)
    print(f"{'ledger':<14}{'ms a trial, added':>20}{'ms a trial, read':>20}")
    for place in (None, *places):
        book = ledger(problem, place, UNLIMITED)
        added = _seconds(lambda book=book: book.add(trials))  # type: ignore[misc]
        read = _seconds(book.news)
        print(f"{_kind(place):<14}{1e3 * added / SAMPLE:>20.2f}{1e3 * read / SAMPLE:>20.2f}")


def show_searches(
    problem: SearchProblem, places: list[str], trials: int, seconds: float, workers: str
) -> None:
    print(f"\n{'search':<24}{'best ms':>10}{'trials':>9}{'seconds':>9}{'scored a second':>17}")
    _row("one process", run_search(problem, timeout=seconds, trials=UNLIMITED))
    for place in (None, *places):
        for count in map(int, workers.split(",")):
            book = ledger(problem, place, UNLIMITED if place is None else trials)
            found = drive(WorkerPool(problem, count), book, timeout=seconds)
            _row(f"{_kind(place)}, {count} worker{'s' * (count > 1)}", found)


def _row(name: str, found: SearchResult) -> None:
    best = np.inf if found.trials is None else best_mean_ms(found.trials)
    count = 0 if found.trials is None else len(found.trials)
    rate = found.scored / found.seconds
    print(f"{name:<24}{best:>10.3f}{count:>9,}{found.seconds:>9.1f}{rate:>17,.0f}")


def _kind(place: str | None) -> str:
    if place is None:
        return "this process"
    return "journal" if "://" not in place else place.partition("://")[0]


def _seconds(call: Callable[[], object]) -> float:
    started = time.perf_counter()
    call()
    return time.perf_counter() - started


if __name__ == "__main__":
    main()
