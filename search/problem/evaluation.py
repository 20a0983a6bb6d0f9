"""What is predicted of configurations, what samplers compare, and trials made of it."""

from dataclasses import dataclass, fields
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hdap.fleet_data.architecture import Counts
from hdap.fleet_data.records import Bools, Floats, Ints, TrialBatch

Times = NDArray[np.datetime64]

PENALTY = 5.0
"""Steeper than latency can be bought with importance, so the floor holds at the optimum: on the
measured fleets 1 % of kept importance is worth about 1-2 % of latency."""


@dataclass(frozen=True)
class Scores:
    """What samplers compare: `value`, less is better; `violation` 0 where what is asked holds.

    `value` is that of the problem's first objective, so in milliseconds for most; `values` (`n x
    objectives`) are there in an evaluation for several.
    """

    value: Floats
    violation: Floats
    values: Floats | None = None

    @cached_property
    def order(self) -> Ints:
        """Best first: rows that keep the floor by value, then the others by violation."""
        return np.lexsort((self.value, self.violation))

    @property
    def penalised(self) -> Floats:
        """One number for optimisers that know no constraints: `n`."""
        return self.value * np.exp(PENALTY * self.violation)

    def at(self, rows: Ints | Bools) -> "Scores":
        """The chosen rows."""
        values = None if self.values is None else self.values[rows]
        return Scores(self.value[rows], self.violation[rows], values)

    @staticmethod
    def joined(*parts: "Scores") -> "Scores":
        """One after the other."""
        values = np.concatenate([p.value for p in parts])
        return Scores(values, np.concatenate([p.violation for p in parts]))


@dataclass(frozen=True)
class Evaluation:
    """All that is predicted of n configurations; latencies in ms, `cluster_*` are `n x K`.

    `objective` is what a person reads of the first latency objective (`Objective.reported`),
    without doubt. `values` (`n x objectives`) are what the search minimises where that is not
    `ucb_ms` alone: milliseconds, the share of devices late, importance given up, FLOPs.
    """

    counts: Counts
    flops: Ints
    parameters: Ints
    fleet_mean_ms: Floats
    fleet_mean_low_ms: Floats
    fleet_mean_high_ms: Floats
    fleet_p95_ms: Floats
    objective: Floats
    ucb_ms: Floats
    worst_cluster_ms: Floats
    worst_cluster: Ints
    kept_importance: Floats
    feasible: Bools
    cluster_ms: Floats
    cluster_low_ms: Floats
    cluster_high_ms: Floats
    values: Floats | None
    scores: Scores
    accuracy: Floats | None = None

    def trials(self, number: Ints, started_at: Times, finished_at: Times) -> TrialBatch:
        """The trials `number` (n) with what was predicted of them."""
        shared = {f.name for f in fields(TrialBatch)} & {f.name for f in fields(self)}
        columns: dict[str, Any] = {name: getattr(self, name) for name in shared}
        return TrialBatch(number=number, started_at=started_at, finished_at=finished_at, **columns)


def joined(*batches: TrialBatch) -> TrialBatch:
    """One batch of all rows, in order; at least one batch must be given."""
    columns = {f.name: [getattr(b, f.name) for b in batches] for f in fields(TrialBatch)}
    whole: dict[str, Any] = {
        n: None if c[0] is None else np.concatenate(c) for n, c in columns.items()
    }
    return TrialBatch(**whole)
