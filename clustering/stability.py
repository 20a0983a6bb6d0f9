"""How far a clustering depends on which devices happened to be there."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from sklearn.metrics import adjusted_rand_score

from hdap.clustering.algorithms.base import ClusteringAlgorithm
from hdap.clustering.group_devices import group_points
from hdap.fleet_data.errors import NotEnoughDataError
from hdap.fleet_data.records import Floats, Ints

SHARE = 0.9
MOST_DEVICES = 1_500
LEAST_DEVICES = 4
Progress = Callable[[int, int], None]
"""Called with steps done and steps in all."""


@dataclass(frozen=True)
class Stability:
    """Mean adjusted Rand index over resamples, overall and for each cluster (K); NaN: not known."""

    overall: float
    clusters: Floats


def stability(
    points: Floats,
    cluster: Ints,
    algorithm: ClusteringAlgorithm,
    clusters: int | None,
    resamples: int,
    rng: np.random.Generator,
    progress: Progress | None = None,
    software: Sequence[Ints] = (),
) -> Stability:
    """Cluster random subsets of the points (n x F) again and compare on the devices shared.

    Subsampling without replacement, as Ben-Hur, Elisseeff and Guyon (PSB 2002): a bootstrap's
    duplicates look like tight clusters. A cluster is compared, as members against the rest, with
    the cluster of the resample that matches it best (Hennig 2007).
    """
    count = int(cluster.max(initial=-1)) + 1
    if resamples < 1 or len(points) < LEAST_DEVICES:
        return Stability(float("nan"), np.full(count, np.nan))
    size = min(max(round(SHARE * len(points)), LEAST_DEVICES - 1), MOST_DEVICES)
    overall = []
    single = np.full((resamples, count), np.nan)
    for step in range(resamples):
        chosen = rng.choice(len(points), size, replace=False)
        try:
            part = [codes[chosen] for codes in software]
            again = group_points(points[chosen], algorithm, clusters, rng, part).cluster
        except NotEnoughDataError:
            # The number asked for cannot be found without the devices left out: unlike in all.
            again = np.zeros(size, dtype=np.int64)
        before = cluster[chosen]
        overall.append(float(adjusted_rand_score(before, again)))
        for number in np.unique(before):
            single[step, number] = _match(before == number, again)
        if progress is not None:
            progress(step + 1, resamples)
    seen = np.isfinite(single)
    total = np.where(seen, single, 0.0).sum(axis=0)
    known = seen.any(axis=0)
    means = np.where(known, total / np.maximum(seen.sum(axis=0), 1), np.nan)
    return Stability(float(np.mean(overall)), means)


def _match(member: Ints, again: Ints) -> float:
    """Adjusted Rand index of being a member with being in the best-matching cluster of `again`."""
    both = np.bincount(again[member], minlength=int(again.max()) + 1)
    union = np.bincount(again) + member.sum() - both
    return float(adjusted_rand_score(member, again == int(np.argmax(both / union))))
