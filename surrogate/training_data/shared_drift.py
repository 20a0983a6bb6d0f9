"""Drift that all devices share: seen in the dense rows between, taken out where it is real.

A shared room, a shared host or the same time of day slows many devices at once. Rows of one
configuration are often taken within seconds, so such drift would pass for a property of the
configuration. The dense reference measured in between shows it: its residuals are smoothed over
time (Nadaraya-Watson with a Gaussian kernel, shrunk towards none), with the bandwidth that predicts
dense rows best from those as far away in time as a pruned row is from its nearest one. Where no
bandwidth predicts them, nothing is corrected.
"""

import numpy as np

from hdap.fleet_data.records import Floats

BANDWIDTHS_S = (1.0, 3.0, 10.0, 30.0, 100.0, 300.0, 1000.0)
PRIOR_ROWS = 2.0
"""A correction is shrunk as if so many rows had shown no drift."""
LARGEST = 0.1
"""Residuals beyond 10 % are faults of single rows, not drift."""
LEAST_GAIN = 0.03
"""Share of the residuals' mean square that must go before anything is corrected."""
REFERENCE_ROWS = 2000
LEAST_REFERENCE = 20


def shared_drift(measured_at: Floats, residual: Floats) -> Floats:
    """Factor by which all devices were slow at each of n moments (1: no drift).

    `measured_at` are seconds, `residual` the log residuals of dense rows and NaN for other rows,
    both n. A row's own residual never enters its own correction.
    """
    drift = np.ones(len(residual))
    timed = np.isfinite(measured_at)
    dense = np.flatnonzero(np.isfinite(residual) & timed)
    pruned = np.flatnonzero(~np.isfinite(residual) & timed)
    dense = dense[:: max(1, -(-len(dense) // REFERENCE_ROWS))]
    if len(dense) < LEAST_REFERENCE or len(pruned) == 0:
        return drift
    times = measured_at[dense]
    values = np.clip(residual[dense], -LARGEST, LARGEST)
    apart = _typical_distance(np.sort(times), measured_at[pruned])
    errors = [
        float(((values - _smooth(times, values, times, h, apart)) ** 2).mean())
        for h in BANDWIDTHS_S
    ]
    best = int(np.argmin(errors))
    if errors[best] > (1.0 - LEAST_GAIN) * float((values**2).mean()):
        return drift
    drift[timed] = np.exp(_smooth(times, values, measured_at[timed], BANDWIDTHS_S[best], 0.0))
    drift[dense] = np.exp(_smooth(times, values, times, BANDWIDTHS_S[best], apart))
    return drift


def _typical_distance(references: Floats, moments: Floats) -> float:
    """Median seconds from a moment to the nearest of the sorted references; at least a tick, so
    that a row stays apart from itself."""
    place = np.clip(np.searchsorted(references, moments), 1, len(references) - 1)
    gaps = np.abs(moments[:, None] - references[np.stack([place - 1, place], axis=1)])
    return max(float(np.median(gaps.min(axis=1))), 1e-3)


def _smooth(times: Floats, values: Floats, at: Floats, bandwidth: float, apart: float) -> Floats:
    """Smoothed `values` (r, taken at `times`) at m moments, from those `apart` seconds or more
    away."""
    result = np.zeros(len(at))
    for start in range(0, len(at), 1024):
        part = slice(start, start + 1024)
        gap = np.abs(at[part, None] - times[None, :])
        weight = np.where(gap >= apart, np.exp(-0.5 * (gap / bandwidth) ** 2), 0.0)
        result[part] = weight @ values / (weight.sum(axis=1) + PRIOR_ROWS)
    return result
