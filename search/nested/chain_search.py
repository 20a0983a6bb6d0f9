"""The search for a chain of nested levels: which points share one, and what each level keeps."""

from dataclasses import replace

import numpy as np

from hdap.fleet_data.architecture import Counts
from hdap.fleet_data.costs import flops
from hdap.fleet_data.errors import InfeasibleError
from hdap.fleet_data.records import Bools, Floats, Ints
from hdap.search.exact.best_parts import best_parts
from hdap.search.nested.nested_chain import Chain, NestedRequest, require_nested
from hdap.search.problem.objectives import parse_goals
from hdap.search.problem.search_problem import SearchProblem
from hdap.search.problem.search_space import NARROWEST_SHARE, SearchSpace
from hdap.search.problem.uniform import least_share
from hdap.search.samplers.evolution import Evolution

GENERATIONS = 6
SWEEPS = 2
UNIFORMS = 96


class ChainSearch:
    """The points from the least to the most demanding, and solutions for groups of neighbours."""

    def __init__(self, request: NestedRequest) -> None:
        self.request = request
        self.architecture = request.points.surrogate.architecture
        self.names = tuple(group.name for group in self.architecture.groups)
        self._solved: dict[tuple[bytes, ...], Counts] = {}
        self._uniform = self._uniforms()
        fits = request.ucb_ms(self._uniform) <= request.target_ms
        self._require(fits)
        # the widest uniform network that each point can run, by its place among the uniforms
        self._widest = np.where(fits, np.arange(len(fits))[:, None], 0).max(axis=0)
        ease = request.ucb_ms(self._uniform[:1])[0]
        self.order = np.lexsort((ease, -self._widest))
        kept = request.importance.kept(self._uniform)
        self._value = kept[self._widest[self.order]]
        self.alone = float(kept[self._widest] @ request.points.weight)

    def chain(self, levels: int) -> Chain:
        """The best chain of at most so many levels, from the widest to the narrowest."""
        upper = self.architecture.widths
        found: list[Counts] = []
        for first, end in best_parts(self.request.points.weight[self.order], self._value, levels):
            upper = self._solve(self.order[first:end], np.ones_like(upper), upper)
            found.append(upper)
        return self._served(np.stack(found[::-1]))

    def refined(self, chain: Chain) -> Chain:
        """Each level searched again between its neighbours, as long as the mean rises."""
        for _ in range(SWEEPS):
            before = chain.mean_kept
            for place in range(len(chain)):
                chain = self._improved(chain, place)
            if chain.mean_kept <= before:
                break
        return chain

    def with_one_between(self, chain: Chain) -> Chain | None:
        """One more level in the middle of the widest gap that has room; None where none has."""
        logs = np.log(self._cost(chain.counts))
        space = self._space(np.arange(len(self.order)))
        ends = np.vstack([space.smallest[None], chain.counts])
        gaps = np.diff(logs, prepend=np.log(self._cost(ends[:1])[0]))
        for place in np.argsort(-gaps, kind="stable"):
            low, high = np.minimum(ends[place], ends[place + 1]), ends[place + 1]
            middle = np.clip(space.snap(np.sqrt(low * high)[None])[0], low, high)
            inside = self.request.band.contains(self._cost(middle[None]))[0]
            if inside and (middle != high).any() and (place == 0 or (middle != low).any()):
                return self._served(np.insert(chain.counts, place, middle, axis=0))
        return None

    def _uniforms(self) -> Counts:
        """Uniformly pruned networks within the band, narrow to wide."""
        request = self.request
        space = self._grid(NARROWEST_SHARE)
        ratios = np.linspace(0.0, 1.0, UNIFORMS)[:, None]
        rows = np.unique(
            space.snap((1.0 - ratios) * space.smallest + ratios * space.widest), axis=0
        )
        cost = self._cost(rows)
        inside = request.band.contains(cost)
        if not inside.any():
            raise InfeasibleError(
                f"the FLOPs band must hold a network of this grid, but got {request.band.low}-"
                f"{request.band.high} where uniform ones have {cost.min():.0f}-{cost.max():.0f}: "
                f"widen it"
            )
        widths: Counts = rows[inside][np.argsort(cost[inside], kind="stable")]
        return widths

    def _require(self, fits: Bools) -> None:
        missed = np.flatnonzero(~fits.any(axis=0))
        if not len(missed):
            return
        points, target = self.request.points, self.request.target_ms
        fastest = self.request.ucb_ms(self._uniform[:1])[0]
        worst = int(missed[fastest[missed].argmax()])
        raise InfeasibleError(
            f"some level must meet the target everywhere, but {points.words(worst)} takes at least "
            f"{fastest[worst]:.4g} ms (predicted, doubt included) with the narrowest allowed "
            f"network, where {target:.4g} ms are asked for ({len(missed)} of {len(points)} "
            f"operating points miss it): raise `--target-latency`, lower `--min-width`, or leave "
            f"that clock out"
        )

    def _improved(self, chain: Chain, place: int) -> Chain:
        mine = np.flatnonzero(chain.level == place)
        if not len(mine):
            return chain
        low = chain.counts[place - 1] if place else np.ones_like(self.architecture.widths)
        last = place + 1 == len(chain)
        high = self.architecture.widths if last else chain.counts[place + 1]
        found = self._solve(mine, low, high, chain.counts[place])
        if any((found == other).all() for other in chain.counts):
            return chain
        rows = chain.counts.copy()
        rows[place] = found
        other = self._served(rows)
        return other if other.mean_kept > chain.mean_kept else chain

    def _served(self, counts: Counts) -> Chain:
        """Each point gets the level that keeps most of those that meet its target."""
        counts = counts[np.append((np.diff(counts, axis=0) != 0).any(axis=1), True)]
        require_nested(counts, self.names)
        request = self.request
        kept = request.importance.kept(counts)
        fits = request.ucb_ms(counts) <= request.target_ms * (1.0 + 1e-9)
        level = np.where(fits, kept[:, None], -1.0).argmax(axis=0)
        got = kept[level]
        return Chain(counts, level, kept, float(got @ request.points.weight), float(got.min()))

    def _solve(self, rows: Ints, low: Counts, high: Counts, start: Counts | None = None) -> Counts:
        """Most kept importance with all points of `rows` within the target, between two bounds."""
        key = (np.sort(rows).tobytes(), low.tobytes(), high.tobytes())
        if key not in self._solved:
            self._solved[key] = self._searched(rows, low, high, start)
        return self._solved[key]

    def _searched(self, rows: Ints, low: Counts, high: Counts, start: Counts | None) -> Counts:
        request = self.request
        space = self._space(rows).between(low, high)
        points = request.points.at(rows)
        cheapest = int(self._cost(space.smallest[None])[0])
        band = replace(request.band, low=min(max(cheapest, request.band.low), request.band.high))
        problem = SearchProblem.build(
            space,
            band,
            points,
            points.fleet,
            request.importance,
            goals=parse_goals("worst"),
            risk=request.risk,
            limit_ms=request.target_ms,
        )
        widest = space.widest[None]
        if problem.evaluate(widest).feasible[0] or not len(space.free):
            return space.widest
        own = Evolution(problem, request.seed)
        uniforms = np.clip(self._uniform[self._widest[rows].min()], space.smallest, space.widest)
        known = [problem.repair(uniforms[None])]
        known += [] if start is None else [start[None]]
        own.inject(np.unique(np.vstack(known), axis=0))
        for _ in range(GENERATIONS):
            own.step()
        # nothing is faster than the narrowest, should a tight corner hide the rest from the search
        return own.best if problem.evaluate(own.best[None]).feasible[0] else space.smallest

    def _space(self, rows: Ints) -> SearchSpace:
        """The grid; no group narrower than half of what uniform pruning leaves for these points."""
        request = self.request
        points = replace(request, points=request.points.at(rows))
        share = least_share(
            self.architecture,
            request.band,
            lambda counts: points.ucb_ms(counts).max(axis=1) <= request.target_ms,
        )
        return self._grid(share)

    def _cost(self, counts: Counts) -> Floats:
        return flops(self.architecture, counts).astype(np.float64)

    def _grid(self, share: float) -> SearchSpace:
        request = self.request
        return SearchSpace.build(
            self.architecture, request.step, request.min_width, request.fixed, share
        )
