"""Trials, written in bulk and read back as columns."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import polars as pl
import sqlalchemy as sa
from numpy.typing import NDArray

from hdap.fleet_data.errors import InputError
from hdap.fleet_data.records import Floats, Ints, TrialBatch
from hdap.fleet_data.store.bulk import allocate_keys, bulk_insert
from hdap.fleet_data.store.part import StorePart, names_of, not_found
from hdap.fleet_data.store.schema import models, studies, trial_channels, trial_clusters, trials
from hdap.fleet_data.store.views import group_names

_FIGURES = (
    "fleet_mean_ms",
    "fleet_mean_low_ms",
    "fleet_mean_high_ms",
    "fleet_p95_ms",
    "ucb_ms",
    "worst_cluster_ms",
    "kept_importance",
)
_INTEGERS = ("number", "flops", "parameters", "worst_cluster")
_TIMES = ("started_at", "finished_at")
_VALUES = ("value_1", "value_2", "value_3")
_CLUSTER_COLUMNS = {
    "latency_ms": "cluster_ms",
    "latency_low_ms": "cluster_low_ms",
    "latency_high_ms": "cluster_high_ms",
}


class TrialStore(StorePart):
    """Trials of studies."""

    def append_trials(
        self,
        study_id: int,
        batch: TrialBatch,
        sampler_state: Mapping[str, Any],
        *,
        again: bool = False,
    ) -> None:
        """Add trials with their channels and cluster latencies, and the sampler's state after
        them, in one transaction: a study can always be resumed from what is stored.

        With `again` a trial whose number is there already is the same one, handed on by another
        process of those that search the study, and is left as it is. Raises NotFoundError for an
        unknown study, InputError when the counts do not fit the model's width groups or, without
        `again`, a number is there already.
        """
        with self._database.writing() as connection:
            name, groups = _study_and_groups(connection, study_id)
            known = _known(connection, study_id, batch, groups)
            if again:
                batch = batch.take(~np.isin(batch.number, known))
            elif known.size:
                raise _not_new(study_id, known)
            if len(batch):
                keys = allocate_keys(connection, trials, len(batch))
                bulk_insert(connection, trials, _frame(study_id, name, keys, batch, groups))
                bulk_insert(connection, trial_channels, _channel_frame(keys, batch, groups))
                bulk_insert(connection, trial_clusters, _cluster_frame(keys, batch))
            connection.execute(
                sa.update(studies)
                .where(studies.c.study_id == study_id)
                .values(sampler_state=sampler_state)
            )

    def trials(self, study_id: int) -> TrialBatch:
        """All trials of the study, by number. Raises NotFoundError."""
        with self._database.reading() as connection:
            _, groups = _study_and_groups(connection, study_id)
            rows = connection.execute(
                sa.select(trials).where(trials.c.study_id == study_id).order_by(trials.c.number)
            ).all()
            columns = [trial_clusters.c[name] for name in ("cluster", *_CLUSTER_COLUMNS)]
            latencies = connection.execute(
                sa.select(*columns)
                .join(trials)
                .where(trials.c.study_id == study_id)
                .order_by(trials.c.number, trial_clusters.c.cluster)
            ).all()
        clusters = np.array([tuple(row)[1:] for row in latencies], dtype=np.float64)
        per_trial = clusters.reshape(len(rows), -1, 3) if len(rows) else np.empty((0, 0, 3))
        return _batch(rows, groups, per_trial)


def _study_and_groups(connection: sa.Connection, study_id: int) -> tuple[str, list[str]]:
    row = connection.execute(
        sa.select(studies.c.study, models.c.architecture)
        .join(models, models.c.model == studies.c.model)
        .where(studies.c.study_id == study_id)
    ).one_or_none()
    if row is None:
        names = names_of(connection, studies.c.study)
        raise not_found("study", study_id, names, "`hdap search` makes one")
    return row.study, group_names(row.architecture)


def _known(connection: sa.Connection, study_id: int, batch: TrialBatch, groups: list[str]) -> Ints:
    """Numbers of the batch that are stored; from here to the end nobody else adds any."""
    if batch.counts.shape != (len(batch), len(groups)):
        raise InputError(
            f"counts must be trials x width groups = {(len(batch), len(groups))}, "
            f"got {batch.counts.shape}"
        )
    # the study's row is the lock of its trials
    mine = sa.select(studies.c.study_id).where(studies.c.study_id == study_id).with_for_update()
    connection.execute(mine)
    stored = np.fromiter(
        connection.scalars(sa.select(trials.c.number).where(trials.c.study_id == study_id)),
        dtype=np.int64,
    )
    if np.unique(batch.number).size != len(batch):
        raise _not_new(study_id, batch.number)
    return np.intersect1d(stored, batch.number)


def _not_new(study_id: int, numbers: Ints) -> InputError:
    return InputError(
        f"trial numbers must be new in study {study_id}, got number={numbers[:5].tolist()} again"
    )


def _frame(
    study_id: int, study: str, keys: Ints, batch: TrialBatch, groups: list[str]
) -> pl.DataFrame:
    columns = {name: getattr(batch, name) for name in (*_INTEGERS, "feasible", *_FIGURES)}
    times = {name: getattr(batch, name).astype("datetime64[us]") for name in _TIMES}
    values = () if batch.values is None else batch.values.T
    accuracy = {} if batch.accuracy is None else {"accuracy": batch.accuracy}
    channels = {"trial_id": keys, "channels": _channel_texts(groups, batch.counts)}
    return pl.DataFrame(
        channels | columns | times | accuracy | dict(zip(_VALUES, values, strict=False))
    ).with_columns(study_id=pl.lit(study_id), study=pl.lit(study))


def _channel_texts(groups: list[str], counts: Ints) -> list[str]:
    """One JSON object {group: count} a row of `counts` (n x groups)."""
    pairs = (json.dumps(name, ensure_ascii=False).replace("%", "%%") + ": %d" for name in groups)
    template = "{" + ", ".join(pairs) + "}"
    return [template % tuple(row) for row in counts.tolist()]


def _channel_frame(keys: Ints, batch: TrialBatch, groups: list[str]) -> pl.DataFrame:
    return pl.DataFrame(
        {
            "trial_id": np.repeat(keys, len(groups)),
            "width_group": groups * len(keys),
            "channels": batch.counts.reshape(-1),
        }
    )


def _cluster_frame(keys: Ints, batch: TrialBatch) -> pl.DataFrame:
    clusters = batch.cluster_ms.shape[1]
    places = {
        "trial_id": np.repeat(keys, clusters),
        "cluster": np.tile(np.arange(clusters), len(keys)),
    }
    latencies = {
        column: getattr(batch, field).reshape(-1) for column, field in _CLUSTER_COLUMNS.items()
    }
    return pl.DataFrame(places | latencies)


def _batch(rows: Sequence[Any], groups: list[str], clusters: Floats) -> TrialBatch:
    counts = [[row.channels[group] for group in groups] for row in rows]

    def column(name: str, kind: Any) -> NDArray[Any]:
        return np.array([getattr(row, name) for row in rows], dtype=kind)

    def times(name: str) -> NDArray[np.datetime64]:
        found = [getattr(row, name) for row in rows]
        naive = [time.replace(tzinfo=None) if time else None for time in found]
        return np.array(naive, dtype="datetime64[us]")

    values = np.array([[getattr(row, name) for name in _VALUES] for row in rows], dtype=np.float64)
    filled = np.isfinite(values.reshape(-1, len(_VALUES))).any(axis=0)
    accuracy = column("accuracy", np.float64)
    return TrialBatch(
        counts=np.array(counts, dtype=np.int64).reshape(len(rows), len(groups)),
        feasible=column("feasible", np.bool_),
        cluster_ms=clusters[:, :, 0],
        cluster_low_ms=clusters[:, :, 1],
        cluster_high_ms=clusters[:, :, 2],
        values=values[:, filled] if filled.any() else None,
        accuracy=accuracy if np.isfinite(accuracy).any() else None,
        started_at=times("started_at"),
        finished_at=times("finished_at"),
        **{name: column(name, np.int64) for name in _INTEGERS},
        **{name: column(name, np.float64) for name in _FIGURES},
    )
