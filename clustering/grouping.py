"""Sums and medians by group without a Python loop: millions of rows, any number of groups."""

import numpy as np
from numpy.typing import NDArray

from hdap.fleet_data.records import Floats

Groups = NDArray[np.int64] | NDArray[np.int32]
"""Group of each row, 0..size-1."""

FLOAT_BITS = 52


def grouped_sum(groups: Groups, values: Floats, size: int) -> Floats:
    """Sum of `values` (n) in each group: `size` floats."""
    total: Floats = np.bincount(groups, weights=values, minlength=size).astype(np.float64)
    return total


def grouped_median(groups: Groups, values: Floats, size: int) -> Floats:
    """Median of the finite `values` (n) in each group: `size` floats, NaN for an empty group.

    Sorts one integer a row (group in the high bits, value on a grid of the range in the low bits),
    because numpy sorts integers an order of magnitude faster than it argsorts pairs. The grid has
    2**52 steps for a small fleet and 2**43 for a million groups: far below any clock's resolution.
    """
    finite = np.isfinite(values)
    if not finite.all():
        groups, values = groups[finite], values[finite]
    result = np.full(size, np.nan)
    if len(values) == 0:
        return result
    low, high = float(values.min()), float(values.max())
    bits = min(FLOAT_BITS, 62 - int(size).bit_length())
    mask = (1 << bits) - 1
    step = (high - low) / mask or 1.0
    keys = np.minimum(np.rint((values - low) / step).astype(np.int64), mask)
    keys |= groups.astype(np.int64) << bits
    keys.sort()
    counts = np.bincount(groups, minlength=size)
    starts = np.cumsum(counts) - counts
    filled = np.flatnonzero(counts)
    lower = keys[starts[filled] + (counts[filled] - 1) // 2] & mask
    upper = keys[starts[filled] + counts[filled] // 2] & mask
    result[filled] = low + step * (lower + upper) / 2
    return result


def grouped_medians(groups: Groups, values: Floats, size: int, weights: Floats | None) -> Floats:
    """As `grouped_median`, of values that stand for `weights` (n, > 0) values each; None: one."""
    if weights is None:
        return grouped_median(groups, values, size)
    finite = np.isfinite(values)
    groups, values, weights = groups[finite], values[finite], weights[finite]
    order = np.lexsort((values, groups))
    groups, values = groups[order], values[order]
    total = np.bincount(groups, weights[order], minlength=size)
    reached = np.cumsum(weights[order]) - (np.cumsum(total) - total)[groups]
    middle = np.full((2, size), np.nan)
    for side, slack in enumerate((-1e-9, 1e-9)):
        past = np.flatnonzero(reached >= 0.5 * total[groups] * (1.0 + slack))
        # of several that are written to one place the last stays, here a group's first
        middle[side, groups[past[::-1]]] = values[past[::-1]]
    result: Floats = middle.mean(axis=0)
    return result


def compact(groups: NDArray[np.int64]) -> tuple[NDArray[np.int64], int]:
    """Renumber non-negative `groups` to 0..k-1 in their order, leaving out empty ones."""
    used = np.flatnonzero(np.bincount(groups))
    numbers = np.zeros(int(used[-1]) + 1 if len(used) else 0, dtype=np.int64)
    numbers[used] = np.arange(len(used))
    return numbers[groups], len(used)


def weighted_median(values: Floats, weights: Floats) -> float:
    """The value (n >= 1) at which half of `weights` (n, > 0) is reached; the midpoint on a tie."""
    order = np.argsort(values, kind="stable")
    reached = np.cumsum(weights[order])
    half = reached[-1] / 2
    lower = int(np.searchsorted(reached, half * (1 - 1e-12)))
    upper = int(np.searchsorted(reached, half * (1 + 1e-12), side="right"))
    upper = min(upper, len(values) - 1)
    return float((values[order[lower]] + values[order[upper]]) / 2)
