"""From trials to what a person acts on: a short list, a table, and what the fleet was good for."""

from contextlib import suppress
from dataclasses import dataclass, replace

import numpy as np

from hdap.fleet_data.architecture import Counts
from hdap.fleet_data.errors import InfeasibleError
from hdap.fleet_data.records import Floats, Ints, TrialBatch
from hdap.search.analysis.pareto_front import FrontRow, best_first, front
from hdap.search.analysis.spread import apart
from hdap.search.exact.most_kept import most_kept
from hdap.search.problem.search_problem import SearchProblem

SHORTLIST = 10
APART = 2
"""Configurations of a short list differ in at least this many width groups."""
MEDIAN_APART = 0.05
"""Where mean and median of the fleet disagree by more, both are shown."""


@dataclass(frozen=True, slots=True)
class AnswerRow:
    """One network and what is known of it; latencies in ms, predicted unless `measured`.

    A predicted fleet mean has a 90 % interval; of a measured one (the dense model, in everyday
    telemetry) `fleet_mean_low_ms` and `fleet_mean_high_ms` are NaN. `fleet_median_ms` is what half
    of the weight of devices does not exceed. `objective` is what a person
    reads of the first latency objective, in its unit. Speed-ups are ratios of fleet means, so that
    over a measured dense model nothing is gained by predicting it too slow.
    """

    name: str
    counts: Counts
    flops: int
    parameters: int
    fleet_mean_ms: float
    fleet_mean_low_ms: float
    fleet_mean_high_ms: float
    fleet_median_ms: float
    fleet_p95_ms: float
    objective: float
    worst_cluster_ms: float
    worst_cluster: int
    kept_importance: float
    over_dense: float
    over_uniform: float
    measured: bool = False

    @property
    def skewed(self) -> bool:
        """Whether mean and median disagree so that one does not stand for both."""
        apart = abs(self.fleet_mean_ms - self.fleet_median_ms)
        return apart > MEDIAN_APART * min(self.fleet_mean_ms, self.fleet_median_ms)


@dataclass(frozen=True)
class Answer:
    """Four rows to compare and the trials worth measuring, best first.

    `unaligned` is uniform pruning that rounds to no grid; it is None when the network itself
    forces a grid on which the band cannot be met. `numbers` are the short list's trials,
    `shortlist` the same as rows; `found` is the first of them. With several objectives `front`
    holds the trials that no other beats, and `found` is the balanced one among them.
    """

    dense: AnswerRow
    uniform: AnswerRow
    unaligned: AnswerRow | None
    found: AnswerRow
    numbers: Ints
    shortlist: tuple[AnswerRow, ...]
    front: tuple[FrontRow, ...] = ()

    @property
    def rows(self) -> tuple[AnswerRow, ...]:
        """The table, in the order in which it is read."""
        rows = (self.dense, self.unaligned, self.uniform, self.found)
        return tuple(row for row in rows if row is not None)

    @property
    def skewed(self) -> bool:
        """Whether mean and median of the fleet disagree in any row."""
        return any(row.skewed for row in self.rows)


def answer(problem: SearchProblem, trials: TrialBatch, dense_ms: Floats | None = None) -> Answer:
    """The answer of a search; `dense_ms` is the dense model as measured on each of K clusters.

    It takes the place of what is predicted of the dense model where all clusters measured it.

    The short list is ranked by the cautious objective, `risk` standard deviations above what is
    predicted, because the best of many predictions is the one that is most likely too good.

    Raises:
        InfeasibleError: no trial keeps the floor within the band.
    """
    chosen = shortlist(problem, trials)
    named = {"dense": problem.architecture.widths, "uniform": problem.uniform}
    with suppress(InfeasibleError):
        named["unaligned"] = problem.uniform_in(problem.space.unaligned())
    counts = np.vstack([*named.values(), trials.counts[chosen]])
    names = [*named, *(f"trial {n}" for n in trials.number[chosen])]
    rows = _rows(problem, counts, names)
    if dense_ms is not None and np.isfinite(dense_ms).all():
        rows = _over_measured(problem, rows, dense_ms)
    table = dict(zip(named, rows, strict=False))
    best = rows[len(named) :]
    return Answer(
        dense=table["dense"],
        uniform=replace(table["uniform"], name="uniform"),
        unaligned=table.get("unaligned"),
        found=replace(best[0], name="found"),
        numbers=trials.number[chosen],
        shortlist=best,
        front=front(trials, problem.goals) if problem.goals.several else (),
    )


def shortlist(problem: SearchProblem, trials: TrialBatch, size: int = SHORTLIST) -> Ints:
    """Rows of the best feasible trials that differ from one another, best first.

    With several objectives those on the front, the balanced ones first.

    Raises:
        InfeasibleError: no trial is feasible.
    """
    order = best_first(trials)
    if not len(order):
        raise InfeasibleError(_lacking(problem, trials))
    return order[apart(trials.counts[order], size, APART)]


def _lacking(problem: SearchProblem, trials: TrialBatch) -> str:
    if trials.accuracy is not None and np.isfinite(trials.accuracy).any():
        return (
            f"none of {len(trials)} trials has the least accuracy that was asked for, the best of "
            f"those judged has {np.nanmax(trials.accuracy):.3f}: lower `--min-accuracy`, search "
            f"longer or raise the budget"
        )
    floor = f"none of {len(trials)} trials keeps the floor of {problem.floor:.3f}"
    if problem.limit_ms is None:
        most = most_kept(problem)
        if problem.floor > most.at_most:
            return most.refusal(problem)
        return (
            f"{floor}, but a network of {most.kept:.3f} exists and none of more than "
            f"{most.at_most:.3f}: search longer, or lower the floor"
        )
    within = trials.ucb_ms <= problem.limit_ms
    most = trials.kept_importance[within].max(initial=0.0)
    return (
        f"{floor} within {problem.limit_ms:g} ms, the most kept there is {most:.3f}: search "
        f"longer, lower the floor or raise `--latency`"
    )


def _over_measured(
    problem: SearchProblem, rows: tuple[AnswerRow, ...], dense_ms: Floats
) -> tuple[AnswerRow, ...]:
    ms, fleet = dense_ms[None], problem.fleet
    mean, (worst_ms, worst) = float(fleet.fleet_mean(ms)[0]), fleet.worst(ms)
    dense = replace(
        rows[0],
        fleet_mean_ms=mean,
        fleet_mean_low_ms=float("nan"),
        fleet_mean_high_ms=float("nan"),
        fleet_median_ms=float(fleet.percentile(ms, 0.5)[0]),
        fleet_p95_ms=float(fleet.percentile(ms)[0]),
        objective=float(problem.goals.first.reported(fleet, ms)[0]),
        worst_cluster_ms=float(worst_ms[0]),
        worst_cluster=int(worst[0]),
        over_uniform=rows[1].fleet_mean_ms / mean,
        measured=True,
    )
    others = (replace(row, over_dense=mean / row.fleet_mean_ms) for row in rows[1:])
    return (dense, *others)


def _rows(problem: SearchProblem, counts: Counts, names: list[str]) -> tuple[AnswerRow, ...]:
    found = problem.evaluate(counts)
    median = problem.fleet.percentile(found.cluster_ms, 0.5)
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
            fleet_median_ms=float(median[i]),
            fleet_p95_ms=float(found.fleet_p95_ms[i]),
            objective=float(found.objective[i]),
            worst_cluster_ms=float(found.worst_cluster_ms[i]),
            worst_cluster=int(found.worst_cluster[i]),
            kept_importance=float(found.kept_importance[i]),
            over_dense=float(dense / found.fleet_mean_ms[i]),
            over_uniform=float(aligned / found.fleet_mean_ms[i]),
        )
        for i, name in enumerate(names)
    )
