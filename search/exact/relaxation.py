"""A search problem with its coupling constraints priced: sums of small tables, solved exactly.

The `fleet` surrogate's objective is convex in quantities that are sums over layers
(`FleetModel.tangent`), FLOPs are a quadratic form, kept importance is a sum over groups. So with
the objective replaced by a tangent, and prices on FLOPs and on kept importance (Lagrangian
relaxation: Geoffrion, "Lagrangean Relaxation for Integer Programming", 1974), what is left is a
sum of tables over one or two groups each, which `Elimination` minimises exactly.
"""

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np

from hdap.fleet_data.architecture import Channels, Counts
from hdap.fleet_data.costs import flops_form
from hdap.fleet_data.records import Floats
from hdap.search.exact.variable_elimination import Elimination, Scope, entries
from hdap.search.problem.search_problem import SearchProblem
from hdap.surrogate.learning.physics import TERMS, Physics

MOST_ENTRIES = 30_000_000
"""Table entries that one minimisation may look at: about half a second."""
MOST_TERMS = 60_000_000
"""Terms held in memory, 8 bytes each."""


@runtime_checkable
class AdditiveLatency(Protocol):
    """A latency model whose objective has tangents that are sums over layers."""

    @property
    def physics(self) -> Physics:
        """The terms that it is made of."""
        ...

    def priced(self, counts: Counts) -> tuple[Floats, Floats]:
        """Cost (n) and features (`n x D`): `B` and `F / B` of n networks."""
        ...

    def tangent(self, features: Floats, shares: Floats, risk: float) -> Floats:
        """Prices (`terms x layers`) of a sum that is nowhere above the objective."""
        ...


@dataclass(frozen=True)
class Priced:
    """The minimiser of a priced sum, `counts` (groups): its latency by the tangent, its FLOPs and
    the logarithm of its kept importance."""

    counts: Counts
    latency_ms: float
    flops: float
    log_kept: float


class Relaxation:
    """Minimises `tangent + flops_price * FLOPs - kept_price * log kept importance` over the grid.

    Build it with `of`, which returns None where the problem has no such structure.
    """

    def __init__(self, problem: SearchProblem, latency: AdditiveLatency) -> None:
        self.problem, self.latency = problem, latency
        physics = latency.physics
        self._terms = [
            (layer, scope, _layer_table(problem, physics, layer, scope))
            for layer, scope in _scopes(physics)
        ]
        self._flops = flops_tables(problem)
        self._kept = kept_tables(problem)
        every = {scope for _, scope, _ in self._terms} | set(self._flops) | set(self._kept)
        self._elimination = Elimination(problem.space.sizes, sorted(every))

    @classmethod
    def of(cls, problem: SearchProblem) -> "Relaxation | None":
        """The relaxation of `problem`; None where its surrogates have no such structure or its
        tables are too large."""
        latency = problem.latency
        if not isinstance(latency, AdditiveLatency):
            return None
        sizes, scopes = problem.space.sizes, [scope for _, scope in _scopes(latency.physics)]
        terms = len(TERMS) * sum(entries(sizes, scope) for scope in scopes)
        looked_at = Elimination(sizes, [*scopes, *_flops_scopes(problem)]).entries
        if terms > MOST_TERMS or looked_at > MOST_ENTRIES:
            return None
        return cls(problem, latency)

    def tables(self, prices: Floats) -> dict[Scope, Floats]:
        """The sum over layers at these prices (`terms x layers`), as tables over the grid."""
        found: dict[Scope, Floats] = {}
        for layer, scope, terms in self._terms:
            table = np.tensordot(prices[:, layer], terms, axes=1)
            found[scope] = found[scope] + table if scope in found else table
        return found

    def least(self, tables: dict[Scope, Floats], flops_price: float, kept_price: float) -> Priced:
        """The minimiser at these prices of one FLOP and of one unit of the logarithm of kept
        importance; `tables` are of one tangent."""
        priced = dict(tables)
        for extra, price in ((self._flops, flops_price), (self._kept, -kept_price)):
            for scope, table in extra.items():
                scaled = price * table
                priced[scope] = priced[scope] + scaled if scope in priced else scaled
        counts = self.problem.space.counts(self._elimination.least(priced)[None])
        return Priced(
            counts[0],
            self.latency_of(tables, counts[0]),
            float(self.problem.repair.flops(counts)[0]),
            float(self.problem.importance.log_kept(counts)[0]),
        )

    def latency_of(self, tables: dict[Scope, Floats], counts: Counts) -> float:
        """What a tangent's tables say of one network on the grid (`groups`)."""
        position = self.problem.space.index(counts[None])[0]
        return float(sum(table[tuple(position[list(scope)])] for scope, table in tables.items()))


def _scopes(physics: Physics) -> list[tuple[int, Scope]]:
    """Number of every layer, and the groups that it depends on."""
    return [
        (number, tuple(sorted({g for side in (x.inputs, x.outputs) for g, _ in side.terms})))
        for number, x in enumerate(physics.layers)
    ]


def _layer_table(problem: SearchProblem, physics: Physics, layer: int, scope: Scope) -> Floats:
    """`terms x sizes of the scope`: the layer's terms at every position of its groups."""
    space = problem.space
    grids = np.meshgrid(*(space.levels[g] for g in scope), indexing="ij")
    flat = {g: grid.ravel() for g, grid in zip(scope, grids, strict=True)}
    cells = entries(space.sizes, scope)
    described = physics.layers[layer]
    inputs, outputs = (_channels(x, flat, cells) for x in (described.inputs, described.outputs))
    terms = physics.layer_terms(layer, inputs, outputs)
    table: Floats = terms.reshape(len(terms), *(space.sizes[list(scope)].tolist()))
    return table


def _channels(side: Channels, flat: dict[int, Counts], cells: int) -> Counts:
    total = np.full(cells, side.constant, dtype=np.int64)
    for group, factor in side.terms:
        total += factor * flat[group]
    return total


def _flops_scopes(problem: SearchProblem) -> list[Scope]:
    """Every group by itself, and pairs of groups whose product FLOPs depend on."""
    form = flops_form(problem.architecture)
    pairs = [(low, high) for low, high in np.argwhere(np.triu(form.quadratic, 1)).tolist()]
    return [*((g,) for g in range(len(problem.space.levels))), *pairs]


def flops_tables(problem: SearchProblem) -> dict[Scope, Floats]:
    """FLOPs but for what no group moves, as tables over the grid."""
    form, levels = flops_form(problem.architecture), problem.space.levels
    found: dict[Scope, Floats] = {}
    for scope in _flops_scopes(problem):
        own = [levels[g].astype(np.float64) for g in scope]
        if len(scope) == 1:
            group = scope[0]
            per_channel = form.linear[group] + form.quadratic[group, group] * own[0]
            found[scope] = per_channel * own[0] / form.divisor
        else:
            factor = form.quadratic[scope[0], scope[1]] / form.divisor
            found[scope] = factor * np.multiply.outer(own[0], own[1])
    return found


def kept_tables(problem: SearchProblem) -> dict[Scope, Floats]:
    """The logarithm of kept importance, as tables over the grid."""
    logarithms, groups = problem.importance.logarithms, len(problem.space.levels)
    return {(g,): logarithms[g, own] / groups for g, own in enumerate(problem.space.levels)}
