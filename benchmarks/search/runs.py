"""Searches of the search benchmark: one process a run, and what was found by when."""

import importlib
import multiprocessing
import os
from collections.abc import Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from benchmarks.search.settings import Setting, hdap_setting, setting
from hdap.fleet_data.records import Floats
from hdap.search.driver.run_search import SearchProgress, run_search

HDAP = "ncs-hdap"
"""HDAP's search in HDAP's own setting; its answers are judged as all others are."""
PATIENCE = 3.0
"""A sampler that has not had its evaluations after so many times its seconds stops all the same."""


@dataclass(frozen=True)
class Task:
    """One search; it ends when it had `seconds` and `evaluations`."""

    setting: str
    step: int
    sampler: str
    seed: int
    seconds: float
    evaluations: int = 0


@dataclass(frozen=True)
class Curve:
    """The answer that a search would have given after so many seconds and evaluations, m each.

    `ms` is what it is worth, judged; `kept` its kept importance. The last three describe the whole
    run.
    """

    task: Task
    at_seconds: Floats
    at_scored: Floats
    ms: Floats
    kept: Floats
    seconds: float
    scored: int
    trials: int

    def after(self, axis: Floats, limit: float) -> float:
        """The answer within the limit; NaN before there was one."""
        had = np.flatnonzero(axis <= limit)
        return float(self.ms[had[-1]]) if len(had) else np.nan

    def seconds_to(self, ms: float) -> float:
        """When an answer was first no worse than `ms`; infinite if never."""
        return float(min(self.at_seconds[self.ms <= ms * (1.0 + 1e-9)], default=np.inf))


def run_all(tasks: Iterable[Task], processes: int) -> Iterator[Curve]:
    """Curves as they are done, each process on one thread."""
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        os.environ[name] = "1"
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(processes, mp_context=context) as pool:
        for done in as_completed([pool.submit(run, task) for task in tasks]):
            yield done.result()


def run(task: Task) -> Curve:
    """One search."""
    if task.sampler == "gp":
        importlib.import_module("torch")  # loading it is no part of searching
    given = cached_setting(task.setting, task.step)
    hdap = task.sampler == HDAP
    problem = hdap_setting(given.problem) if hdap else given.problem
    told: list[SearchProgress] = []

    def enough() -> bool:
        if not told or told[-1].seconds < task.seconds:
            return False
        late = told[-1].seconds >= PATIENCE * task.seconds
        return late or told[-1].scored >= task.evaluations

    name = "ncs" if hdap else task.sampler
    found = run_search(
        problem, name, 10**9, seed=task.seed, progress=told.append, should_stop=enough
    )
    trials = found.trials
    assert trials is not None
    value = np.where(trials.feasible, trials.ucb_ms, np.inf)
    before = np.minimum.accumulate(np.concatenate([[np.inf], value[:-1]]))
    better = np.flatnonzero(value < before)
    done, scored, seconds = np.array([(p.done, p.scored, p.seconds) for p in told]).T
    batch = np.searchsorted(done, better, side="right")
    counts = trials.counts[better]
    return Curve(
        task,
        seconds[batch],
        scored[batch],
        given.judge(counts),
        given.problem.importance.kept(counts),
        found.seconds,
        found.scored,
        len(trials),
    )


@lru_cache(maxsize=2)
def cached_setting(name: str, step: int) -> Setting:
    """A setting, made once in a process: tasks come setting by setting."""
    return setting(name, step)
