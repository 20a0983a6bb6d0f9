"""What a device's software foretells of its latency behaviour.

Software is no distance by itself: two firmwares that run alike make no clusters, however their
names differ. It is an expectation. Columns are taken into account one after the other, the most
telling first, as long as devices that differ in one differ in a behaviour beyond chance (the F test
of nested one-way layouts, weighted by errors). A behaviour that a device hardly showed, say how it
ranks pruned networks of which it measured none, is then drawn to that of its like (empirical
Bayes), and not to the fleet's.
"""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
from scipy.stats import f as f_distribution

from hdap.clustering.features import Feature
from hdap.clustering.grouping import compact, grouped_median, grouped_sum
from hdap.fleet_data.records import Floats, Ints, TextColumn

SIGNIFICANCE = 0.01
"""Chance that software without any effect is taken into account, over all columns and behaviours
of a fleet."""
LEAST_FREEDOM = 2
"""Devices beyond one a group: fewer do not say how far devices of one software differ."""


def expected_by_software(
    behaviours: list[Feature], software: Mapping[str, TextColumn]
) -> list[Feature]:
    """The behaviours with what the software of each of D devices lets `expect`."""
    columns = [column.codes for column in software.values() if len(column.texts) > 1]
    tests = len(columns) * len(behaviours)
    return [_expecting(feature, columns, SIGNIFICANCE / max(tests, 1)) for feature in behaviours]


def _expecting(feature: Feature, columns: list[Ints], allowed: float) -> Feature:
    groups, left = np.zeros(len(feature.value), dtype=np.int64), list(columns)
    telling = False
    while left:
        finer = [compact(groups * (int(codes.max()) + 1) + codes)[0] for codes in left]
        chances = [_chance(feature, groups, one) for one in finer]
        best = int(np.argmin(chances))
        if chances[best] > allowed:
            break
        groups, telling = finer[best], True
        del left[best]
    if not telling:
        return feature
    middle = grouped_median(groups, feature.value, int(groups.max()) + 1)
    return replace(feature, expected=middle[groups])


def _chance(feature: Feature, groups: Ints, finer: Ints) -> float:
    """Probability of as large a difference between `finer` groups (D) within `groups`, by chance.

    Devices of one group are taken to differ at least by their errors.
    """
    known = np.isfinite(feature.value)
    if not known.any():
        return 1.0
    value = feature.value[known]
    weight = 1.0 / (feature.material**2 + feature.error[known] ** 2)
    before, left_before = _layout(value, weight, groups[known])
    after, left_after = _layout(value, weight, finer[known])
    freedom = len(value) - after
    if after == before or freedom < LEAST_FREEDOM:
        return 1.0
    least = float(np.mean(weight * feature.error[known] ** 2))
    within = max(left_after / freedom, least)
    ratio = (left_before - left_after) / (after - before) / within
    return float(f_distribution.sf(ratio, after - before, freedom))


def _layout(value: Floats, weight: Floats, groups: Ints) -> tuple[int, float]:
    """How many groups there are, and the weighted sum of squares that their means leave."""
    group, size = compact(groups)
    total = grouped_sum(group, weight, size)
    mean = grouped_sum(group, weight * value, size) / total
    return size, float(np.sum(weight * (value - mean[group]) ** 2))
