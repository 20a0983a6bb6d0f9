"""Configurations that a plan chooses from: spread over FLOPs, shapes and alignments."""

from contextlib import suppress
from itertools import pairwise

import numpy as np
from scipy.special import ndtri
from scipy.stats import qmc

from hdap.fleet_data.architecture import Architecture, Counts
from hdap.fleet_data.costs import flops
from hdap.fleet_data.errors import InfeasibleError
from hdap.fleet_data.records import Floats, Ints
from hdap.search.problem.budget import FlopsBand
from hdap.search.problem.repair import Repair
from hdap.search.problem.search_space import SearchSpace
from hdap.search.problem.uniform import uniform

STRATA = 8
"""Slices of the FLOPs range, equally wide in the logarithm, that a batch draws from in turn."""
GRIDS = (8, 16, 4, 1)
GRID_SHARES = (0.45, 0.2, 0.2, 0.15)
"""Grids while the machine's own is unknown, and how often each is drawn: all must be seen for the
staircase to be found, and multiples of 8 are what most machines reward."""
KNOWN_GRID_SHARE = 0.85
"""Share drawn on the grid that measurements show to pay; the rest checks that it still does."""
SPREAD = 0.45
"""Standard deviation of a group's log width ratio about that of the whole network."""
POOL = 512


def grid_shares(step: int | None) -> dict[int, float]:
    """Grids to draw on with their shares; `step` is the one that pays, None where unknown."""
    if step is None:
        return dict(zip(GRIDS, GRID_SHARES, strict=True))
    other = step // 2 if step > 1 else 8
    return {step: KNOWN_GRID_SHARE, other: 1.0 - KNOWN_GRID_SHARE}


def bands_of(low: int, high: int, strata: int = STRATA) -> tuple[FlopsBand, ...]:
    """`strata` neighbouring bands from `low` to `high` FLOPs, equal in the logarithm."""
    edges = np.geomspace(low, high + 1, strata + 1)
    return tuple(FlopsBand(int(a), max(int(a), int(b) - 1)) for a, b in pairwise(edges))


def draw_pool(
    architecture: Architecture, low: int, high: int, step: int | None, seed: int, size: int = POOL
) -> tuple[Counts, Ints]:
    """About `size` different configurations of `low` to `high` FLOPs and the stratum of each.

    A scrambled Sobol sequence (Owen 1998) over log width ratios of the groups; each point is put on
    its grid and repaired into its stratum.

    Raises:
        InfeasibleError: no grid reaches any of these FLOPs.
    """
    shares = grid_shares(step)
    bands = bands_of(low, high)
    each = max(size // len(bands), 8)
    found: list[Counts] = []
    stratum: list[Ints] = []
    for number, band in enumerate(bands):
        points = _sobol(len(architecture.groups), each, seed + number)
        wanted = np.exp(SPREAD * points) * _ratio(architecture, band) * architecture.widths
        grid = np.random.default_rng([seed, number]).choice(
            list(shares), size=each, p=list(shares.values())
        )
        for one in shares:
            with suppress(InfeasibleError):
                rows = Repair(SearchSpace.build(architecture, one), band)(wanted[grid == one])
                found.append(rows)
                stratum.append(np.full(len(rows), number))
    if not found:
        raise InfeasibleError(
            f"configurations of {low:,} to {high:,} FLOPs must be on the grid of "
            f"{architecture.model}, but none is; widen --flops-range"
        )
    return _distinct(np.vstack(found), np.concatenate(stratum))


def anchors(architecture: Architecture, low: int, high: int, count: int) -> Counts:
    """Uniform networks on the grid of 8, `count` (or fewer) from `high` to `low` FLOPs."""
    found = []
    for target in np.geomspace(high, low, 2 * count + 1)[1::2]:
        with suppress(InfeasibleError):
            band = FlopsBand(max(1, int(0.9 * target)), int(1.1 * target))
            found.append(uniform(SearchSpace.build(architecture, 8), band))
    groups = len(architecture.groups)
    return np.unique(np.array(found, dtype=np.int64).reshape(-1, groups), axis=0)[::-1]


def around(space: SearchSpace, band: FlopsBand, centres: Counts, each: int, seed: int) -> Counts:
    """`each` neighbours of every centre (m x G) in the band: a few groups moved a little."""
    rng = np.random.default_rng(seed)
    rows = np.repeat(centres, each, axis=0).astype(np.float64)
    moved = rng.random(rows.shape) < min(1.0, 4.0 / rows.shape[1])
    rows *= np.exp(np.where(moved, rng.normal(0.0, 0.2, rows.shape), 0.0))
    return np.unique(Repair(space, band)(rows), axis=0)


def shape_of(architecture: Architecture, counts: Counts) -> Floats:
    """Where configurations lie for distances: log width ratios, `n x G`."""
    result: Floats = np.log(counts / architecture.widths)
    return result


def flops_range(architecture: Architecture, bands: list[tuple[int, int]]) -> tuple[int, int]:
    """FLOPs that searches visit: 10-60 % of the dense network, and the budgets asked for so far."""
    dense = int(flops(architecture, architecture.widths[None])[0])
    low, high = round(0.1 * dense), round(0.6 * dense)
    narrowest = SearchSpace.build(architecture, 8).smallest
    low = max(low, round(1.1 * int(flops(architecture, narrowest[None])[0])))
    for least, most in bands:
        low, high = min(low, least), max(high, most)
    return min(low, high), high


def _sobol(dimensions: int, count: int, seed: int) -> Floats:
    """Standard normal points of a scrambled Sobol sequence, `count x dimensions`."""
    engine = qmc.Sobol(dimensions, scramble=True, rng=np.random.default_rng(seed))
    uniform_points = engine.random_base2(int(np.ceil(np.log2(count))))[:count]
    return np.asarray(ndtri(np.clip(uniform_points, 1e-6, 1 - 1e-6)), dtype=np.float64)


def _ratio(architecture: Architecture, band: FlopsBand) -> float:
    """About the width ratio that gives a band's FLOPs: they grow with its square."""
    dense = float(flops(architecture, architecture.widths[None])[0])
    return float(np.sqrt((band.low + band.high) / 2 / dense))


def _distinct(counts: Counts, stratum: Ints) -> tuple[Counts, Ints]:
    first = np.sort(np.unique(counts, axis=0, return_index=True)[1])
    return counts[first], stratum[first]
