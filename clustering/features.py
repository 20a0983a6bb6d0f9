"""One number a device, with its error and its least material difference; and how much it counts."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import ceil

import numpy as np
from scipy.stats import chi2, rankdata

from hdap.fleet_data.records import Bools, Floats

QUARTER = 0.25
QUARTER_TO_SD = 0.637
"""Length of the shortest interval with a quarter of a normal distribution, in deviations."""
LEAST_BINS, MOST_BINS = 3, 30
SIGNIFICANCE = 0.05
LEAST_FOR_RELEVANCE = 8
NEIGHBOURS = 5


@dataclass(frozen=True)
class Feature:
    """`value` (D; NaN: not measured), its standard `error` (D), and how it counts.

    Differences below `material` (units of value) matter to nobody; `weight` multiplies distances.
    `shown` (D) is what people read where that is not `value`. `expected` (D; NaN: nothing) is what
    is known of a device before its own value is read.
    """

    name: str
    value: Floats
    error: Floats
    material: float
    weight: float = 1.0
    shown: Floats | None = None
    expected: Floats | None = None

    def weighted(self, weight: float) -> "Feature":
        """The same with another weight."""
        return replace(self, weight=weight)

    @property
    def told(self) -> Bools:
        """Devices (D) of which the value is known or expected."""
        known: Bools = np.isfinite(self.value)
        return known if self.expected is None else known | np.isfinite(self.expected)

    @property
    def readable(self) -> Floats:
        """Values (D) as people read them."""
        return self.value if self.shown is None else self.shown


def shortest_quarter(values: Floats) -> float:
    """Standard deviation within the densest quarter of `values` (n >= 1), taken for normal.

    A quarter, because a fleet of several kinds has one spread within a kind, which this gives, and
    one between kinds, which the usual robust scales give as soon as no kind holds half of the
    devices (Rousseeuw's shortest half, 1984, with a quarter for a half).
    """
    window = max(ceil(QUARTER * len(values)), 1)
    ordered = np.sort(values)
    return float(np.min(ordered[window:] - ordered[:-window], initial=np.inf)) / QUARTER_TO_SD


def standardise(feature: Feature) -> Floats:
    """Feature as distances from the fleet's median in units of what differs within a kind (D).

    A unit is at least the material difference and the measurement error, so that noise makes no
    cluster. A device whose own error is large is drawn to what is expected of it, the median
    where nothing is; a missing one is put there.
    """
    known = np.isfinite(feature.value)
    if not known.any():
        return np.zeros(len(feature.value))
    value, error = feature.value[known], feature.error[known]
    middle = np.median(value)
    within = shortest_quarter(value) if len(value) > 1 else 0.0
    least = float(np.hypot(feature.material, np.median(error)))
    unit = max(within if np.isfinite(within) else 0.0, least)
    place = np.full(len(feature.value), middle)
    if feature.expected is not None:
        place = np.where(np.isfinite(feature.expected), feature.expected, middle)
    apart = value - place[known]
    between = max(float(np.var(apart)) - float(np.median(error)) ** 2, 0.0) + feature.material**2
    place[known] += apart * (between / (between + error**2))
    return (place - middle) / unit * feature.weight


def fill_from_neighbours(standard: Floats, known: Bools, guide: Floats) -> Floats:
    """`standard` (D) with what is not `known` taken from devices of like `guide` (D).

    The median of the NEIGHBOURS devices next in the guide: the fleet's median would be a lie about
    a slow device whose clock nobody reported, and set it apart from its kind.
    """
    if known.all() or not known.any():
        return standard
    order = np.flatnonzero(known)[np.lexsort((standard[known], guide[known]))]
    places = np.searchsorted(guide[order], guide[~known])
    first = np.clip(places - NEIGHBOURS // 2, 0, max(len(order) - NEIGHBOURS, 0))
    window = np.minimum(first[:, None] + np.arange(NEIGHBOURS), len(order) - 1)
    result = standard.copy()
    result[~known] = np.median(standard[order[window]], axis=1)
    return result


def relevance(context: Floats, behaviours: Sequence[Floats], belief: float = 0.0) -> float:
    """How far a context column goes with any latency behaviour, 0..1; 0 where chance would do.

    The square root of epsilon squared of Kruskal-Wallis tests, of the one between bins of the
    other, in both directions: any shape of dependence counts (a load that comes both with the
    fastest and the slowest devices too), and the slowest kind does not drown the others. `belief`
    is the number of devices that the prior belief in full relevance counts for.
    """
    best = 0.0
    for behaviour in behaviours:
        both = np.isfinite(context) & np.isfinite(behaviour)
        if both.sum() >= LEAST_FOR_RELEVANCE:
            allowed = SIGNIFICANCE / (2 * len(behaviours))
            ahead = _explained(context[both], behaviour[both], allowed)
            best = max(best, ahead, _explained(behaviour[both], context[both], allowed))
    share = belief / (belief + float(np.isfinite(context).sum()))
    return float((share + (1.0 - share) * best) ** 0.5)


def _explained(cause: Floats, effect: Floats, allowed: float) -> float:
    n = len(cause)
    bins = int(np.clip(round(n**0.5), LEAST_BINS, MOST_BINS))
    edges = np.unique(np.quantile(cause, np.linspace(0, 1, bins + 1)[1:-1]))
    place = np.searchsorted(edges, cause, side="left")
    counts = np.bincount(place)
    filled = int(np.count_nonzero(counts))
    ranks = rankdata(effect)
    total = float(np.sum((ranks - ranks.mean()) ** 2))
    if filled < 2 or total <= 0:
        return 0.0
    means = np.bincount(place, ranks) / np.maximum(counts, 1)
    between = float(np.sum(counts * (means - ranks.mean()) ** 2))
    statistic = between / (total / (n - 1))
    if float(chi2.sf(statistic, filled - 1)) > allowed:
        return 0.0
    return max(float((statistic - filled + 1) / (n - filled)), 0.0)
