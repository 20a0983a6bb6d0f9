"""What a finished or stopped search says: its answer, and how good that is."""

from dataclasses import replace

import numpy as np

from hdap.fleet_data.errors import InputError
from hdap.fleet_data.store import Store
from hdap.search.analysis.answer import Answer, answer
from hdap.search.analysis.single_cluster_baseline import (
    SingleClusterBaseline,
    single_cluster_baseline,
)
from hdap.search.driver.run_search import SearchResult
from hdap.search.exact.lower_bound import lower_bound
from hdap.search.sizes.sizes_worth import SizesWorth, sizes_worth
from hdap.workflows.fleet_as_asked import device_speeds
from hdap.workflows.search_fleet import Search


def summarize_search(search: Search, result: SearchResult) -> tuple[Answer, SingleClusterBaseline]:
    """The answer of a finished or stopped search, and what knowing the fleet was worth.

    Raises:
        InfeasibleError: no trial keeps the floor within the band.
    """
    found = answer_of(search, result)
    counts, seed = found.found.counts, search.request.seed
    return found, single_cluster_baseline(search.problem, counts, seed)


def worth_of_sizes(store: Store, search: Search, found: Answer) -> SizesWorth | None:
    """What several networks would let the fleet keep within what the answer takes; None where the
    answer is no network for one latency in ms."""
    problem = search.problem
    if problem.goals.several or problem.goals.first.unit != "ms":
        return None
    devices = device_speeds(store, search.request, search.clustering)
    return sizes_worth(problem, devices, found.found.counts)


def answer_of(search: Search, result: SearchResult) -> Answer:
    """The answer of a finished or stopped search. Raises as `summarize_search`."""
    if result.trials is None:
        raise InputError("the search was stopped before its first trial; let it run longer")
    return answer(search.problem, result.trials, search.dense_ms)


def certified(search: Search, found: Answer) -> float | None:
    """How far (a fraction) the answer is at most above the best possible for these surrogates.

    By what the search minimised, doubt included; None where nothing can be said (`lower_bound`).
    Where few configurations meet the budget the best of them is known.
    """
    problem, counts = search.problem, found.found.counts[None]
    bound = lower_bound(problem)
    if bound is None:
        return None
    least = bound.value_ms
    if problem.every is not None:
        scores = problem.scores(np.vstack([counts, problem.every]))
        least = max(least, float(scores.value[scores.violation == 0.0].min()))
    return replace(bound, value_ms=least).gap(float(problem.ucb_ms(counts)[0]))
