"""Uniform pruning: the base line, and where the default quality floor comes from."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from hdap.fleet_data.architecture import Architecture, Counts
from hdap.fleet_data.costs import flops
from hdap.fleet_data.errors import InfeasibleError
from hdap.fleet_data.records import Bools, Floats
from hdap.search.problem.budget import FlopsBand
from hdap.search.problem.repair import Repair
from hdap.search.problem.search_space import SearchSpace

RATIOS = 4096
GRIDS = (1, 4, 8, 16, 32, 64)
"""Multiples of channels that somebody without a search would try."""
NARROWER = 0.8
"""Share of the budget of a second uniform network: the two show what kept importance costs."""
COMPARABLE = 0.9
"""Of the importance that the best grid keeps at a budget, what another keeps at least to be the
base line. A coarse grid on a small network keeps 0.7 to 0.85 of it: a floor so low gives away
quality that the budget holds. On networks of 64 channels and more, multiples of 32 keep 0.93."""
LEAST_OF_UNIFORM = 0.5
"""By default a search leaves every group at least this part of what uniform pruning would leave it.
The floor on kept importance alone lets a few wide groups, such as the trunk of a residual network,
pay for all others: there the surrogates extrapolate, and training repairs it only in part
(`benchmarks/quality/proxies.py`). With the proxy `layers` it hardly matters."""


def least_share(
    architecture: Architecture, band: FlopsBand, fits: Callable[[Counts], Bools] | None = None
) -> float:
    """The share of its channels that a search within `band` leaves every group by default.

    `fits` (`n x groups` -> `n`) says of configurations whether they meet what else is asked.
    """
    ratios = np.linspace(1.0 / RATIOS, 1.0, RATIOS)
    places = np.rint(ratios[:, None] * (architecture.widths // architecture.multiples))
    counts = (np.maximum(places, 1) * architecture.multiples).astype(np.int64)
    fitting = flops(architecture, counts) <= band.high
    if fits is not None and fitting.any():
        fitting[fitting] = fits(counts[fitting])
    return LEAST_OF_UNIFORM * float(ratios[fitting].max(initial=ratios[0]))


GOLDEN = 0.6180339887498949


def uniform(space: SearchSpace, band: FlopsBand) -> Counts:
    """Every group at the same ratio, rounded to the grid, in the band: `groups`.

    Uniform pruning spends the budget that it is given, so of what rounds into the band the one
    nearest the budget counts. Where many groups round up at one ratio, only some of them do, spread
    over the network, so no group is further than a grid step from its nearest count.

    Raises:
        InfeasibleError: the band is out of reach of the space.
    """
    repair = Repair(space, band)
    rows = ladder(space)
    last = max(int((repair.flops(rows) <= band.high).sum()) - 1, 0)
    between = _between(rows[last], rows[min(last + 1, len(rows) - 1)])
    flops = repair.flops(between)
    best = np.where(flops <= band.high, flops, -1.0).argmax()
    # A band narrower than any such step is met exactly by the repair.
    found: Counts = repair(between[[best]])[0]
    return found


def uniform_within(
    space: SearchSpace, band: FlopsBand, latency: Callable[[Counts], Floats], limit_ms: float
) -> Counts:
    """As `uniform`, the widest whose latency (`n x groups` -> `n` ms) is at most `limit_ms`.

    Raises:
        InfeasibleError: none that the space allows within the band is that fast.
    """
    repair = Repair(space, band)
    rows = ladder(space)
    fits = band.contains(repair.flops(rows)) & (latency(rows) <= limit_ms)
    if not fits.any():
        fastest = float(latency(space.smallest[None])[0])
        raise InfeasibleError(
            f"the latency budget must be at least the {fastest:.4g} ms that is predicted, doubt "
            f"included, of the narrowest allowed network, but got {limit_ms:.4g} ms: raise it, or "
            f"lower `--min-width`, `--step` or `--risk`"
        )
    last = int(np.flatnonzero(fits)[-1])
    between = _between(rows[last], rows[min(last + 1, len(rows) - 1)])
    within = band.contains(repair.flops(between)) & (latency(between) <= limit_ms)
    found: Counts = between[np.flatnonzero(within)[-1]]
    return found


def ladder(space: SearchSpace) -> Counts:
    """Every network of one ratio, rounded to the grid, from the narrowest: `n x groups`."""
    counts = space.snap(np.linspace(0.0, 1.0, RATIOS + 1)[:, None] * space.architecture.widths)
    different = np.append(True, (np.diff(counts, axis=0) != 0).any(axis=1))
    distinct: Counts = counts[different]
    return distinct


def _between(low: Counts, high: Counts) -> Counts:
    """From `low` to `high`, one group after the other: `m x groups`, the first of them `low`."""
    differing = np.flatnonzero(low != high)
    order = differing[(np.arange(len(differing)) * GOLDEN % 1.0).argsort()]
    rows = np.repeat(low[None], len(order) + 1, axis=0)
    for taken, group in enumerate(order):
        rows[taken + 1 :, group] = high[group]
    return rows


@dataclass(frozen=True)
class UniformNetwork:
    """Every group at one ratio, rounded to multiples of `step`: `counts` (groups)."""

    step: int
    counts: Counts

    @property
    def name(self) -> str:
        """As tables and documents call it."""
        return f"uniform-{self.step}"


def uniform_networks(
    space: SearchSpace, budget: int, fits: Callable[[Counts], Bools] | None = None
) -> tuple[UniformNetwork, ...]:
    """Of every grid the widest uniform network of at most `budget` FLOPs, no network twice.

    What one gets without a search; groups that are fixed in `space` stay. `fits` (`n x groups` ->
    `n`) says of configurations whether they meet what else is asked. A grid on which none does has
    none.
    """
    found: dict[bytes, UniformNetwork] = {}
    for step in GRIDS:
        counts = _widest(space.on_grid(step), budget, fits)
        if counts is not None:
            found[counts.tobytes()] = UniformNetwork(step, counts)
    return tuple(found.values())


def hardest_to_beat(
    networks: tuple[UniformNetwork, ...],
    space: SearchSpace,
    budget: int,
    latency: Callable[[Counts], Floats],
    log_kept: Callable[[Counts], Floats],
) -> UniformNetwork:
    """The one that would be fastest if all kept the same importance; of those that keep nearly as
    much as the one that keeps most.

    What importance costs on this fleet, in log latency, is seen from each grid's network at a
    smaller budget; it brings networks of unequal importance to the same.
    """
    widest = np.stack([network.counts for network in networks])
    narrower = [_widest(space.on_grid(n.step), int(NARROWER * budget)) for n in networks]
    other = np.stack([w if n is None else n for w, n in zip(widest, narrower, strict=True)])
    log_ms, kept = np.log(latency(widest)), log_kept(widest)
    costs, less = log_ms - np.log(latency(other)), kept - log_kept(other)
    price = max(float(costs @ less), 0.0) / max(float(less @ less), 1e-12)
    comparable = kept >= kept.max() + np.log(COMPARABLE)
    return networks[int(np.where(comparable, log_ms - price * kept, np.inf).argmin())]


def _widest(
    space: SearchSpace, budget: int, fits: Callable[[Counts], Bools] | None = None
) -> Counts | None:
    """The widest uniform network on the grid of `space` within the budget; None where none is."""
    rows = ladder(space)
    within = flops(space.architecture, rows) <= budget
    if fits is not None and within.any():
        within[within] = fits(rows[within])
    return rows[np.flatnonzero(within)[-1]] if within.any() else None
