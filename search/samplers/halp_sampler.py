"""A knapsack of importance against latency, in the manner of HALP."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from hdap.fleet_data.architecture import Counts
from hdap.fleet_data.records import Floats
from hdap.search.problem.search_problem import SearchProblem
from hdap.search.samplers.base import GridSampler
from hdap.search.samplers.marginal_moves import LookupTable
from hdap.search.samplers.moves import generator_state, set_generator_state

SOLVED = 8
"""Knapsacks solved at a time, each with another share of FLOPs beside latency."""
FLOPS_SHARES = (-1.0, 1.0)
"""The share of FLOPs in what an item costs, latency being the rest; below 0 they are worth having,
because the band must be filled by layers that are cheap for their FLOPs."""
WORTH = (-8.0, 8.0)
"""Logarithm of what importance is worth, from a network at its narrowest to one at its widest."""
HALVINGS = 24
FIRST_PASS = (1, 16)
STEPS = (2, 4, 8, 16)
BLOCKS = (16, 32, 64)
PATIENCE = 2
"""Rounds of costs looked up again around the best without gain, after which a new pass begins."""


@dataclass(frozen=True)
class Items:
    """What each group can become, `groups x levels`: counts, and by how much each changes the
    logarithms of latency, of FLOPs (to first order) and of kept importance. `log_ms` is the
    latency of the network as it is."""

    log_ms: float
    counts: Counts
    latency: Floats
    flops: Floats
    kept: Floats


class HALPSampler(GridSampler):
    """Every group gets the width whose importance is worth its latency.

    Shen et al., Structural Pruning via Latency-Saliency Knapsack, NeurIPS 2022: section 3.1 poses
    pruning as a knapsack, whose items are blocks of channels (as wide as hardware's steps), each
    with the importance that it adds and the latency that it adds to the network as it is; section
    3.2 solves it. HALP knows no FLOPs budget, so items weigh FLOPs as well as latency here, and the
    knapsack is solved for several shares of the two at once. The Lagrangian solves it: at given
    prices each group has one best number of blocks, which keeps HALP's order of channels in a
    group, and the repair fills what is left of the band. As in HALP's iterative pruning the budget
    tightens in steps, and costs are looked up again around each step's network.

    The first pass takes one step from the widest network; later passes draw the number of steps and
    of blocks. The shares of one solve are spread evenly, at a random offset.
    """

    def __init__(self, problem: SearchProblem, seed: int = 0) -> None:
        super().__init__(problem, seed)
        self._rng = np.random.default_rng(seed)
        self._table = LookupTable(problem)
        self._queue: list[Counts] = [problem.uniform]
        self._center: Counts
        self._start(*FIRST_PASS)

    @property
    def scored(self) -> int:
        """Configurations that the surrogates were asked about so far."""
        return self._table.asked

    def propose(self) -> Counts:
        if not self._queue:
            self._queue = list(self._solve())
        return self._queue.pop(0)

    def state(self) -> dict[str, Any]:
        return {
            "generator": generator_state(self._rng),
            "queue": [row.tolist() for row in self._queue],
            "center": self._center.tolist(),
            "best": self._best if np.isfinite(self._best) else None,
            "steps": self._steps,
            "blocks": self._blocks,
            "step": self._step,
            "stale": self._stale,
            "scored": self.scored,
        }

    def restore(self, state: Mapping[str, Any], told: Counts) -> None:
        if not state:
            self._queue = []
            return
        set_generator_state(self._rng, state["generator"])
        self._queue = [np.array(row, dtype=np.int64) for row in state["queue"]]
        self._center = np.array(state["center"], dtype=np.int64)
        self._best = np.inf if state["best"] is None else state["best"]
        self._steps, self._blocks = state["steps"], state["blocks"]
        self._step, self._stale = state["step"], state["stale"]
        self._table.asked = state["scored"]

    def _start(self, steps: int, blocks: int) -> None:
        self._center = self.problem.space.widest
        self._best = np.inf
        self._steps, self._blocks = steps, blocks
        self._step = self._stale = 0

    def _solve(self) -> Counts:
        """The next step: costs around the network as it is, and the knapsacks at all shares."""
        if self._stale >= PATIENCE:
            self._start(int(self._rng.choice(STEPS)), int(self._rng.choice(BLOCKS)))
        found = self._knapsacks()
        while self._step < self._steps:
            kept = self.problem.importance.log_kept(found)
            floor = self.problem.log_floor if self.problem.floor > 0.0 else 0.0
            wanted = floor * self._step / self._steps
            self._center = found[np.abs(kept - wanted).argmin()]
            found = self._knapsacks()
        found = np.unique(self.problem.repair(found), axis=0)
        values = self._table.penalised(found)
        best = int(values.argmin())
        self._stale = 0 if values[best] < self._best * (1.0 - 1e-5) else self._stale + 1
        if self._stale == 0:
            self._center, self._best = found[best], float(values[best])
        return found

    def _knapsacks(self) -> Counts:
        """The most importance for its latency and FLOPs, at each share of FLOPs: `n x groups`.

        What importance is worth is halved down to the largest that keeps the budgets of this step.
        """
        self._step = min(self._step + 1, self._steps)
        items = self._items()
        low, high = FLOPS_SHARES
        spread = (np.arange(SOLVED) + self._rng.random()) / SOLVED
        share = (low + (high - low) * spread)[:, None, None]
        cost = (1.0 - share) * items.latency + share * items.flops
        least, most = (np.full(SOLVED, end) for end in WORTH)
        flops, log_ms = self._budgets()
        for _ in range(HALVINGS):
            middle = (least + most) / 2.0
            counts, change = _filled(items, cost, middle)
            over = (self.problem.repair.flops(counts) > flops) | (items.log_ms + change > log_ms)
            least, most = np.where(over, least, middle), np.where(over, middle, most)
        return _filled(items, cost, least)[0]

    def _budgets(self) -> tuple[float, float]:
        """FLOPs and logarithm of latency after this step: equal ratios from the widest network."""
        widest, share = self.problem.space.widest[None], self._step / self._steps
        flops = float(self.problem.repair.flops(widest)[0])
        flops *= float((self.problem.band.high / flops) ** share)
        if self.problem.limit_ms is None:
            return flops, np.inf
        log_ms = float(self._table.log_ms(widest)[0])
        return flops, log_ms + share * (float(np.log(self.problem.limit_ms)) - log_ms)

    def _items(self) -> Items:
        """What blocks cost and are worth around the network as it is, in one call."""
        space, center, repair = self.problem.space, self._center, self.problem.repair
        index, line = space.index(center[None])[0], np.arange(len(center))
        ends = (space.sizes - 1)[:, None]
        place = np.rint(np.linspace(0.0, 1.0, self._blocks + 1) * ends).astype(np.int64)
        place[line, np.abs(place - index[:, None]).argmin(axis=1)] = index
        group, level = np.nonzero(place != index[:, None])
        rows = self._table.singles(center, group, place[group, level])
        log_ms = self._table.log_ms(np.vstack([center[None], rows]))
        latency = np.zeros(place.shape)
        latency[group, level] = log_ms[1:] - log_ms[0]
        counts: Counts = space.table[line[:, None], place]
        slopes = repair.slopes(center[None])[0] / repair.flops(center[None])[0]
        shares = self.problem.importance.logarithms[line[:, None], counts] / len(center)
        flops = slopes[:, None] * (counts - center[:, None])
        return Items(float(log_ms[0]), counts, latency, flops, shares)


def _filled(items: Items, cost: Floats, log_worth: Floats) -> tuple[Counts, Floats]:
    """The best level of every group at each of n prices, and the change of log latency, added up.

    `cost` is `n x groups x levels`.
    """
    level = (np.exp(log_worth)[:, None, None] * items.kept - cost).argmax(axis=2)
    line = np.arange(len(items.counts))
    counts: Counts = items.counts[line, level]
    return counts, items.latency[line, level].sum(axis=1)
