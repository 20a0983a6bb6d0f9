"""Sums and medians by group without a Python loop: millions of rows, any number of groups."""

import numpy as np

from hdap.fleet_data.records import Codes, Floats, Ints, Reals
from hdap.fleet_data.row_blocks import row_blocks

FLOAT_BITS = 52


def grouped_count(groups: Codes, size: int) -> Ints:
    """Rows of each group (n, 0..size-1): `size` numbers."""
    total = np.zeros(size, dtype=np.int64)
    for part in row_blocks(len(groups)):
        total += np.bincount(groups[part], minlength=size)
    return total


def grouped_sum(groups: Codes, values: Reals, size: int) -> Floats:
    """Sum of `values` (n) in each group: `size` floats."""
    total = np.zeros(size)
    for part in row_blocks(len(groups)):
        total += np.bincount(groups[part], weights=values[part], minlength=size)
    return total


def grouped_less(groups: Codes, values: Floats, effect: Floats, out: Floats) -> Floats:
    """`values` (n) less the `effect` (size) of their group, into `out` (n)."""
    for part in row_blocks(len(values)):
        np.subtract(values[part], effect[groups[part]], out=out[part])
    return out


def grouped_rows(groups: Codes, size: int, weights: Floats | None) -> Floats:
    """Rows of each group, each counting as its weight (n; None: one): `size` floats."""
    if weights is None:
        return grouped_count(groups, size).astype(np.float64)
    return grouped_sum(groups, weights, size)


def median_size(values: Floats) -> float:
    """Median of the absolute finite `values` (n), which are lost; NaN where there is none."""
    np.abs(values, out=values)
    finite = np.isfinite(values)
    if not finite.all():
        values = values[finite]
    return float(np.median(values, overwrite_input=True)) if len(values) else float("nan")


def grouped_median(groups: Codes, values: Reals, size: int) -> Floats:
    """Median of the finite `values` (n) in each group: `size` floats, NaN for an empty group.

    Sorts one integer a row (group in the high bits, value on a grid of the range in the low bits),
    because numpy sorts integers an order of magnitude faster than it argsorts pairs. The grid has
    2**52 steps for a small fleet and 2**43 for a million groups: far below any clock's resolution.
    """
    result = np.full(size, np.nan)
    count, low, high = _range(values)
    if count == 0:
        return result
    bits = min(FLOAT_BITS, 62 - int(size).bit_length())
    mask = (1 << bits) - 1
    step = (high - low) / mask or 1.0
    keys = np.empty(count, dtype=np.int64)
    counts = np.zeros(size, dtype=np.int64)
    end = 0
    for part in row_blocks(len(values)):
        value, group = values[part].astype(np.float64), groups[part].astype(np.int64)
        finite = np.isfinite(value)
        if not finite.all():
            value, group = value[finite], group[finite]
        counts += np.bincount(group, minlength=size)
        start, end = end, end + len(value)
        value -= low
        value /= step
        np.minimum(np.rint(value), mask, out=keys[start:end], casting="unsafe")
        keys[start:end] |= group << bits
    keys.sort()
    starts = np.cumsum(counts) - counts
    filled = np.flatnonzero(counts)
    lower = keys[starts[filled] + (counts[filled] - 1) // 2] & mask
    upper = keys[starts[filled] + counts[filled] // 2] & mask
    result[filled] = low + step * (lower + upper) / 2
    return result


def _range(values: Reals) -> tuple[int, float, float]:
    """How many `values` (n) are finite, the least and the greatest of them."""
    count, low, high = 0, np.inf, -np.inf
    for part in row_blocks(len(values)):
        finite = np.isfinite(values[part])
        if finite.any():
            known = values[part] if finite.all() else values[part][finite]
            count, low, high = count + len(known), min(low, known.min()), max(high, known.max())
    return count, float(low), float(high)


def grouped_medians(groups: Codes, values: Reals, size: int, weights: Floats | None) -> Floats:
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


def compact(groups: Codes) -> tuple[Ints, int]:
    """Renumber non-negative `groups` to 0..k-1 in their order, leaving out empty ones."""
    used = occurring(groups)
    return numbering(used)[groups], len(used)


def occurring(groups: Codes) -> Ints:
    """The numbers that occur in non-negative `groups`, ascending."""
    return np.flatnonzero(grouped_count(groups, int(groups.max(initial=-1)) + 1))


def numbering(used: Ints) -> Ints:
    """Of each number up to the last of `used` (ascending) its place among them."""
    numbers = np.zeros(int(used[-1]) + 1 if len(used) else 0, dtype=np.int64)
    numbers[used] = np.arange(len(used))
    return numbers


def weighted_median(values: Floats, weights: Floats) -> float:
    """The value (n >= 1) at which half of `weights` (n, > 0) is reached; the midpoint on a tie."""
    order = np.argsort(values, kind="stable")
    reached = np.cumsum(weights[order])
    half = reached[-1] / 2
    lower = int(np.searchsorted(reached, half * (1 - 1e-12)))
    upper = int(np.searchsorted(reached, half * (1 + 1e-12), side="right"))
    upper = min(upper, len(values) - 1)
    return float((values[order[lower]] + values[order[upper]]) / 2)
