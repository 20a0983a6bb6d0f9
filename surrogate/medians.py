"""Medians by group, exact to the last digit."""

import numpy as np

from hdap.fleet_data.records import Floats, Ints


def grouped_median(groups: Ints, values: Floats, size: int) -> Floats:
    """Median of the finite `values` (n) in each of the groups 0..size-1; NaN for an empty one."""
    finite = np.isfinite(values)
    groups, values = groups[finite], values[finite]
    ordered = values[np.lexsort((values, groups))]
    counts = np.bincount(groups, minlength=size)
    starts = np.cumsum(counts) - counts
    filled = np.flatnonzero(counts)
    result = np.full(size, np.nan)
    lower = ordered[starts[filled] + (counts[filled] - 1) // 2]
    upper = ordered[starts[filled] + counts[filled] // 2]
    result[filled] = (lower + upper) / 2
    return result
