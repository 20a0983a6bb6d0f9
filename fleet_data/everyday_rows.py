"""Everyday telemetry apart from what a device sent while it measured."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from hdap.fleet_data.row_blocks import taken
from hdap.fleet_data.telemetry import SESSION_S


def everyday_rows(
    usual: NDArray[np.bool_],
    pruned: NDArray[np.bool_],
    measured_at: NDArray[np.float64],
    device: NDArray[np.signedinteger[Any]],
) -> NDArray[np.bool_]:
    """Of the `usual` rows (n) those that no `pruned` row (n) of their device is near: none within a
    session before or after. Rows without a time (NaN) are near nothing.
    """
    marks = np.flatnonzero(pruned & np.isfinite(measured_at))
    result = usual.copy()
    if not len(marks):
        return result
    measures = np.zeros(int(device.max()) + 1, dtype=np.bool_)
    measures[device[marks]] = True
    asked = np.flatnonzero(usual & np.isfinite(measured_at) & taken(measures, device))
    # One sorted line of time, a device's stretch far from the next one's.
    start = float(np.nanmin(measured_at))
    span = float(np.nanmax(measured_at)) - start + 3 * SESSION_S
    mark, line = (measured_at[rows] - start + device[rows] * span for rows in (marks, asked))
    mark.sort()
    place = np.clip(np.searchsorted(mark, line), 1, max(len(mark) - 1, 1))
    near = np.abs(line - mark[np.minimum(place, len(mark) - 1)])
    near = np.minimum(near, np.abs(line - mark[place - 1]))
    result[asked] = near > SESSION_S
    return result
