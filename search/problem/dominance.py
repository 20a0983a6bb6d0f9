"""Which of several things no other beats."""

import numpy as np

from hdap.fleet_data.records import Bools, Floats


def nondominated(values: Floats) -> Bools:
    """Rows of `n x m` that no other row beats, all columns minimised; the first of equal rows."""
    order = np.lexsort(values.T[::-1])
    kept = np.zeros(len(values), dtype=np.bool_)
    front = np.empty((0, values.shape[1]))
    for row in order:
        # Sorted by the first column, so a row can be beaten by earlier ones alone.
        if not (front <= values[row]).all(axis=1).any():
            kept[row] = True
            front = np.vstack([front, values[row]])
    return kept
