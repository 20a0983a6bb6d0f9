"""What is known of a fleet: clusters are found and surrogates fitted where they are stale.

Every function says in one line what it does (`say`) and reuses what the store already holds.
"""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime

import numpy as np

from hdap.clustering.cluster_fleet import cluster
from hdap.clustering.device_software import software_note
from hdap.fleet_data.architecture import Architecture
from hdap.fleet_data.callbacks import Say
from hdap.fleet_data.configuration import parse_channels
from hdap.fleet_data.costs import memory_boundness
from hdap.fleet_data.errors import NotEnoughDataError
from hdap.fleet_data.records import (
    Bools,
    ClusteringHead,
    ClusteringRecord,
    Floats,
    LearningRecord,
    Measurements,
)
from hdap.fleet_data.store import Store
from hdap.requests.clustering_choice import ClusteringChoice
from hdap.surrogate.models.base import FleetSurrogate
from hdap.surrogate.models.registry import BASE_LINES, SURROGATES, load_surrogate
from hdap.surrogate.training_data.row_selection import ROWS_PER_CELL
from hdap.surrogate.validation.fit_surrogates import FitResult, fit
from hdap.surrogate.validation.learning_curve import errors_by_rows
from hdap.workflows.artifacts import require_measurements

LARGE_FLEET = 20_000
"""Devices above which a surrogate is not shown all rows."""
DEVICES_OF_CLUSTER = 2 * ROWS_PER_CELL
"""Devices of a cluster that it is shown then: enough where only every second one is usable."""


def ensure_clustering(
    store: Store,
    say: Say,
    choice: ClusteringChoice | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> ClusteringRecord:
    """The latest clustering where it is current; else a new one.

    Current means: no row has been added since, and `choice` is None or asks for the same. A choice
    that is None repeats the algorithm and number of clusters of the latest clustering.
    """
    latest = store.clustering_head()
    mark = store.measurement_mark()
    for each in store.set_aside():
        say(str(each))
    if choice is None and latest is not None and latest.measurement_mark == mark:
        current = store.clustering(latest.id)
        say(f"clustering {latest.id} is current: {_count(current)}")
        return current
    if choice is None:
        choice = _as_before(latest)
        reason = "there is none yet" if latest is None else "telemetry was added since the last"
        say(f"clustering the fleet ({reason})")
    return _cluster(store, choice, mark, progress, say)


def _as_before(latest: ClusteringHead | None) -> ClusteringChoice:
    if latest is None:
        return ClusteringChoice()
    return ClusteringChoice(
        algorithm=latest.algorithm, clusters=latest.parameters.get("clusters"), seed=latest.seed
    )


def _cluster(
    store: Store,
    choice: ClusteringChoice,
    mark: int,
    progress: Callable[[int, int], None] | None,
    say: Say,
) -> ClusteringRecord:
    record = _clustered(store, choice, mark, progress, say)
    record = replace(record, id=store.save_clustering(record))
    say(f"clustering {record.id}: {_count(record)}")
    return record


def _clustered(
    store: Store,
    choice: ClusteringChoice,
    mark: int,
    progress: Callable[[int, int], None] | None,
    say: Say,
) -> ClusteringRecord:
    """What `_cluster` stores once the rows, which are most of a process, are gone."""
    measurements = store.measurements()
    if len(measurements) == 0:
        aside = store.set_aside()
        holds = f"sets all aside ({aside[0].says})" if aside else "holds none"
        remedy = aside[0].repair if aside else "hdap ingest telemetry.csv"
        raise NotEnoughDataError(
            f"clustering needs measurements, but the database {holds}; load telemetry: {remedy}"
        )
    record = cluster(
        measurements,
        algorithm=choice.algorithm or "hdbscan",
        clusters=choice.clusters,
        seed=choice.seed,
        created_at=datetime.now(UTC),
        measurement_mark=mark,
        resamples=choice.resamples,
        memory_boundness=_memory_boundness(store, measurements),
        standing=_standing(store, measurements),
        progress=progress,
    )
    note = software_note(measurements, record.software)
    if note:
        say(note)
    return record


def _standing(store: Store, measurements: Measurements) -> Bools | None:
    """Devices that represented their cluster so far and have measured pruned networks."""
    latest = store.clustering_head()
    if latest is None:
        return None
    ids = measurements.devices.ids
    rows = np.bincount(measurements.device[~measurements.dense], minlength=len(ids))
    found: Bools = rows > 0
    standing = store.representatives(latest.id)
    found[found] = [name in standing for name in ids[found].tolist()]
    return found


def _memory_boundness(store: Store, measurements: Measurements) -> Floats | None:
    """A number a configuration, NaN where the architecture is not stored; None where none is."""
    known = {m.model for m in store.models()} & set(measurements.models)
    found = np.full(len(measurements.models), np.nan)
    models = np.array(measurements.models)
    for model in sorted(known):
        mine = np.flatnonzero(models == model)
        architecture = store.architecture(model)
        parsed = parse_channels(architecture, [measurements.channels[i] for i in mine])
        found[mine] = memory_boundness(architecture, parsed.counts)
    return found if known else None


def _count(record: ClusteringRecord) -> str:
    clusters, outliers = len(record.clusters), int(record.outlier.sum())
    words = f"{len(record.device_ids):,} devices in {clusters} cluster{'s' * (clusters != 1)}"
    return words + (f", {outliers:,} of them outliers" if outliers else "")


def ensure_surrogates(
    store: Store,
    architecture: Architecture,
    clustering: ClusteringRecord,
    say: Say,
    kind: str = "fleet",
    seed: int = 0,
) -> FleetSurrogate:
    """The stored surrogates where they are current for this clustering; else newly fitted ones."""
    records = store.surrogates(architecture.model, clustering.id, kind)
    mark = store.measurement_mark()
    current = len(records) == len(clustering.clusters) and all(
        r.architecture_digest == architecture.digest and r.measurement_mark == mark for r in records
    )
    if current:
        say(f"surrogates of {architecture.model} are current ({kind}, {records[0].rows:,} rows)")
        return load_surrogate(kind, architecture, tuple(r.payload for r in records))
    say(f"fitting surrogates of {architecture.model} ({kind})")
    found = fit_surrogates(store, architecture, clustering, kind, seed, base_lines=())
    for note in (*found.notes, *found.choices):
        say(note)
    return found.surrogate


def measurements_to_learn_from(
    store: Store, model: str, clustering: ClusteringRecord, up_to_mark: int | None = None
) -> Measurements:
    """Measurements of a model up to a mark (None: all): every row, or of a large fleet those of
    all devices that measured pruned networks and of some of each cluster.

    A surrogate keeps no more dense rows than these have: reading the others changes nothing but
    which ones are kept.
    """
    if len(clustering.device_ids) <= LARGE_FLEET:
        return store.measurements(model, up_to_mark=up_to_mark)
    pruned = {device for device, _ in store.pruned_pairs(model)}
    measured = set(store.devices_of(model).tolist())
    there = np.array([device in measured for device in clustering.device_ids.tolist()])
    usual = np.flatnonzero(there & ~clustering.outlier)
    some = set(pruned)
    for k in range(len(clustering.clusters)):
        mine = usual[clustering.cluster[usual] == k]
        step = max(1, -(-len(mine) // DEVICES_OF_CLUSTER))
        some.update(clustering.device_ids[mine[::step]].tolist())
    chosen = np.array(sorted(some), dtype=object)
    return store.measurements(model, up_to_mark=up_to_mark, of_devices=chosen)


def fit_surrogates(
    store: Store,
    architecture: Architecture,
    clustering: ClusteringRecord,
    kind: str,
    seed: int,
    base_lines: tuple[str, ...] = BASE_LINES,
) -> FitResult:
    """Fit and store one surrogate a cluster, and what they showed of themselves.

    Raises NotEnoughDataError when the model has no measurements or too few pruned ones.
    """
    require_measurements(store, architecture.model)
    result = fit(
        architecture,
        measurements_to_learn_from(store, architecture.model, clustering),
        clustering,
        kind=kind,
        seed=seed,
        created_at=datetime.now(UTC),
        measurement_mark=store.measurement_mark(),
        base_lines=base_lines,
    )
    place = (clustering.id, architecture.model, kind)
    curve = errors_by_rows(SURROGATES[kind], result.data)
    learning = [LearningRecord(*place, rows, error) for rows, error in curve]
    store.save_surrogates(result.records, result.held_out, learning)
    return result
