"""Noise of a measurement: what stays when the machine, the model and its state are known."""

from dataclasses import dataclass

import numpy as np

from hdap.fleet_data.records import Floats

# A lognormal share has no end; a latency must stay a number that a watchdog would let pass.
_LONGEST = 100.0

_SPIKE_SPREAD = 0.5  # logarithmic deviation of spikes: too few were measured to fit it


@dataclass(frozen=True, slots=True)
class Noise:
    """Multiplicative noise on latencies with heavy tails.

    A reported median is off by a lognormal factor of `scatter`, whatever the number of runs: what
    disturbs them lasts longer than they do. Another of `drift` is shared by all rows of a session.
    With probability `spike_rate` something else ran and it is longer by a lognormal share around
    `spike`. The 95th percentile of the runs lies a lognormal
    share around `tail` above the median, with the logarithmic deviation `spread`.
    """

    scatter: float = 0.02
    drift: float = 0.015
    spike_rate: float = 0.01
    spike: float = 0.2
    tail: float = 0.02
    spread: float = 1.0


def draw_median(
    scatter: Floats, spike_rate: Floats, spike: Floats, rng: np.random.Generator
) -> Floats:
    """Factors on the true latency, n; each argument has one value a measurement."""
    n = len(scatter)
    factor = np.exp(scatter * rng.standard_normal(n))
    hit = np.flatnonzero(rng.random(n) < spike_rate)
    share = spike[hit] * np.exp(_SPIKE_SPREAD * rng.standard_normal(len(hit)))
    factor[hit] *= 1 + np.minimum(share, _LONGEST)
    return factor


def draw_p95(tail: Floats, spread: Floats, rng: np.random.Generator) -> Floats:
    """Factors (>= 1) of the 95th percentile on the median, n."""
    share = tail * np.exp(spread * rng.standard_normal(len(tail)))
    result: Floats = 1 + np.minimum(share, _LONGEST)
    return result
