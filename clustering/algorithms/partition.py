"""Partitions of points: telling clusters apart, merging those that are not, choosing among several.

Points are standardised fingerprints, so that 1 is about the standard deviation within a kind and
never less than what is material: that gives distances a meaning that no algorithm has by itself.
Labels are 0..K-1 without gaps, -1 for outliers.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.spatial import cKDTree
from scipy.stats import chi2

from hdap.fleet_data.errors import NotEnoughDataError
from hdap.fleet_data.records import Floats, Ints

LEAST_GAP = 3.5
"""Distance between centres in standard deviations along it: two normal kinds show two peaks above
2, while cutting one normal cloud in half gives 2.7 and a uniform one 3.5. More for few points,
which are found apart by chance: by the relative error of a deviation."""
CHANCE = 1e-3
PRIOR_POINTS = 4.0
"""Points that the unit variance counts for: a pair that is close by chance is no tight kind."""
LEAST_DEVIATION = 0.5
NEIGHBOUR_REACH = 2.0


@dataclass(frozen=True)
class Moments:
    """Number (K), mean (K x F) and scatter (K x F x F, sums of squares) of each cluster."""

    count: Floats
    mean: Floats
    scatter: Floats

    @classmethod
    def of(cls, points: Floats, labels: Ints) -> "Moments":
        """Moments of the points that have a label; outliers are left out."""
        clusters = int(labels.max(initial=-1)) + 1
        count = np.zeros(clusters)
        mean = np.zeros((clusters, points.shape[1]))
        scatter = np.zeros((clusters, points.shape[1], points.shape[1]))
        for cluster in range(clusters):
            members = points[labels == cluster]
            count[cluster], mean[cluster] = len(members), members.mean(axis=0)
            centred = members - mean[cluster]
            scatter[cluster] = centred.T @ centred
        return cls(count, mean, scatter)

    def merged(self, first: int, second: int) -> "Moments":
        """The moments with cluster `second` poured into `first` (< second)."""
        a, b = self.count[first], self.count[second]
        step = self.mean[second] - self.mean[first]
        count, mean, scatter = self.count.copy(), self.mean.copy(), self.scatter.copy()
        count[first] = a + b
        mean[first] = self.mean[first] + step * b / (a + b)
        scatter[first] += self.scatter[second] + np.outer(step, step) * a * b / (a + b)
        rest = np.delete(np.arange(len(count)), second)
        return Moments(count[rest], mean[rest], scatter[rest])


def separations(moments: Moments) -> Floats:
    """How distinct each pair is (K x K, inf on the diagonal): distinct from 1 on.

    The smaller of two ratios: the distance of the centres in deviations along it over LEAST_GAP,
    and the root of Hotelling's statistic over its quantile at CHANCE.
    """
    width = moments.mean.shape[1]
    step = moments.mean[:, None, :] - moments.mean[None, :, :]
    length = np.linalg.norm(step, axis=2)
    unit = step / np.maximum(length, 1e-12)[:, :, None]
    scatter = moments.scatter[:, None] + moments.scatter[None, :]
    along = np.einsum("abi,abij,abj->ab", unit, scatter, unit)
    together = moments.count[:, None] + moments.count[None, :]
    freedom = np.maximum(together - 2, 0)
    variance = (along + PRIOR_POINTS) / (freedom + PRIOR_POINTS)
    deviation = np.sqrt(np.maximum(variance, LEAST_DEVIATION**2))
    gap = length / deviation / (LEAST_GAP * (1.0 + 1.0 / np.sqrt(together)))
    chance = deviation * np.sqrt(1 / moments.count[:, None] + 1 / moments.count[None, :])
    surprise = length / chance / np.sqrt(chi2.isf(CHANCE, width))
    result: Floats = np.minimum(gap, surprise)
    np.fill_diagonal(result, np.inf)
    return result


def growth(moments: Moments) -> Floats:
    """Sum of squares within clusters that merging each pair adds (K x K, inf on the diagonal)."""
    step = moments.mean[:, None, :] - moments.mean[None, :, :]
    share = 1.0 / (1.0 / moments.count[:, None] + 1.0 / moments.count[None, :])
    result: Floats = share * np.sum(step**2, axis=2)
    np.fill_diagonal(result, np.inf)
    return result


def merge(points: Floats, labels: Ints, clusters: int | None = None) -> Ints:
    """Pour together the closest pair of clusters again and again.

    Until all pairs are distinct, the least distinct first; or, given `clusters`, until at most so
    many are left, the pair first that adds least scatter (Ward 1963).

    Two are distinct, too, where nothing of the one was indistinct from anything of the other to
    begin with: what was merged is wide, and would else take in one step after the other of a
    staircase (clocks that throttle by steps) until one cluster is left.
    """
    moments = Moments.of(points, labels)
    number = np.append(np.arange(len(moments.count)), -1)
    nearest_parts = separations(moments)
    while len(moments.count) > (clusters or 1):
        apart = growth(moments)
        if clusters is None:
            apart = np.maximum(separations(moments), nearest_parts)
        first, second = sorted(divmod(int(np.argmin(apart)), len(apart)))
        if clusters is None and apart[first, second] >= 1.0:
            break
        moments = moments.merged(first, second)
        nearest_parts = _joined(nearest_parts, first, second)
        number = np.where(number == second, first, number)
        number = np.where(number > second, number - 1, number)
    return number[labels]


def _joined(apart: Floats, first: int, second: int) -> Floats:
    """The least of what `second` and `first` are apart from each, `second` gone (K - 1 x K - 1)."""
    least = np.minimum(apart[first], apart[second])
    result = apart.copy()
    result[first, :], result[:, first], result[first, first] = least, least, np.inf
    rest = np.delete(np.arange(len(apart)), second)
    return result[np.ix_(rest, rest)]


def nearest(points: Floats, members: Floats, labels: Ints) -> tuple[Ints, Floats]:
    """Label of the nearest of `members` (m x F, m >= 1) for each of `points`, and its distance."""
    distance, index = cKDTree(members).query(points, workers=-1)
    return labels[np.asarray(index)], np.asarray(distance)


def reaches(points: Floats, labels: Ints) -> Floats:
    """How far from its nearest member a point may be and still belong to each cluster (K).

    As far as chance takes a unit normal from its centre (CHANCE), or more where the cluster's own
    members lie further apart than that.
    """
    least = float(np.sqrt(chi2.isf(CHANCE, points.shape[1])))
    result = np.full(int(labels.max(initial=-1)) + 1, least)
    for cluster in range(len(result)):
        members = points[labels == cluster]
        if len(members) > 1:
            distance, _ = cKDTree(members).query(members, k=[2])
            typical = float(np.median(distance))
            result[cluster] = max(least, NEIGHBOUR_REACH * typical)
    return result


def absorb(points: Floats, labels: Ints) -> Ints:
    """Give outliers within reach of a cluster to it: an outlier is a device apart, not a rim."""
    inside = labels >= 0
    if inside.all() or not inside.any():
        return labels
    label, distance = nearest(points[~inside], points[inside], labels[inside])
    result = labels.copy()
    result[~inside] = np.where(distance <= reaches(points, labels)[label], label, -1)
    return result


def without_singletons(labels: Ints) -> Ints:
    """Clusters of one point made outliers, the others renumbered."""
    counts = np.bincount(labels[labels >= 0])
    kept = counts > 1
    number = np.append(np.where(kept, np.cumsum(kept) - 1, -1), -1)
    return number[labels]


def score(points: Floats, labels: Ints) -> float:
    """Description length of the partition, lower is better: BIC with unit variance within clusters.

    (Schwarz 1978; the variance is known since a unit is the deviation within a kind.) An outlier
    costs as much as a cluster of its own.
    """
    count, width = points.shape
    outliers = int(np.count_nonzero(labels < 0))
    moments = Moments.of(points, labels)
    within = float(np.trace(moments.scatter, axis1=1, axis2=2).sum())
    groups = len(moments.count) + outliers
    return float(within + groups * width * math.log(count))


def settle(points: Floats, labels: Ints) -> Ints:
    """A raw partition made sound: indistinct clusters merged, rims absorbed, singletons out."""
    return absorb(points, without_singletons(merge(points, labels)))


def best(points: Floats, candidates: Iterable[Ints]) -> Ints:
    """The best-scored of the `candidates` (labels) after settling, the first among equals."""
    settled = [settle(points, labels) for labels in candidates]
    return min(settled, key=lambda labels: score(points, labels))


def exactly(points: Floats, candidates: Sequence[Ints], clusters: int, name: str) -> Ints:
    """`clusters` clusters by merging the coarsest of the `candidates` that has as many or more.

    NotEnoughDataError where no candidate has: a density has only so many peaks.
    """
    found = [int(labels.max(initial=-1)) + 1 for labels in candidates]
    enough = [i for i, number in enumerate(found) if number >= clusters]
    if not enough:
        raise NotEnoughDataError(
            f"`{name}` must find at least `clusters` groups, but got {clusters=} and it finds "
            f"{max(found)} among {len(points)} devices. Ask for fewer, or choose `kmeans`."
        )
    chosen = candidates[min(enough, key=lambda i: found[i])]
    return absorb(points, merge(points, chosen, clusters))
