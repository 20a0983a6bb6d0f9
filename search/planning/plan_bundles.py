"""Which configurations the representatives measure next.

A plan is a few bundles of configurations. Bundle b goes to representative b (in turn, where a
cluster has fewer) of every cluster, so every cluster sees every configuration, a device measures
only its share, configurations tie clusters together, and few networks have to be exported.
"""

from dataclasses import dataclass

import numpy as np

from hdap.fleet_data.architecture import Architecture, Counts
from hdap.fleet_data.errors import InputError, NotEnoughDataError
from hdap.fleet_data.records import Bools, ClusteringRecord, Floats, Ints
from hdap.fleet_data.software import DEFAULT_RUN_BY, RunBy
from hdap.search.planning.candidate_pool import anchors, shape_of

DEFAULT_PER_CLUSTER = 50
ANCHORS = 2
LEAST_FOR_ANCHORS = 6
"""Configurations a bundle must have room for before it carries anchors."""


@dataclass(frozen=True)
class PlannedBundle:
    """What one folder holds: `anchors` and `candidates` (m x G), for `run_by`, and the `devices` it
    goes to."""

    name: str
    devices: tuple[str, ...]
    anchors: Counts
    candidates: Counts
    run_by: RunBy = DEFAULT_RUN_BY

    def __len__(self) -> int:
        """Pruned configurations."""
        return len(self.anchors) + len(self.candidates)

    @property
    def measurements(self) -> int:
        """Measurements of pruned networks that it asks for, over all its devices."""
        return len(self) * len(self.devices)


@dataclass(frozen=True)
class Pool:
    """What can be chosen: `counts` (n x G), the `stratum` of each and its `interest` (> 0).

    Interest is how much there is to learn; all 1 for a space-filling batch. Rows that are `near`
    belong to the neighbourhood of a search's best trials.
    """

    counts: Counts
    stratum: Ints
    interest: Floats
    near: Bools

    def at(self, rows: Bools) -> "Pool":
        """The chosen rows."""
        return Pool(self.counts[rows], self.stratum[rows], self.interest[rows], self.near[rows])


def size_of_batch(clusters: int, budget: int | None, per_cluster: int | None) -> int:
    """Configurations that each cluster measures; `budget` counts measurements over all clusters.

    Raises:
        InputError: the budget does not pay one configuration a cluster.
    """
    for name, value in (("--budget", budget), ("--per-cluster", per_cluster)):
        if value is not None and value < 1:
            raise InputError(f"`{name}` must be at least 1, but got {value}; give 50 or so")
    if budget is None:
        return per_cluster or DEFAULT_PER_CLUSTER
    if budget < clusters:
        raise InputError(
            f"`--budget` must pay at least one measurement for each of {clusters} clusters, but "
            f"got {budget}; give {clusters} or more ({20 * clusters} is a good start)"
        )
    return min(budget // clusters, per_cluster or budget)


def plan_bundles(
    architecture: Architecture,
    clustering: ClusteringRecord,
    pool: Pool,
    measured: Counts,
    band: tuple[int, int],
    configurations: int,
) -> tuple[PlannedBundle, ...]:
    """Share `configurations` new ones out over bundles, anchors included.

    `measured` (m x G) are those that were measured already; none of them is planned again, but an
    anchor that is new ties later batches to the first. `band` is the FLOPs range of the anchors.

    Raises:
        NotEnoughDataError: no cluster has a representative, or nothing new is left to measure.
    """
    groups = assign_bundles(clustering)
    each = -(-configurations // len(groups))
    tied = _anchors(architecture, band, configurations, len(groups))
    tied = tied[~is_in(tied, measured)]
    free = pool.at(~is_in(pool.counts, np.vstack([measured, tied])))
    # An anchor is one configuration of the cluster, measured by each of its representatives.
    wanted = max(configurations - len(tied) * len(groups), 1)
    if len(free.counts) == 0:
        raise NotEnoughDataError(
            "a plan needs configurations that were not measured yet, but all in this range were; "
            "widen --flops-range"
        )
    chosen = choose(architecture, free, np.vstack([measured, tied]), wanted)
    bundles = []
    for number, devices in enumerate(groups):
        mine = chosen[number :: len(groups)][:each]
        if len(mine):
            bundles.append(PlannedBundle(f"bundle-{number + 1}", devices, tied, mine))
    return tuple(bundles)


def assign_bundles(clustering: ClusteringRecord) -> tuple[tuple[str, ...], ...]:
    """Devices of each bundle: as many bundles as the best-represented cluster has representatives.

    Raises:
        NotEnoughDataError: there is no representative.
    """
    members = [
        [
            str(d)
            for d in clustering.device_ids[clustering.representative & (clustering.cluster == k)]
        ]
        for k in range(len(clustering.clusters))
    ]
    bundles = max((len(m) for m in members), default=0)
    if bundles == 0:
        raise NotEnoughDataError(
            "a plan needs representatives of the clusters, but no device was measured yet; "
            "load telemetry: hdap ingest telemetry.csv"
        )
    return tuple(tuple(dict.fromkeys(m[b % len(m)] for m in members if m)) for b in range(bundles))


def choose(architecture: Architecture, pool: Pool, taken: Counts, count: int) -> Counts:
    """`count` (or all, if fewer) of the pool that are far from each other and from those `taken`.

    Greedy maximin (Gonzalez 1985) in log width ratios, with distance times interest, taking from
    the strata of FLOPs in turn; where the pool has rows `near` the best trials, every other choice
    is one of them. Rows: in the order chosen, so that any first part is spread as well.
    """
    points = shape_of(architecture, pool.counts)
    others = shape_of(architecture, taken[(taken != architecture.widths).any(axis=1)])
    gap = _least_distance(points, others)
    free = np.ones(len(points), dtype=np.bool_)
    chosen: list[int] = []
    strata = np.unique(pool.stratum[~pool.near])
    for turn in range(min(count, len(points))):
        search_turn = bool(pool.near.any()) and turn % 2 == 0
        wished = pool.near if search_turn or not len(strata) else _turn(pool, strata, turn)
        allowed = free & wished if (free & wished).any() else free
        row = int(np.where(allowed, pool.interest * gap, -1.0).argmax())
        chosen.append(row)
        free[row] = False
        gap = np.minimum(gap, np.linalg.norm(points - points[row], axis=1))
    return pool.counts[chosen]


def is_in(counts: Counts, among: Counts) -> Bools:
    """Which of n configurations are `among` (m x G): `n`."""
    known = {row.tobytes() for row in np.ascontiguousarray(among, dtype=np.int64)}
    rows = np.ascontiguousarray(counts, dtype=np.int64)
    return np.array([row.tobytes() in known for row in rows], dtype=np.bool_)


def interest(uncertainty: Floats, disagreement: Floats) -> Floats:
    """How much is to be learned from n configurations, 1 on average: what the surrogate doubts
    (`uncertainty`, n x K log standard deviations) and where two kinds differ (n x K)."""
    total = uncertainty.mean(axis=1) + np.abs(disagreement).mean(axis=1)
    result: Floats = total / max(float(total.mean()), 1e-12)
    return result


def _anchors(
    architecture: Architecture, band: tuple[int, int], configurations: int, bundles: int
) -> Counts:
    each = configurations // bundles
    count = ANCHORS if each >= LEAST_FOR_ANCHORS else int(each >= LEAST_FOR_ANCHORS // 2)
    return anchors(architecture, *band, count)


def _turn(pool: Pool, strata: Ints, turn: int) -> Bools:
    # A step prime to most numbers of strata: neighbours in the order differ in FLOPs.
    wanted: Bools = ~pool.near & (pool.stratum == strata[(5 * turn) % len(strata)])
    return wanted


def _least_distance(points: Floats, others: Floats) -> Floats:
    """Distance of each point to the nearest of the others; to the dense network where there are
    none (n)."""
    gap: Floats = np.linalg.norm(points, axis=1)
    for other in others:
        gap = np.minimum(gap, np.linalg.norm(points - other, axis=1))
    return gap
