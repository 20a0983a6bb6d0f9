"""From trials to what a person acts on: a short list, a table, and what the fleet was good for."""

from dataclasses import dataclass, replace

import numpy as np

from hdap.fleet_data.architecture import Counts
from hdap.fleet_data.errors import InfeasibleError
from hdap.fleet_data.records import Floats, Ints, TrialBatch
from hdap.search.analysis.pareto_front import FrontRow, best_first, front
from hdap.search.analysis.promised_gain import PromisedGain, promised_gain
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
    over a measured dense model nothing is gained by predicting it too slow. `step` is the grid of a
    uniform network, 0 of any other; `base_line` marks the one that `over_uniform` is over.
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
    step: int = 0
    base_line: bool = False
    measured: bool = False

    @property
    def skewed(self) -> bool:
        """Whether mean and median disagree so that one does not stand for both."""
        apart = abs(self.fleet_mean_ms - self.fleet_median_ms)
        return apart > MEDIAN_APART * min(self.fleet_mean_ms, self.fleet_median_ms)


@dataclass(frozen=True)
class Answer:
    """What to compare and the trials worth measuring, best first.

    `uniforms` is uniform pruning on every grid, the widest that the budget allows, fastest first;
    `uniform` is the base line among them, the one that is hardest to beat, and what `over_uniform`
    is over. `numbers` are the short list's trials, `shortlist` the same as rows; `found` is the
    first of them, `gain` what it promises over the base line. `as_fast` is the trial that keeps
    most of those that are as fast as the base line, None where that is `found` or there are other
    goals than one latency. With several objectives `front` holds the trials that no other beats,
    and `found` is the balanced one among them.
    """

    dense: AnswerRow
    uniforms: tuple[AnswerRow, ...]
    uniform: AnswerRow
    found: AnswerRow
    numbers: Ints
    shortlist: tuple[AnswerRow, ...]
    gain: PromisedGain
    as_fast: AnswerRow | None = None
    front: tuple[FrontRow, ...] = ()

    @property
    def rows(self) -> tuple[AnswerRow, ...]:
        """The table, in the order in which it is read."""
        pruned = (*self.uniforms, self.as_fast, self.found)
        return (self.dense, *(row for row in pruned if row is not None))

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
    uniforms = problem.uniform_networks
    place = 1 + [network.name for network in uniforms].index(problem.best_uniform.name)
    fullest = _as_fast(problem, trials)
    shown = np.append(chosen, fullest)
    counts = np.vstack(
        [problem.architecture.widths, *(u.counts for u in uniforms), trials.counts[shown]]
    )
    names = ["dense", *(u.name for u in uniforms), *(f"trial {n}" for n in trials.number[shown])]
    rows = _rows(problem, counts, names, place)
    if dense_ms is not None and np.isfinite(dense_ms).all():
        rows = _over_measured(problem, rows, place, dense_ms)
    marked = [replace(rows[1 + i], step=u.step) for i, u in enumerate(uniforms)]
    marked[place - 1] = replace(marked[place - 1], base_line=True)
    best = rows[1 + len(uniforms) :][: len(chosen)]
    return Answer(
        dense=rows[0],
        uniforms=tuple(sorted(marked, key=lambda row: row.fleet_mean_ms)),
        uniform=marked[place - 1],
        found=replace(best[0], name="found"),
        numbers=trials.number[chosen],
        shortlist=best,
        gain=promised_gain(problem, best[0].counts, problem.best_uniform.counts),
        as_fast=rows[-1] if len(fullest) and fullest[0] != chosen[0] else None,
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


def _as_fast(problem: SearchProblem, trials: TrialBatch) -> Ints:
    """Row of the trial that keeps most within the base line's latency, if that is a question."""
    if problem.limit_ms is not None or problem.goals.several or problem.goals.first.unit != "ms":
        return np.empty(0, dtype=np.int64)
    allowed = float(problem.ucb_ms(problem.best_uniform.counts[None])[0])
    rows = np.flatnonzero(trials.feasible)
    rows = rows[problem.scores(trials.counts[rows]).value <= allowed]
    return rows[trials.kept_importance[rows].argsort(kind="stable")[-1:]]


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
    problem: SearchProblem, rows: tuple[AnswerRow, ...], base_line: int, dense_ms: Floats
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
        over_uniform=rows[base_line].fleet_mean_ms / mean,
        measured=True,
    )
    others = (replace(row, over_dense=mean / row.fleet_mean_ms) for row in rows[1:])
    return (dense, *others)


def _rows(
    problem: SearchProblem, counts: Counts, names: list[str], base_line: int
) -> tuple[AnswerRow, ...]:
    found = problem.evaluate(counts)
    median = problem.fleet.percentile(found.cluster_ms, 0.5)
    dense, uniform = found.fleet_mean_ms[[0, base_line]]
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
            over_uniform=float(uniform / found.fleet_mean_ms[i]),
        )
        for i, name in enumerate(names)
    )
