"""The least sum of small tables over grid positions, exact: variable elimination.

Bertelè and Brioschi, "Nonserial Dynamic Programming", 1972. A convolution ties the groups of its
input and output together; in a chain of layers, and in residual networks, few groups have to be
looked at together, so the least of an astronomical number of configurations is found exactly.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from hdap.fleet_data.records import Floats, Ints

Scope = tuple[int, ...]
"""Variables that a table depends on, ascending; its axes in this order."""


@dataclass(frozen=True)
class _Bucket:
    """One variable's elimination: the tables that hold it and what is left when it is gone."""

    variable: int
    union: Scope
    members: tuple[Scope, ...]
    left: Scope


class Elimination:
    """Minimises sums of tables of these scopes over variables of these sizes, again and again.

    Every variable must have a table. `entries` is how many table entries one call of `least` looks
    at.
    """

    def __init__(self, sizes: Ints, scopes: Sequence[Scope]) -> None:
        self.sizes = sizes
        self._buckets = _order(sizes, set(scopes))
        self.entries = sum(entries(sizes, b.union) for b in self._buckets)

    def least(self, tables: Mapping[Scope, Floats]) -> Ints:
        """The position of every variable where the sum of the tables is least."""
        open_tables: dict[Scope, Floats] = dict(tables)
        held: list[list[tuple[Scope, Floats]]] = []
        for bucket in self._buckets:
            mine = [(s, open_tables.pop(s)) for s in bucket.members]
            held.append(mine)
            if bucket.left:
                message, known = _eliminated(bucket, mine), open_tables.get(bucket.left)
                open_tables[bucket.left] = message if known is None else known + message
        found = np.zeros(len(self.sizes), dtype=np.int64)
        for bucket, mine in zip(reversed(self._buckets), reversed(held), strict=True):
            row = np.zeros(self.sizes[bucket.variable])
            for scope, table in mine:
                at = tuple(slice(None) if v == bucket.variable else found[v] for v in scope)
                row = row + table[at]
            found[bucket.variable] = int(row.argmin())
        return found


def _eliminated(bucket: _Bucket, mine: list[tuple[Scope, Floats]]) -> Floats:
    """The least over the bucket's variable of the sum of its tables."""
    # The variable last: minima over neighbours in memory.
    axes = (*bucket.left, bucket.variable)
    parts = sorted((_aligned(scope, table, axes) for scope, table in mine), key=np.size)
    total = parts[0]
    for part in parts[1:]:
        total = total + part
    result: Floats = np.broadcast_to(
        total.min(axis=-1), np.broadcast_shapes(*(p.shape[:-1] for p in parts))
    )
    return result


def _aligned(scope: Scope, table: Floats, axes: Scope) -> Floats:
    """The table with its axes in the order of `axes`, length 1 where it has none."""
    there = [v for v in axes if v in scope]
    moved = table.transpose([scope.index(v) for v in there])
    shape = iter(moved.shape)
    return np.ascontiguousarray(moved).reshape([next(shape) if v in scope else 1 for v in axes])


def _order(sizes: Ints, scopes: set[Scope]) -> tuple[_Bucket, ...]:
    """Variables in an order of small tables: the one whose elimination looks at least is next."""
    waiting, open_scopes = set(range(len(sizes))), set(scopes)
    buckets = []
    while waiting:
        unions = {v: _union(open_scopes, v) for v in waiting}
        variable = min(waiting, key=lambda v: (entries(sizes, unions[v]), v))
        members = tuple(sorted(s for s in open_scopes if variable in s))
        left = tuple(v for v in unions[variable] if v != variable)
        buckets.append(_Bucket(variable, unions[variable], members, left))
        open_scopes -= set(members)
        if left:
            open_scopes.add(left)
        waiting.remove(variable)
    return tuple(buckets)


def _union(scopes: set[Scope], variable: int) -> Scope:
    return tuple(sorted({variable}.union(*(s for s in scopes if variable in s))))


def entries(sizes: Ints, scope: Scope) -> int:
    """Entries of a table over these variables."""
    # Python's integers: a product of many sizes leaves 64 bits.
    entries = 1
    for variable in scope:
        entries *= int(sizes[variable])
    return entries
