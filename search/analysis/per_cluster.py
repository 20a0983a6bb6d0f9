"""The price of one network for all: what clusters would gain from networks of their own."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from hdap.fleet_data.architecture import Counts
from hdap.fleet_data.errors import InputError
from hdap.fleet_data.records import Floats, Ints
from hdap.fleet_data.wording import percent
from hdap.search.problem.evaluation import Evaluation
from hdap.search.problem.search_problem import SearchProblem
from hdap.search.samplers.evolution import Evolution
from hdap.surrogate.models.base import Z90

GENERATIONS = 12
MOST_NETWORKS = 8
"""Numbers of networks from 1 to this are looked at, and one for each cluster."""
THRESHOLD = 0.02
"""One more network is a product more to train, test and ship: it must save so much of the fleet
mean beyond doubt."""
ROUNDS = 20


@dataclass(frozen=True)
class Split:
    """The fleet served by so many `networks`: cluster k gets row `rows[k]` of `Networks.counts`.

    `gain` is the fraction of the fleet mean that it saves over one network less (0 for the first),
    `doubt` one standard deviation of that: the errors of two networks are taken as independent as
    far as their width groups differ, those of clusters as fully correlated, which is wider than the
    truth rather than narrower. All are predicted; `fleet_mean_ms` in ms.
    """

    networks: int
    rows: Ints
    fleet_mean_ms: float
    gain: float
    doubt: float


@dataclass(frozen=True)
class Networks:
    """Splits by number of networks, the last with one for each cluster where there are few.

    `counts` (`m x groups`) are all networks that a split uses, the one for all first; `seen` what
    is predicted of them. `advised` is the number of networks where one more no longer pays.
    """

    counts: Counts
    seen: Evaluation
    splits: tuple[Split, ...]
    advised: int
    threshold: float = THRESHOLD

    @property
    def own(self) -> Split:
        """The split with the most networks."""
        return self.splits[-1]

    @property
    def costs(self) -> Floats:
        """By which fraction the one network for all is slower than the best of each cluster: K."""
        ms, every = self.seen.cluster_ms, np.arange(self.seen.cluster_ms.shape[1])
        return np.asarray(ms[0] / ms[self.own.rows, every] - 1.0)

    @property
    def chosen(self) -> Split:
        """The advised split."""
        return next(split for split in self.splits if split.networks == self.advised)

    @property
    def words(self) -> str:
        """The advice in one line."""
        needed = f"one more must save {percent(self.threshold)} of the fleet mean beyond doubt"
        if self.advised > 1:
            saved = 1.0 - self.chosen.fleet_mean_ms / self.splits[0].fleet_mean_ms
            told = f"{self.advised} networks: predicted {percent(saved)} faster than one"
            return f"{told} ({needed})"
        if len(self.splits) == 1:
            return "one network: the fleet is one cluster"
        best = self.splits[1]
        told = f"a second saves {percent(best.gain)} with a doubt of {percent(best.doubt)}"
        return f"one network: {told} ({needed})"


def check_per_cluster(wanted: bool, problem: SearchProblem) -> None:
    """Raise InputError where networks by cluster cannot be compared by the fleet mean."""
    if wanted and (problem.goals.text != "mean" or problem.limit_ms is not None):
        raise InputError(
            f"`--per-cluster` compares fleet means at one FLOPs budget, so it needs `--objective "
            f"mean` and no `--latency`, but got objective={problem.goals.text} with "
            f"limit_ms={problem.limit_ms}: leave one of them out"
        )


def networks(
    problem: SearchProblem,
    found: Counts,
    tried: Counts,
    seed: int = 0,
    threshold: float = THRESHOLD,
    progress: Callable[[int, int], None] | None = None,
) -> Networks:
    """One network for all (`found`: `groups`), two, ..., up to one for each cluster.

    Networks come from `tried` (`n x groups`, feasible) and from searches for single clusters and
    for the groups of clusters that share a network; which k of them serve the fleet best is the
    p-median problem, solved by greedy addition and interchange (Teitz and Bart, 1968).
    """
    pool = _Pool(problem, np.vstack([found[None], tried]), seed)
    clusters = np.flatnonzero(problem.fleet.mean > 0.0)
    for cluster in clusters.tolist() if len(clusters) > 1 else []:
        pool.search(cluster)
    chosen, assigned = [0], [pool.assigned([0])]
    most = min(len(clusters), MOST_NETWORKS)
    for number in range(2, most + 1):
        chosen = pool.interchanged([*chosen, pool.best_addition(chosen)])
        for group in pool.groups(chosen):
            pool.search(*group)
        chosen = pool.interchanged(chosen)
        assigned.append(pool.assigned(chosen))
        if progress:
            progress(number, most)
    if len(clusters) > most:
        assigned.append(pool.costs.argmin(axis=0))
    return _told(problem, pool.counts, assigned, threshold)


class _Pool:
    """Candidate networks and what each costs each cluster, doubt included (`m x K`, ms weighted by
    the cluster's share of the fleet mean)."""

    def __init__(self, problem: SearchProblem, counts: Counts, seed: int) -> None:
        self.problem, self.seed = problem, seed
        self.counts, self.costs = counts, self._costs(counts)
        self._searched: set[tuple[int, ...]] = {tuple(np.flatnonzero(problem.fleet.mean > 0.0))}

    def search(self, *clusters: int) -> None:
        """Add the best network for these clusters, unless they were searched for before."""
        if not clusters or clusters in self._searched:
            return
        self._searched.add(clusters)
        own = Evolution(self.problem.for_cluster(*clusters), self.seed)
        for _ in range(GENERATIONS):
            own.step()
        best = own.best[None]
        if self.problem.violation(best)[0] == 0.0:
            self.counts = np.vstack([self.counts, best])
            self.costs = np.vstack([self.costs, self._costs(best)])

    def assigned(self, chosen: list[int]) -> Ints:
        """For each cluster the row that serves it best among the chosen: K."""
        found: Ints = np.array(chosen)[self.costs[chosen].argmin(axis=0)]
        return found

    def groups(self, chosen: list[int]) -> list[tuple[int, ...]]:
        """The clusters that share a network, for each chosen row."""
        rows, real = self.assigned(chosen), self.problem.fleet.mean > 0.0
        return [tuple(np.flatnonzero((rows == row) & real).tolist()) for row in chosen]

    def best_addition(self, chosen: list[int]) -> int:
        """The row that helps most beside the chosen."""
        served = self.costs[chosen].min(axis=0)
        return int(np.minimum(self.costs, served).sum(axis=1).argmin())

    def interchanged(self, chosen: list[int]) -> list[int]:
        """The chosen rows, each replaced by a better one as long as there is any."""
        best, total = list(chosen), float(self.costs[chosen].min(axis=0).sum())
        for _ in range(ROUNDS):
            before = total
            for place in range(len(best)):
                others = best[:place] + best[place + 1 :]
                row = self.best_addition(others) if others else int(self.costs.sum(1).argmin())
                now = float(self.costs[[*others, row]].min(axis=0).sum())
                if now < total * (1.0 - 1e-9):
                    best[place], total = row, now
            if total == before:
                break
        return best

    def _costs(self, counts: Counts) -> Floats:
        found = self.problem.latency.predict(counts)
        cautious = np.exp(found.log_ms + self.problem.risk * found.log_sd)
        return np.asarray(cautious * self.problem.fleet.mean)


def _told(problem: SearchProblem, pool: Counts, assigned: list[Ints], threshold: float) -> Networks:
    used = np.unique(np.concatenate(assigned))  # the one for all is row 0
    counts = pool[used]
    seen = problem.evaluate(counts)
    rows = [np.searchsorted(used, own) for own in assigned]
    splits: list[Split] = []
    advised, still = 1, True
    for own in rows:
        split = _split(problem, seen, own, splits[-1] if splits else None)
        if splits and split.networks == splits[-1].networks:
            continue
        still = still and (not splits or split.gain - split.doubt >= threshold)
        splits.append(split)
        advised = split.networks if still else advised
    return Networks(counts, seen, tuple(splits), advised, threshold)


def _split(problem: SearchProblem, seen: Evaluation, rows: Ints, before: Split | None) -> Split:
    every = np.arange(len(rows))
    ms = seen.cluster_ms[rows, every] * problem.fleet.mean
    real = problem.fleet.mean > 0.0
    number, total = len(np.unique(rows[real])), float(ms.sum())
    if before is None:
        return Split(number, rows, total, 0.0, 0.0)
    sd = np.log(seen.cluster_high_ms / seen.cluster_ms) / Z90
    differing = (seen.counts[rows] != seen.counts[before.rows]).mean(axis=1)
    each = np.hypot(sd[rows, every], sd[before.rows, every]) * np.sqrt(differing)
    doubt = float(ms @ each) / before.fleet_mean_ms
    return Split(number, rows, total, 1.0 - total / before.fleet_mean_ms, doubt)
