"""Configurations: random ones to measure, and those that a file names."""

from collections.abc import Sequence

import numpy as np

from hdap.fleet_data.architecture import Architecture, Counts
from hdap.fleet_data.configuration import parse_channels
from hdap.fleet_data.errors import InputError

# Shares of the grids on which counts are drawn, as in the measured fleets: most people prune in
# multiples of eight, few on the finest grid.
_GRIDS = np.array([1, 4, 8, 16])
_GRID_SHARES = np.array([0.15, 0.2, 0.45, 0.2])


def counts_of(architecture: Architecture, texts: Sequence[str]) -> Counts:
    """Channel counts of n texts, `n x groups`; `InputError` for the first that is wrong."""
    parsed = parse_channels(architecture, texts)
    for text, error in zip(texts, parsed.errors, strict=True):
        if error is not None:
            raise InputError(
                f"channels must be a configuration of {architecture.model}, but {error} in "
                f"{text[:80]!r}; make the file again from this model"
            )
    return parsed.counts


def random_counts(architecture: Architecture, n: int, rng: np.random.Generator) -> Counts:
    """`n` random pruned configurations, `n x groups`, from about a tenth of the FLOPs to all.

    Each keeps a share of channels of its own (0.35-1), scattered over groups, on a grid of 1, 4, 8
    or 16 channels.
    """
    grid = rng.choice(_GRIDS, size=(n, 1), p=_GRID_SHARES)
    grid = np.lcm(grid, architecture.multiples)
    kept = rng.uniform(0.35, 1.0, size=(n, 1)) * np.exp(
        rng.normal(0.0, 0.25, size=(n, len(architecture.groups)))
    )
    counts = np.rint(np.minimum(kept, 1.0) * architecture.widths / grid).astype(np.int64) * grid
    lowest = np.minimum(grid, architecture.widths)
    # A width that is no multiple of the grid is still allowed whole.
    result: Counts = np.clip(counts, lowest, architecture.widths)
    return result
