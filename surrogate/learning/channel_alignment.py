"""The grid of channel counts that pays, found in what was learned from measurements.

Hardware computes channels in blocks, so latency is a staircase of the count and some grids give
away nothing. Random networks are put on each grid, their predicted latencies compared at equal
FLOPs, and the finest grid within a tolerance of the fastest one is taken: it leaves a search most
freedom at no cost in time.
"""

from collections.abc import Callable

import numpy as np

from hdap.fleet_data.architecture import Architecture, Counts
from hdap.fleet_data.costs import flops
from hdap.fleet_data.records import Floats

STEPS = (1, 2, 4, 8, 16, 32)
TOLERANCE = 0.02
NETWORKS = 256


def paying_steps(
    architecture: Architecture, predict: Callable[[Counts], Floats], rng: np.random.Generator
) -> tuple[int, ...]:
    """The step of each cluster; `predict` maps counts (n x G) to log latencies (n x K)."""
    keep = rng.uniform(0.35, 0.9, (NETWORKS, 1))
    keep = np.clip(
        keep * np.exp(rng.normal(0.0, 0.25, (NETWORKS, len(architecture.groups)))), 0.1, 1
    )
    wanted = keep * architecture.widths
    grids = [_on_grid(architecture, wanted, step) for step in STEPS]
    log_ms = np.stack([predict(counts) for counts in grids])
    log_flops = np.log(np.stack([flops(architecture, counts) for counts in grids]))
    centred = log_flops - log_flops.mean(axis=1, keepdims=True)
    slope = (centred[..., None] * log_ms).sum(axis=(0, 1)) / (centred**2).sum()
    at_equal_flops = (log_ms - slope * log_flops[..., None]).mean(axis=1)
    good = at_equal_flops <= at_equal_flops.min(axis=0) + TOLERANCE
    return tuple(STEPS[int(i)] for i in good.argmax(axis=0))


def _on_grid(architecture: Architecture, wanted: Floats, step: int) -> Counts:
    """Counts (n x G) rounded to multiples of `step`, or of the largest half of it that a narrow
    group has two of."""
    halves = [s for s in reversed(STEPS) if s <= step]
    grid = architecture.multiples.copy()
    for half in reversed(halves):
        wider = np.lcm(architecture.multiples, half)
        grid = np.where(2 * wider <= architecture.widths, wider, grid)
    counts = np.rint(wanted / grid).astype(np.int64) * grid
    result: Counts = np.clip(counts, grid, architecture.widths // grid * grid)
    return result
