"""The trial that a report decides about, with everything that is known of it."""

from dataclasses import dataclass

import numpy as np

from hdap.fleet_data.errors import HdapError, StoreError
from hdap.fleet_data.records import CompressionStepRecord, Floats, StudyRecord
from hdap.report.pictures.picture_source import PictureSource
from hdap.search.analysis.answer import AnswerRow
from hdap.search.analysis.judgement import Interval, Verdict
from hdap.search.problem.objectives import Deadline
from hdap.workflows.verify_trial import Verified, judged, trial_of

MOST_JUDGED = 5
"""Trials that were verified and are looked at, the newest: who verified more wants the best."""


@dataclass(frozen=True)
class Reach:
    """On how many of `devices` a network is faster than dense, at the slow end of its interval too.

    `outliers` of them behave like no other: nothing is promised of them, so they are not among
    the `faster` and not among the `in_time`. `least_gain` is the speed-up in the cluster that
    gains least, of `clusters`. `in_time` devices keep `limit_ms` (None: there is no such limit).
    """

    devices: int
    faster: int
    outliers: int
    least_gain: float
    clusters: int
    limit_ms: float | None
    in_time: int


@dataclass(frozen=True)
class ShippingCandidate:
    """A trial beside the dense network and uniform pruning; latencies are the fleet's mean, ms.

    `judged` is None where nothing was measured of it: then `over_dense` is predicted, else
    measured (or simulated) within devices. Intervals are 90 %, NaN where unknown. `accuracy` is
    that of the pruned network before any tuning (NaN: never judged), `tuned` the newest step of a
    compression that shipped this trial. `balanced` of several objectives, `front` on their front.
    """

    study: StudyRecord
    number: int
    flops: int
    parameters: int
    kept: float
    predicted: Interval
    dense: AnswerRow
    uniform: AnswerRow
    over_dense: Interval
    over_uniform: float
    reach: Reach
    objective: str
    objective_value: float
    objective_unit: str
    accuracy: float
    tuned: CompressionStepRecord | None
    judged: Verified | None
    front: int

    @property
    def verdict(self) -> Verdict | None:
        """What measurements say of it."""
        return None if self.judged is None else self.judged.verdict

    @property
    def word(self) -> str:
        """How its speed is known."""
        if self.judged is None:
            return "predicted"
        return "simulated" if self.judged.simulated else "measured"


def candidate(source: PictureSource) -> ShippingCandidate:
    """The trial to decide about: the answer, or a trial that was measured and keeps its promise.

    Of several that do the fastest. Raises HdapError where the study has no answer.
    """
    answer, trials, study = source.answer, source.trials, source.searched
    seen = {number: found for number in _in_question(source) if (found := _judged(source, number))}
    kept = [n for n, found in seen.items() if found.verdict.holds]
    ranks = dict(zip(trials.number.tolist(), trials.ranking.tolist(), strict=True))
    best = int(answer.numbers[0])
    number = best if best in kept else min(kept, key=lambda n: ranks[n], default=best)
    row = int(np.flatnonzero(trials.number == number)[0])
    verified, goals = seen.get(number), source.problem.goals
    return ShippingCandidate(
        study=study,
        number=number,
        flops=int(trials.flops[row]),
        parameters=int(trials.parameters[row]),
        kept=float(trials.kept_importance[row]),
        predicted=Interval(
            float(trials.fleet_mean_ms[row]),
            float(trials.fleet_mean_low_ms[row]),
            float(trials.fleet_mean_high_ms[row]),
        ),
        dense=answer.dense,
        uniform=answer.uniform,
        over_dense=_over_dense(source, row, verified),
        over_uniform=_over_uniform(source, row, verified),
        reach=_reach(source, row, verified),
        objective=goals.first.title,
        objective_value=float(
            goals.first.reported(source.problem.fleet, trials.cluster_ms[row][None])[0]
        ),
        objective_unit=goals.first.unit,
        accuracy=float("nan") if trials.accuracy is None else float(trials.accuracy[row]),
        tuned=_tuned(source, number),
        judged=verified,
        front=len(answer.front),
    )


def _in_question(source: PictureSource) -> list[int]:
    """The answer's trial and those that were verified last."""
    records = source.store.verifications(source.searched.id)
    newest = sorted(records, key=lambda r: r.created_at, reverse=True)
    there = set(source.trials.number.tolist())
    numbers = dict.fromkeys(r.number for r in newest if r.number in there)
    return list(dict.fromkeys([int(source.answer.numbers[0]), *list(numbers)[:MOST_JUDGED]]))


def _judged(source: PictureSource, number: int) -> Verified | None:
    """What was measured of a trial; None where it was not."""
    try:
        trial = trial_of(source.store, source.searched, source.problem, number)
        return judged(source.store, trial, seed=0)
    except StoreError:
        raise
    except HdapError:
        return None


def _over_dense(source: PictureSource, row: int, verified: Verified | None) -> Interval:
    if verified is not None:
        return next(up.measured for up in verified.verdict.speed_ups if up.over == "dense")
    trials, dense = source.trials, source.answer.dense.fleet_mean_ms
    ends = (trials.fleet_mean_ms, trials.fleet_mean_high_ms, trials.fleet_mean_low_ms)
    return Interval(*(float(dense / end[row]) for end in ends))


def _over_uniform(source: PictureSource, row: int, verified: Verified | None) -> float:
    if verified is not None:
        return next(u.measured.value for u in verified.verdict.speed_ups if u.over == "uniform")
    return float(source.answer.uniform.fleet_mean_ms / source.trials.fleet_mean_ms[row])


def _reach(source: PictureSource, row: int, verified: Verified | None) -> Reach:
    fleet, trials = source.fleet, source.trials
    clusters = len(fleet.clusters)
    ms, high = trials.cluster_ms[row].copy(), trials.cluster_high_ms[row].copy()
    for check in verified.verdict.clusters if verified else ():
        if np.isfinite(check.measured.value):
            ms[check.cluster] = check.measured.value
            high[check.cluster] = np.fmax(check.measured.value, check.measured.high)
    dense = _dense_ms(source)
    usual = ~fleet.outlier
    members = np.bincount(fleet.cluster[usual], minlength=clusters)
    first = source.problem.goals.first
    limit = first.ms if isinstance(first, Deadline) else source.problem.limit_ms
    own = ms[fleet.cluster[usual]] * fleet.factor[usual]
    return Reach(
        devices=len(fleet.device_ids),
        faster=int(members[high < dense].sum()),
        outliers=int(fleet.outlier.sum()),
        least_gain=float((dense / ms)[members > 0].min(initial=np.inf)),
        clusters=clusters,
        limit_ms=limit,
        in_time=0 if limit is None else int((own <= limit).sum()),
    )


def _dense_ms(source: PictureSource) -> Floats:
    """The dense network on each of K clusters, as measured, or as predicted where it was not."""
    problem = source.problem
    guessed = problem.latency.predict(problem.architecture.widths[None]).ms[0]
    return np.where(np.isfinite(source.dense_ms), source.dense_ms, guessed)


def _tuned(source: PictureSource, number: int) -> CompressionStepRecord | None:
    """The newest step of a compression that pruned to this trial."""
    store, name = source.store, source.searched.name
    steps = [s for run in store.training_runs() for s in store.compression_steps(run)]
    mine = [s for s in steps if (s.study, s.trial) == (name, number)]
    return max(mine, key=lambda s: s.created_at, default=None)
