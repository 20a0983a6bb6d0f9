"""Make each stage current: trace, weigh, cluster and fit only what is missing or stale.

Every function says in one line what it does (`say`) and reuses what the store already holds.
"""

import hashlib
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from hdap.fleet_data.architecture import Architecture
from hdap.fleet_data.callbacks import Say
from hdap.fleet_data.errors import InputError, NotEnoughDataError, NotFoundError
from hdap.fleet_data.records import ClusteringRecord, Floats, ImportanceRecord, Measurements
from hdap.requests.clustering_choice import ClusteringChoice

if TYPE_CHECKING:
    from hdap.fleet_data.store import Store
    from hdap.search.problem.kept_importance import Importance
    from hdap.surrogate.models.base import FleetSurrogate
    from hdap.surrogate.validation.fit_surrogates import FitResult


T = TypeVar("T")


def _or_none(find: Callable[[], T]) -> T | None:
    try:
        return find()
    except NotFoundError:
        return None


def ensure_architecture(store: "Store", model: str, say: Say) -> Architecture:
    """The stored architecture of a model; traced and stored first where it is missing.

    Raises InputError for an unknown name and UnsupportedModelError for a network that cannot be
    described exactly.
    """
    stored = _or_none(lambda: store.architecture(model))
    if stored is not None:
        return stored
    from hdap.networks.tracing import trace

    say(f"tracing {model} (once; the architecture is stored)")
    architecture = trace(model)
    store.save_architecture(architecture)
    return architecture


def require_measurements(store: "Store", model: str) -> None:
    """Raise NotEnoughDataError where nothing was measured of the model; no torch is loaded."""
    measured = store.measured_models()
    if model not in measured:
        raise NotEnoughDataError(
            f"the database must hold measurements of {model}, but it has: "
            f"{', '.join(measured) or 'none of any model'}; load some: hdap ingest telemetry.csv"
        )


def measured_architecture(store: "Store", model: str, say: Say) -> Architecture:
    """The architecture of a model that was measured.

    Raises NotFoundError with the nearest names for a model that does not exist, and
    NotEnoughDataError for one that was never measured.
    """
    if model not in store.measured_models():
        ensure_architecture(store, model, say)
    require_measurements(store, model)
    return ensure_architecture(store, model, say)


def ensure_importance(
    store: "Store", architecture: Architecture, weights: Path | None, pretrained: bool, say: Say
) -> "Importance":
    """Channel importance from the given weights, else the latest stored, else channels counted.

    Raises InputError when both sources of weights are given.
    """
    from hdap.search.problem.kept_importance import Importance

    if weights and pretrained:
        raise InputError("`--weights` and `--pretrained` exclude each other; give one of them")
    source = _source(weights, pretrained)
    stored = _or_none(lambda: store.importance(architecture.model, source))
    if stored is not None and stored.architecture_digest == architecture.digest:
        say(f"channel importance: stored, from {stored.source}")
        return Importance(stored.source, stored.curves)
    if source is None:
        say(
            "channel importance: none is known, so every channel counts alike "
            "(give --weights FILE or --pretrained to weigh them)"
        )
        return Importance.by_channels(architecture)
    say(f"channel importance: reading {source}")
    curves = _curves(architecture, weights, pretrained)
    store.save_importance(
        ImportanceRecord(
            model=architecture.model,
            source=source,
            architecture_digest=architecture.digest,
            curves=curves,
        )
    )
    return Importance(source, curves)


def _source(weights: Path | None, pretrained: bool) -> str | None:
    if pretrained:
        return "timm pretrained weights"
    if weights is None:
        return None
    digest = hashlib.sha256(weights.read_bytes()).hexdigest()[:12]
    return f"weights {weights.name} (sha256 {digest})"


def _curves(architecture: Architecture, weights: Path | None, pretrained: bool) -> tuple[Any, ...]:
    from hdap.networks.channel_importance import channel_importance, importance_curves
    from hdap.networks.loading import load_model

    loaded = load_model(architecture.model, weights=weights, pretrained=pretrained)
    return importance_curves(channel_importance(loaded.module, architecture), architecture)


def latest_clustering(store: "Store") -> ClusteringRecord | None:
    """The newest clustering, current or not; None where there is none."""
    return _or_none(store.clustering)


def ensure_clustering(
    store: "Store",
    say: Say,
    choice: ClusteringChoice | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> ClusteringRecord:
    """The latest clustering where it is current; else a new one.

    Current means: no row has been added since, and `choice` is None or asks for the same. A choice
    that is None repeats the algorithm and number of clusters of the latest clustering.
    """
    latest = latest_clustering(store)
    mark = store.measurement_mark()
    if choice is None and latest is not None and latest.measurement_mark == mark:
        say(f"clustering {latest.id} is current: {_count(latest)}")
        return latest
    if choice is None:
        choice = _as_before(latest)
        reason = "there is none yet" if latest is None else "telemetry was added since the last"
        say(f"clustering the fleet ({reason})")
    return _cluster(store, choice, mark, progress, say)


def _as_before(latest: ClusteringRecord | None) -> ClusteringChoice:
    if latest is None:
        return ClusteringChoice()
    return ClusteringChoice(
        algorithm=latest.algorithm, clusters=latest.parameters.get("clusters"), seed=latest.seed
    )


def _cluster(
    store: "Store",
    choice: ClusteringChoice,
    mark: int,
    progress: Callable[[int, int], None] | None,
    say: Say,
) -> ClusteringRecord:
    from hdap.clustering.cluster_fleet import cluster

    measurements = store.measurements()
    if len(measurements) == 0:
        raise NotEnoughDataError(
            "clustering needs measurements, but the database holds none; "
            "load telemetry first: hdap ingest telemetry.csv"
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
        progress=progress,
    )
    record = replace(record, id=store.save_clustering(record))
    say(f"clustering {record.id}: {_count(record)}")
    return record


def _memory_boundness(store: "Store", measurements: Measurements) -> Floats | None:
    """A number a configuration, NaN where the architecture is not stored; None where none is."""
    import numpy as np

    from hdap.fleet_data.configuration import parse_channels
    from hdap.fleet_data.costs import memory_boundness

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
    store: "Store",
    architecture: Architecture,
    clustering: ClusteringRecord,
    say: Say,
    kind: str = "fleet",
    seed: int = 0,
) -> "FleetSurrogate":
    """The stored surrogates where they are current for this clustering; else newly fitted ones."""
    from hdap.surrogate.models.registry import load_surrogate

    records = store.surrogates(architecture.model, clustering.id, kind)
    mark = store.measurement_mark()
    current = len(records) == len(clustering.clusters) and all(
        r.architecture_digest == architecture.digest and r.measurement_mark == mark for r in records
    )
    if current:
        say(f"surrogates of {architecture.model} are current ({kind}, {records[0].rows:,} rows)")
        return load_surrogate(kind, architecture, tuple(r.payload for r in records))
    say(f"fitting surrogates of {architecture.model} ({kind})")
    return fit_surrogates(store, architecture, clustering, kind, seed).surrogate


def fit_surrogates(
    store: "Store", architecture: Architecture, clustering: ClusteringRecord, kind: str, seed: int
) -> "FitResult":
    """Fit and store one surrogate a cluster.

    Raises NotEnoughDataError when the model has no measurements or too few pruned ones.
    """
    from hdap.surrogate.validation.fit_surrogates import fit

    require_measurements(store, architecture.model)
    measurements = store.measurements(architecture.model)
    result = fit(
        architecture,
        measurements,
        clustering,
        kind=kind,
        seed=seed,
        created_at=datetime.now(UTC),
        measurement_mark=store.measurement_mark(),
    )
    store.save_surrogates(result.records)
    return result
