"""One network for all or several: compared after a search, and stored with it."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np

from hdap.fleet_data.architecture import Counts
from hdap.fleet_data.errors import InputError
from hdap.fleet_data.records import Ints, NetworkRecord, TrialBatch
from hdap.fleet_data.store import Store
from hdap.search.analysis.per_cluster import Networks, networks
from hdap.search.driver.run_search import SearchResult
from hdap.workflows.search_fleet import Search


@dataclass(frozen=True)
class ClusterAssignment:
    """What was compared, and the trial that each of its networks is in the study."""

    found: Networks
    numbers: Ints


def compare_networks(
    store: Store,
    search: Search,
    result: SearchResult,
    best: Counts,
    progress: Callable[[int, int], None] | None = None,
) -> ClusterAssignment:
    """Compare one network for all (`best`: `groups`) with several, and store what was found.

    Networks that no trial of the study has yet become trials of it, so that each can be verified
    and pruned by its number. Raises InputError where the search has no trial.
    """
    trials = _trials(result)
    tried = trials.take(trials.feasible).counts
    found = networks(search.problem, best, tried, search.request.seed, progress=progress)
    known = {row.tobytes(): int(n) for row, n in zip(trials.counts, trials.number, strict=True)}
    fresh = np.array([row.tobytes() not in known for row in found.counts], dtype=np.bool_)
    first = int(trials.number.max()) + 1
    if fresh.any():
        now = np.full(int(fresh.sum()), np.datetime64(datetime.now(UTC).replace(tzinfo=None), "us"))
        seen = search.problem.evaluate(found.counts[fresh])
        new = seen.trials(np.arange(first, first + len(now)), now, now)
        store.append_trials(search.record.id, new, result.sampler_state)
        known |= {row.tobytes(): first + i for i, row in enumerate(new.counts)}
    numbers = np.array([known[row.tobytes()] for row in found.counts], dtype=np.int64)
    store.save_networks(search.record.id, _records(search.record.id, found, numbers))
    return ClusterAssignment(found, numbers)


def _trials(result: SearchResult) -> TrialBatch:
    if result.trials is None:
        raise InputError("networks can be compared after a search, but it has no trial yet")
    return result.trials


def _records(study_id: int, found: Networks, numbers: Ints) -> list[NetworkRecord]:
    seen = found.seen
    return [
        NetworkRecord(
            study_id=study_id,
            networks=split.networks,
            cluster=cluster,
            number=int(numbers[row]),
            latency_ms=float(seen.cluster_ms[row, cluster]),
            latency_low_ms=float(seen.cluster_low_ms[row, cluster]),
            latency_high_ms=float(seen.cluster_high_ms[row, cluster]),
            one_for_all_ms=float(seen.cluster_ms[0, cluster]),
            cost=float(seen.cluster_ms[0, cluster] / seen.cluster_ms[row, cluster] - 1.0),
            advised=split.networks == found.advised,
        )
        for split in found.splits
        for cluster, row in enumerate(split.rows.tolist())
    ]
