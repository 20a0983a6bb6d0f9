"""Exact repair of proposals into the FLOPs band: no candidate is ever thrown away for its FLOPs."""

from functools import cached_property

import numpy as np

from hdap.fleet_data.architecture import Counts
from hdap.fleet_data.costs import format_flops
from hdap.fleet_data.errors import InfeasibleError
from hdap.fleet_data.records import Bools, Floats, Ints
from hdap.search.problem.budget import FlopsBand
from hdap.search.problem.enumeration import fullest
from hdap.search.problem.quadratic_flops import QuadraticFlops
from hdap.search.problem.search_space import SearchSpace

SCALINGS = 5
"""Newton steps on the common factor; they converge quadratically, and the finish is exact."""
FAR = 0.02
"""Relative distance from the band beyond which a row is scaled as a whole before one group pays."""
PAIR_ROUNDS = 4
PAIR_REACH = 3
PAIR_NEAR = 3


class Repair:
    """Moves configurations onto the grid and into the FLOPs band, up or down, deterministically.

    A row already there is returned unchanged. A row far from the band is first scaled by one
    common factor, as uniform pruning would; what is missing then is made up by the one group
    that needs the smallest move; where no single group hits the band, pairs of groups are moved.
    Fixed groups never move. A row that even this leaves outside (a band narrower than the grid is
    fine) becomes `anchor`, a configuration in the band.

    Raises:
        InfeasibleError: on construction, when the budget is out of reach of the space or no
            configuration in the band can be found.
    """

    def __init__(self, space: SearchSpace, band: FlopsBand) -> None:
        self.space = space
        self.band = band
        self._form = QuadraticFlops(space.architecture)
        self._low, self._high = self._form.limits(band)
        self._require_reach()
        self.anchor = self._find_anchor()

    def flops(self, counts: Counts) -> Floats:
        """FLOPs, exact: `n x groups` -> `n`."""
        return self._form.flops(self._form.cost(counts.astype(np.float64)))

    def slopes(self, counts: Counts) -> Floats:
        """FLOPs that one more channel of a group costs, to first order: `n x groups`."""
        return self._form.slopes(counts.astype(np.float64)) / self._form.divisor

    def pair_flops(
        self, center: Counts, group: Ints, change: Ints, first: Ints, second: Ints
    ) -> Floats:
        """FLOPs after two moves of different groups at once, exact.

        Move m adds `change[m]` to `group[m]` of `center` (`groups`); the pairs are moves
        `first[i]` and `second[i]`.
        """
        values = center[None].astype(np.float64)
        own = (self._form.slopes(values)[0, group] + self._form.square[group] * change) * change
        cross = 2.0 * self._form.mixed[group[first], group[second]] * change[first] * change[second]
        cost = self._form.cost(values)[0] + own[first] + own[second] + cross
        return self._form.flops(cost)

    def __call__(self, counts: Floats | Counts, reluctance: Floats | None = None) -> Counts:
        """Repaired configurations.

        Args:
            counts: any numbers, `n x groups`.
            reluctance: `n x groups`, > 0; the group that finishes a row is the one with the
                smallest product of this and its relative move. Without it all groups are alike.
        """
        moved, outside = self._attempt(counts, reluctance)
        moved[outside] = self.anchor
        return moved

    def _attempt(
        self, counts: Floats | Counts, reluctance: Floats | None = None
    ) -> tuple[Counts, Bools]:
        moved = self.space.snap(np.asarray(counts, dtype=np.float64))
        rows = np.flatnonzero(self._gap(moved) != 0.0)
        if len(rows):
            some = self._scaled(moved[rows])
            some = self._finish(some, _rows(reluctance, rows))
            stuck = np.flatnonzero(self._gap(some) != 0.0)
            if len(stuck):
                some[stuck] = self._pairs(some[stuck])
            moved[rows] = some
        return moved, self._gap(moved) != 0.0

    def _gap(self, counts: Counts) -> Floats:
        """How far costs are above the band (> 0) or below it (< 0), 0 inside: `n`."""
        return self._excess(self._form.cost(counts.astype(np.float64)))

    def _excess(self, cost: Floats) -> Floats:
        found: Floats = np.maximum(cost - self._high, 0.0) + np.minimum(cost - self._low, 0.0)
        return found

    def _scaled(self, counts: Counts) -> Counts:
        """Far rows multiplied by the one factor that brings them to the middle of the band."""
        far = np.abs(self._gap(counts)) > FAR * self._high
        if not far.any():
            return counts
        counts, every = counts[far], counts.copy()
        values, target = counts.astype(np.float64), (self._low + self._high) / 2.0
        low, high = self.space.smallest, self.space.widest
        factor = np.ones((len(counts), 1))
        for _ in range(SCALINGS):
            at = np.clip(values * factor, low, high)
            growing = np.where((at > low) & (at < high), values, 0.0)
            slope = (self._form.slopes(at) * growing).sum(1)
            # A row pressed against its bounds has no slope: nudge it inwards.
            change = (target - self._form.cost(at)) / np.maximum(slope, 1e-3 * target)
            factor *= np.clip(1.0 + change[:, None] / factor, 0.5, 2.0)
        every[far] = self.space.snap(np.clip(values * factor, low, high))
        return every

    def _finish(self, counts: Counts, reluctance: Floats) -> Counts:
        """Single-group moves, each the smallest that hits the band or else comes nearest."""
        counts = counts.copy()
        for _ in range(2 * counts.shape[1]):
            gap = self._gap(counts)
            rows = np.flatnonzero(gap != 0.0)
            if not len(rows):
                break
            moved = self._best_single(counts[rows], _rows(reluctance, rows))
            better = np.abs(self._gap(moved)) < np.abs(gap[rows])
            counts[rows[better]] = moved[better]
            if not better.any():
                break
        return counts

    def _best_single(self, counts: Counts, reluctance: Floats) -> Counts:
        values = counts.astype(np.float64)
        cost, slopes = self._form.cost(values)[:, None], self._form.slopes(values)
        down = cost > self._high
        needed = np.where(down, self._high, self._low) - cost
        edge = counts + _solve(self._form.square, slopes, needed)
        past = np.where(down, self.space.at_most(edge), self.space.at_least(edge))
        short = np.clip(np.where(down, past + 1, past - 1), 0, self.space.sizes - 1)
        # Two moves a group: past the near edge of the band, and the last one short of it.
        step = np.stack([self.space.counts(x) - counts for x in (past, short)])
        miss = np.abs(self._excess(cost + (slopes + self._form.square * step) * step))
        # Hits by their price; then misses, by what they leave.
        rank = np.where(miss > 0.0, 1e12 + miss, np.abs(step) / self.space.widest * reluctance)
        rank[step == 0] = np.inf
        flat = rank.swapaxes(0, 1).reshape(len(counts), -1)
        which, group = np.divmod(flat.argmin(axis=1), counts.shape[1])
        moved, lines = counts.copy(), np.arange(len(counts))
        moved[lines, group] += step[which, lines, group]
        return moved

    def _pairs(self, counts: Counts) -> Counts:
        """Rows that no single group brings home: the best moves of two groups at once."""
        found = counts.copy()
        for row, values in enumerate(counts):
            for _ in range(PAIR_ROUNDS):
                before = np.abs(self._gap(values[None]))[0]
                values = self._best_pair(values) if before else values
                if np.abs(self._gap(values[None]))[0] >= before:
                    break
            found[row] = values
        return found

    def _best_pair(self, counts: Counts) -> Counts:
        groups, step = self._steps_around(counts)
        values = counts[None].astype(np.float64)
        own = (self._form.slopes(values)[0, groups] + self._form.square[groups] * step) * step
        cost = self._form.cost(values)[0]
        # For every first move the second ones whose cost is nearest to what is then missing;
        # the product of two neighbouring groups is left to the exact check.
        order = own.argsort(kind="stable")
        missing = (self._low + self._high) / 2.0 - cost - own
        near = np.searchsorted(own[order], missing)[:, None] + np.arange(-PAIR_NEAR, PAIR_NEAR)
        second = order[np.clip(near, 0, len(order) - 1)]
        first = np.broadcast_to(np.arange(len(order))[:, None], second.shape)
        cross = 2.0 * self._form.mixed[groups[first], groups[second]] * step[first] * step[second]
        miss = np.abs(self._excess(cost + own[first] + own[second] + cross))
        miss[groups[first] == groups[second]] = np.inf
        move = np.abs(step) / self.space.widest[groups]
        best = np.lexsort(((move[first] + move[second]).ravel(), miss.ravel()))[0]
        moved = counts.copy()
        for chosen in (first.ravel()[best], second.ravel()[best]):
            moved[groups[chosen]] += step[chosen]
        return moved

    def _steps_around(self, counts: Counts) -> tuple[Ints, Ints]:
        at = self.space.index(counts[None])[0]
        reach = np.concatenate([np.arange(-PAIR_REACH, 0), np.arange(1, PAIR_REACH + 1)])
        index = at[:, None] + reach
        groups, column = np.nonzero((index >= 0) & (index < self.space.sizes[:, None]))
        return groups, self.space.table[groups, index[groups, column]] - counts[groups]

    @cached_property
    def _reach(self) -> tuple[float, float]:
        ends = self.flops(np.stack([self.space.smallest, self.space.widest]))
        return float(ends[0]), float(ends[1])

    def _require_reach(self) -> None:
        smallest, largest = self._reach
        asked = f"{format_flops(self.band.low)}-{format_flops(self.band.high)}"
        if smallest > self.band.high:
            raise InfeasibleError(
                f"the budget must be at least the {format_flops(smallest)} FLOPs of the narrowest "
                f"allowed network, but got {asked}: raise it, or lower `--min-width` or `--step`"
            )
        if largest < self.band.low:
            raise InfeasibleError(
                f"the budget must be at most the {format_flops(largest)} FLOPs of the widest "
                f"allowed network, but got {asked}: lower it, or free a fixed group"
            )

    def _find_anchor(self) -> Counts:
        ratios = np.linspace(0.0, 1.0, 65)[1:, None] * self.space.widest
        rng = np.random.default_rng(0)
        moved, outside = self._attempt(np.vstack([ratios, self.space.random(64, rng)]))
        if outside.all():
            nearest = fullest(self.space, self.band.high)
            if self._gap(nearest[None])[0] == 0.0:
                return nearest
            raise InfeasibleError(
                f"no grid point lies within the band of {self.band.low}-{self.band.high} FLOPs: "
                f"widen `--flops-tol` or lower `--step` (now {self.space.step})"
            )
        anchor: Counts = moved[~outside][0]
        return anchor


def _rows(reluctance: Floats | None, rows: Ints) -> Floats:
    return np.ones((len(rows), 1)) if reluctance is None else reluctance[rows]


def _solve(square: Floats, slope: Floats, needed: Floats) -> Floats:
    """The real move d with `square d^2 + slope d = needed`; far below any count where none is."""
    inside = slope * slope + 4.0 * square * needed
    root = slope + np.sqrt(np.maximum(inside, 0.0))
    move = np.divide(2.0 * needed, root, out=np.zeros_like(root), where=root > 0.0)
    return np.where((inside < 0.0) | (root <= 0.0), np.sign(needed) * 1e9, move)
