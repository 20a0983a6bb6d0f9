"""The four arms of a search or a verification: dense and pruned, in full precision and another."""

from typing import TYPE_CHECKING

import numpy as np

from hdap.clustering.grouping import grouped_median
from hdap.fleet_data.architecture import Counts
from hdap.fleet_data.records import ClusteringRecord, Floats
from hdap.fleet_data.software import kernels_of
from hdap.search.analysis.answer import Answer
from hdap.search.analysis.arms import Arm, ClusterLatencies, arms
from hdap.search.analysis.verification import DENSE, FOUND, Readings
from hdap.search.problem.fleet_weights import FleetWeights
from hdap.search.problem.search_problem import SearchProblem

if TYPE_CHECKING:
    from hdap.fleet_data.store import Store
    from hdap.workflows.learn_accuracy import AccuracyLesson


def cluster_kernels(clustering: ClusteringRecord) -> list[tuple[str, str]]:
    """Runtime and precision of each cluster; "" where unknown, or where it mixes several."""
    found = []
    for number in range(len(clustering.clusters)):
        texts = set(clustering.software[clustering.cluster == number].tolist())
        pairs = {kernels_of(text) for text in texts} - {("", "")}
        found.append(pairs.pop() if len(pairs) == 1 else ("", ""))
    return found


def predicted_arms(
    store: "Store",
    clustering: ClusteringRecord,
    problem: SearchProblem,
    dense_ms: Floats,
    found: Answer,
    lesson: "AccuracyLesson | None" = None,
) -> tuple[Arm, ...]:
    """Of an answer on the fleet of today: dense as measured where it was everywhere."""
    counts = found.found.counts
    widths = problem.architecture.widths
    said = problem.latency.predict(np.stack([widths, counts])).ms
    measured = bool(np.isfinite(dense_ms).all())
    latencies = ClusterLatencies(
        np.stack([dense_ms if measured else said[0], said[1]]), (measured, False)
    )
    fleet = FleetWeights.of(clustering, store.devices())
    accuracy = (float("nan"), float("nan"))
    if lesson is not None and lesson.learned.dense is not None:
        tuned = float(lesson.learned.expected(counts[None])[0])
        accuracy = (float(lesson.learned.dense), tuned)
    kernels = cluster_kernels(clustering)
    return arms(problem.architecture, counts, kernels, fleet, latencies, accuracy)


def measured_arms(
    store: "Store",
    clustering: ClusteringRecord,
    problem: SearchProblem,
    pruned: Counts,
    readings: Readings,
) -> tuple[Arm, ...]:
    """Of a verification of `pruned` (`groups`), as its devices measured them; of those runtimes and
    precisions in which each cluster was measured."""
    size = len(clustering.clusters)
    own = readings.ms / readings.factor[:, None]
    ms = np.stack([grouped_median(readings.cluster, own[:, row], size) for row in (DENSE, FOUND)])
    found = arms(
        problem.architecture,
        pruned,
        cluster_kernels(clustering),
        FleetWeights.of(clustering, store.devices()),
        ClusterLatencies(ms, (True, True)),
    )
    return tuple(arm for arm in found if np.isfinite(arm.latency_ms))
