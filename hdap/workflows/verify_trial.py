"""Verification from a trial to a bundle, and from what was measured back to a verdict."""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import numpy as np

from hdap.clustering.grouping import grouped_median
from hdap.fleet_data.architecture import Counts
from hdap.fleet_data.configuration import format_channels
from hdap.fleet_data.errors import NotEnoughDataError, NotFoundError
from hdap.fleet_data.records import (
    Bools,
    ClusteringRecord,
    Floats,
    Ints,
    Measurements,
    StudyRecord,
    VerificationRecord,
)
from hdap.fleet_data.telemetry import SIMULATED
from hdap.search.analysis.arms import Arm
from hdap.search.analysis.judgement import Verdict
from hdap.search.analysis.promised_gain import promised_gain
from hdap.search.analysis.verification import Promise, Readings, verify
from hdap.search.problem.search_problem import SearchProblem
from hdap.workflows.build_problem import measured_dense, stored_problem
from hdap.workflows.precision_arms import measured_arms

if TYPE_CHECKING:
    from hdap.fleet_data.store import Store

SESSION_S = 3600.0
"""A dense row this near to the pruned ones of its device was taken beside them."""


@dataclass(frozen=True)
class TrialInQuestion:
    """A trial and everything that its promise rests on; `counts` are found, uniform, dense."""

    study: StudyRecord
    number: int
    problem: SearchProblem
    clustering: ClusteringRecord
    counts: Counts
    promise: Promise
    mark: int


@dataclass(frozen=True)
class Verified:
    """A verdict with what it was measured on."""

    trial: TrialInQuestion
    verdict: Verdict
    simulated: bool
    runtime: str
    arms: tuple[Arm, ...] = ()


def trial_in_question(store: "Store", study: str | None, number: int) -> TrialInQuestion:
    """Look a trial up with the clustering and the surrogates of its study.

    Raises NotFoundError where there is no such study or trial or the surrogates are gone.
    """
    record = store.study(study)
    return trial_of(store, record, stored_problem(store, record)[0], number)


def trial_of(
    store: "Store", record: StudyRecord, problem: SearchProblem, number: int
) -> TrialInQuestion:
    """The same, of a study whose problem is at hand."""
    trials = store.trials(record.id)
    rows = np.flatnonzero(trials.number == number)
    if not len(rows):
        raise NotFoundError(
            f"study {record.name} must have a trial {number}, but it has none of that number; "
            "list them: hdap trials"
        )
    clustering = store.clustering(record.clustering_id)
    row = int(rows[0])
    counts = np.stack(
        [trials.counts[row], problem.best_uniform.counts, problem.architecture.widths]
    )
    found = problem.latency.predict(counts)
    ms, low, high = found.ms.T.copy(), found.low_ms.T.copy(), found.high_ms.T.copy()
    # What was stored is the promise, whatever the surrogates say today.
    ms[:, 0], low[:, 0] = trials.cluster_ms[row], trials.cluster_low_ms[row]
    high[:, 0] = trials.cluster_high_ms[row]
    # Speed-ups were promised over the dense model as measured, where it was.
    dense = measured_dense(store, record)
    scale = np.where(np.isfinite(dense), dense / ms[:, 2], 1.0)
    for values in (ms, low, high):
        values[:, 2] *= scale
    gain = promised_gain(problem, counts[0], counts[1])
    return TrialInQuestion(
        record,
        number,
        problem,
        clustering,
        counts,
        Promise(ms, low, high, gain.promised / gain.predicted),
        _mark(store, record, clustering),
    )


def _mark(store: "Store", study: StudyRecord, clustering: ClusteringRecord) -> int:
    """Measurements up to here may have been learned from; only later ones can verify."""
    kind = str(study.settings.get("surrogate", "fleet"))
    records = store.surrogates(study.model, clustering.id, kind)
    before = [r.measurement_mark for r in records if r.created_at <= study.created_at]
    return max(before, default=clustering.measurement_mark)


def judged(store: "Store", trial: TrialInQuestion, seed: int) -> Verified:
    """Judge a trial by what was measured of it since its surrogates were fitted.

    Raises NotEnoughDataError where no device measured found, uniform and dense since.
    """
    if not store.rows_after(trial.mark, trial.study.model):
        raise _unmeasured(trial)
    measurements = store.measurements(trial.study.model, after_mark=trial.mark)
    readings, runtime = _readings(trial, measurements)
    verdict = verify(trial.promise, trial.problem.fleet, readings, seed)
    pruned = trial.counts[0]
    found = measured_arms(store, trial.clustering, trial.problem, pruned, readings)
    return Verified(trial, verdict, runtime == SIMULATED, runtime, found)


def read_back(store: "Store", trial: TrialInQuestion, seed: int) -> Verified:
    """The same, and the verdict is stored. Raises as `judged`."""
    done = judged(store, trial, seed)
    now = datetime.now(UTC)
    store.save_verification(
        [
            VerificationRecord(
                study_id=trial.study.id,
                number=trial.number,
                cluster=c.cluster,
                predicted_ms=c.predicted.value,
                predicted_low_ms=c.predicted.low,
                predicted_high_ms=c.predicted.high,
                measured_ms=c.measured.value,
                measured_low_ms=c.measured.low,
                measured_high_ms=c.measured.high,
                devices=c.devices,
                holds=c.holds,
                trial_holds=done.verdict.holds,
                simulated=done.simulated,
                created_at=now,
            )
            for c in done.verdict.clusters
        ]
    )
    return done


def _readings(trial: TrialInQuestion, measurements: Measurements) -> tuple[Readings, str]:
    """Devices that measured all three networks with the runtime in which they measured most of what
    was found, at the batch size with the most such rows."""
    texts = format_channels(trial.problem.architecture, trial.counts)
    number = {text: i for i, text in reversed(list(enumerate(texts)))}
    of_configuration = np.array([number.get(t, -1) for t in measurements.channels], dtype=np.int64)
    network = of_configuration[measurements.configuration]
    found = np.flatnonzero(network == 0)
    if not len(found):
        raise _unmeasured(trial)
    values, counted = np.unique(measurements.batch_size[found], return_counts=True)
    kept = (network >= 0) & (measurements.batch_size == values[counted.argmax()])
    ran = _runtimes(measurements, found[kept[found]])
    kept &= measurements.runtime == ran[measurements.device]
    kept &= (network < 2) | _beside(measurements, kept & (network < 2))
    names = dict.fromkeys(measurements.runtimes[r] for r in measurements.runtime[kept])
    devices = len(measurements.devices.ids)
    key = measurements.device[kept] * 3 + network[kept]
    ms = grouped_median(key, measurements.latency_ms[kept], 3 * devices).reshape(devices, 3)
    # Where uniform or dense pruning is what was found, one measurement serves both.
    for column, text in enumerate(texts):
        ms[:, column] = ms[:, number[text]]
    return _of_known(trial, measurements.devices.ids, ms), ", ".join(names)


def _runtimes(measurements: Measurements, found: Ints) -> Ints:
    """The runtime in which each device has most of the rows `found` (D; -1: it has none)."""
    size = len(measurements.runtimes)
    key = measurements.device[found] * size + measurements.runtime[found]
    pairs, counts = np.unique(key, return_counts=True)
    pairs = pairs[np.argsort(counts, kind="stable")]
    result = np.full(len(measurements.devices.ids), -1, dtype=np.int64)
    result[pairs // size] = pairs % size
    return result


def _beside(measurements: Measurements, pruned: Bools) -> Bools:
    """Rows taken within a session of the `pruned` rows of their device, or at an unknown time."""
    devices = len(measurements.devices.ids)
    first, last = np.full(devices, np.inf), np.full(devices, -np.inf)
    times, device = measurements.measured_at, measurements.device
    timed = pruned & np.isfinite(times)
    np.minimum.at(first, device[timed], times[timed])
    np.maximum.at(last, device[timed], times[timed])
    inside = (times >= first[device] - SESSION_S) & (times <= last[device] + SESSION_S)
    result: Bools = inside | ~np.isfinite(times) | ~np.isfinite(last[device])
    return result


def _of_known(trial: TrialInQuestion, ids: np.ndarray, ms: Floats) -> Readings:
    """Of all devices those that measured everything and that the clustering knows."""
    place = {str(d): i for i, d in enumerate(trial.clustering.device_ids)}
    complete = np.isfinite(ms).all(axis=1)
    rows = np.array([i for i in np.flatnonzero(complete) if str(ids[i]) in place], dtype=np.int64)
    if not len(rows):
        raise _unmeasured(trial)
    member: Ints = np.array([place[str(ids[i])] for i in rows], dtype=np.int64)
    clustering = trial.clustering
    return Readings(
        ids[rows],
        clustering.cluster[member],
        clustering.representative[member],
        clustering.factor[member],
        ms[rows],
    )


def _unmeasured(trial: TrialInQuestion) -> NotEnoughDataError:
    return NotEnoughDataError(
        f"trial {trial.number} of {trial.study.name} must be measured (found, uniform and dense on "
        "one device) since its surrogates were fitted, but was not; write its bundle, run it and "
        f"ingest the result: hdap verify --study {trial.study.name} --trial {trial.number} "
        "--out check"
    )
