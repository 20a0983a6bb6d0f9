"""Greedy shrinking from the dense network, in the manner of NetAdapt."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from hdap.fleet_data.architecture import Counts
from hdap.fleet_data.records import Floats, Ints
from hdap.search.problem.search_problem import SearchProblem
from hdap.search.samplers.base import GridSampler
from hdap.search.samplers.marginal_moves import LookupTable
from hdap.search.samplers.moves import generator_state, set_generator_state

FIRST_DECREMENT = 0.1
DECREMENTS = (0.01, 0.2)


class NetAdaptSampler(GridSampler):
    """One group shrinks at each step: the one that frees the wanted resource at least loss.

    Yang et al., NetAdapt, ECCV 2018, section 3 and algorithm 1. From the widest network, each step
    asks of every group the largest count that frees `decrement` (a share of what is used now), and
    shrinks the group that loses the least kept importance, which stands for NetAdapt's accuracy
    after short-term fine-tuning; the surrogates are its lookup table. A pass ends when its network
    is within the budget. Every step's network, repaired into the band, is a trial.

    The resource of the first pass is latency alone and its decrement a tenth, so the first pass is
    the same for every seed. NetAdapt would be done then; later passes draw a decrement and a
    resource between latency and FLOPs (in logarithms), because latency alone leaves kept importance
    to chance and a search has a floor on it.
    """

    def __init__(self, problem: SearchProblem, seed: int = 0) -> None:
        super().__init__(problem, seed)
        self._rng = np.random.default_rng(seed)
        self._table = LookupTable(problem)
        self._told = 0
        self._current: Counts
        self._start(FIRST_DECREMENT, 0.0)

    @property
    def scored(self) -> int:
        """Configurations that the surrogates were asked about so far."""
        return self._table.asked

    def propose(self) -> Counts:
        self._told += 1
        if self._told == 1:
            return self.problem.uniform
        if not self._step():
            low, high = np.log(DECREMENTS)
            self._start(float(np.exp(self._rng.uniform(low, high))), float(self._rng.random()))
            self._step()
        found: Counts = self.problem.repair(self._current[None])[0]
        return found

    def state(self) -> dict[str, Any]:
        return {
            "generator": generator_state(self._rng),
            "current": self._current.tolist(),
            "decrement": self._decrement,
            "flops_share": self._flops_share,
            "told": self._told,
            "scored": self.scored,
        }

    def restore(self, state: Mapping[str, Any], told: Counts) -> None:
        if not state:
            self._told = len(told)
            return
        set_generator_state(self._rng, state["generator"])
        self._current = np.array(state["current"], dtype=np.int64)
        self._decrement, self._flops_share = state["decrement"], state["flops_share"]
        self._told, self._table.asked = state["told"], state["scored"]

    def _start(self, decrement: float, flops_share: float) -> None:
        self._current = self.problem.space.widest
        self._decrement, self._flops_share = decrement, flops_share

    def _step(self) -> bool:
        """Shrink one group; False at the end of a pass, where nothing moved."""
        problem, space = self.problem, self.problem.space
        if self._within_budget():
            return False
        index = space.index(self._current[None])[0]
        group = np.flatnonzero(index > 0)
        used = float(self._resource(self._current[None])[0])
        least = self._at(group, np.zeros_like(group))
        if not least.min(initial=used) < used:
            return False
        # Where no single group frees that much, one gives all that it can.
        target = max(used + float(np.log1p(-self._decrement)), float(least.min()))
        group = group[least <= target]
        place = self._largest(group, index[group], target)
        shares = problem.importance.log_shares
        rows = self._table.singles(self._current, group, place)
        self._current = rows[shares(rows).sum(axis=1).argmax()]
        return True

    def _within_budget(self) -> bool:
        problem, current = self.problem, self._current[None]
        if problem.repair.flops(current)[0] > problem.band.high:
            return False
        limit = problem.limit_ms
        return limit is None or bool(self._table.log_ms(current)[0] <= np.log(limit))

    def _largest(self, group: Ints, index: Ints, target: float) -> Ints:
        """The largest grid position of each group that uses no more than `target`: bisection.

        `index` is where the groups are; position 0 is known to hold.
        """
        low, high = np.zeros_like(index), index.copy()
        while len(wide := np.flatnonzero(high - low > 1)):
            middle = (low[wide] + high[wide]) // 2
            holds = self._at(group[wide], middle) <= target
            low[wide[holds]], high[wide[~holds]] = middle[holds], middle[~holds]
        return low

    def _at(self, group: Ints, index: Ints) -> Floats:
        return self._resource(self._table.singles(self._current, group, index))

    def _resource(self, counts: Counts) -> Floats:
        flops = np.log(self.problem.repair.flops(counts))
        log_ms = self._table.log_ms(counts)
        used: Floats = (1.0 - self._flops_share) * log_ms + self._flops_share * flops
        return used
