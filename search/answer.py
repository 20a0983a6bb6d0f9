"""From trials to what a person acts on: a short list, a table, and what the fleet was good for."""

from contextlib import suppress
from dataclasses import dataclass, replace

import numpy as np

from hdap.fleet_data.architecture import Counts
from hdap.fleet_data.errors import InfeasibleError
from hdap.fleet_data.records import Ints, TrialBatch
from hdap.search.problem import Evaluation, SearchProblem
from hdap.search.uniform import uniform

SHORTLIST = 10
APART = 2
"""Configurations of a short list differ in at least this many width groups."""


@dataclass(frozen=True, slots=True)
class AnswerRow:
    """One network and what is predicted of it; latencies in ms.

    The fleet mean has a 90 % interval. Speed-ups are ratios of predicted fleet means.
    """

    name: str
    counts: Counts
    flops: int
    parameters: int
    fleet_mean_ms: float
    fleet_mean_low_ms: float
    fleet_mean_high_ms: float
    fleet_p95_ms: float
    worst_cluster_ms: float
    worst_cluster: int
    kept_importance: float
    over_dense: float
    over_uniform: float


@dataclass(frozen=True)
class Answer:
    """Four rows to compare and the trials worth measuring, best first.

    `unaligned` is uniform pruning that rounds to no grid; it is None when the network itself
    forces a grid on which the band cannot be met. `numbers` are the short list's trials,
    `shortlist` the same as rows; `found` is the first of them.
    """

    dense: AnswerRow
    uniform: AnswerRow
    unaligned: AnswerRow | None
    found: AnswerRow
    numbers: Ints
    shortlist: tuple[AnswerRow, ...]

    @property
    def rows(self) -> tuple[AnswerRow, ...]:
        """The table, in the order in which it is read."""
        rows = (self.dense, self.unaligned, self.uniform, self.found)
        return tuple(row for row in rows if row is not None)


def answer(problem: SearchProblem, trials: TrialBatch) -> Answer:
    """The answer of a search.

    The short list is ranked by the cautious objective, `risk` standard deviations above what is
    predicted, because the best of many predictions is the one that is most likely too good.

    Raises:
        InfeasibleError: no trial keeps the floor within the band.
    """
    chosen = shortlist(problem, trials)
    named = {"dense": problem.architecture.widths, "uniform": problem.uniform}
    with suppress(InfeasibleError):
        named["unaligned"] = uniform(problem.space.unaligned(), problem.band)
    counts = np.vstack([*named.values(), trials.counts[chosen]])
    names = [*named, *(f"trial {n}" for n in trials.number[chosen])]
    rows = _rows(problem.evaluate(counts), names)
    table = dict(zip(named, rows, strict=False))
    best = rows[len(named) :]
    return Answer(
        dense=table["dense"],
        uniform=replace(table["uniform"], name="uniform"),
        unaligned=table.get("unaligned"),
        found=replace(best[0], name="found"),
        numbers=trials.number[chosen],
        shortlist=best,
    )


def shortlist(problem: SearchProblem, trials: TrialBatch, size: int = SHORTLIST) -> Ints:
    """Rows of the best feasible trials that differ from one another, best first.

    Raises:
        InfeasibleError: no trial is feasible.
    """
    feasible = np.flatnonzero(trials.feasible)
    if not len(feasible):
        raise InfeasibleError(
            f"none of {len(trials)} trials keeps the floor of {problem.floor:.3f}: search longer, "
            f"lower the floor or widen `--flops-tol`"
        )
    order = feasible[problem.scores(trials.counts[feasible]).value.argsort(kind="stable")]
    chosen: list[int] = []
    for row in order:
        apart = (trials.counts[chosen] != trials.counts[row]).sum(axis=1)
        if (apart >= APART).all():
            chosen.append(int(row))
        if len(chosen) == size:
            break
    return np.array(chosen, dtype=np.int64)


def _rows(found: Evaluation, names: list[str]) -> tuple[AnswerRow, ...]:
    dense, aligned = found.fleet_mean_ms[:2]
    return tuple(
        AnswerRow(
            name=name,
            counts=found.counts[i],
            flops=int(found.flops[i]),
            parameters=int(found.parameters[i]),
            fleet_mean_ms=float(found.fleet_mean_ms[i]),
            fleet_mean_low_ms=float(found.fleet_mean_low_ms[i]),
            fleet_mean_high_ms=float(found.fleet_mean_high_ms[i]),
            fleet_p95_ms=float(found.fleet_p95_ms[i]),
            worst_cluster_ms=float(found.worst_cluster_ms[i]),
            worst_cluster=int(found.worst_cluster[i]),
            kept_importance=float(found.kept_importance[i]),
            over_dense=float(dense / found.fleet_mean_ms[i]),
            over_uniform=float(aligned / found.fleet_mean_ms[i]),
        )
        for i, name in enumerate(names)
    )
