"""Clusterings and their clusters."""

from typing import Any

import numpy as np
import polars as pl
import sqlalchemy as sa

from hdap.fleet_data.records import ClusteringRecord, ClusterRecord
from hdap.fleet_data.store.bulk import bulk_insert
from hdap.fleet_data.store.codec import float_blobs, jsonable, number_or_nan, number_or_null
from hdap.fleet_data.store.part import StorePart, not_found
from hdap.fleet_data.store.schema import cluster_devices, clusterings, clusters

_FIGURES = ("weight_share", "relative_latency", "spread", "stability")


class ClusteringStore(StorePart):
    """Clusterings of the fleet."""

    def save_clustering(self, record: ClusteringRecord) -> int:
        """Add a clustering; the id it got."""
        with self._database.writing() as connection:
            added = connection.execute(
                sa.insert(clusterings).values(
                    algorithm=record.algorithm,
                    parameters=jsonable(record.parameters),
                    seed=record.seed,
                    created_at=record.created_at,
                    measurement_mark=record.measurement_mark,
                    stability=number_or_null(record.stability),
                    features=list(record.features),
                )
            )
            (key,) = added.inserted_primary_key or (0,)
            rows = [_encode(key, cluster) for cluster in record.clusters]
            if rows:
                connection.execute(sa.insert(clusters), rows)
            bulk_insert(connection, cluster_devices, _device_frame(key, record))
        return int(key)

    def clustering(self, id: int | None = None) -> ClusteringRecord:
        """The clustering with that id, or the newest. Raises NotFoundError."""
        wanted = sa.select(clusterings).order_by(clusterings.c.clustering_id.desc()).limit(1)
        if id is not None:
            wanted = wanted.where(clusterings.c.clustering_id == id)
        with self._database.reading() as connection:
            row = connection.execute(wanted).one_or_none()
            if row is None:
                keys = sa.select(clusterings.c.clustering_id).order_by(clusterings.c.clustering_id)
                names = [str(key) for key in connection.scalars(keys)]
                raise not_found("clustering", id or "at all", names, "`hdap cluster` makes one")
            return _decode(connection, row)


def _encode(key: int, cluster: ClusterRecord) -> dict[str, Any]:
    return {
        "clustering_id": key,
        "cluster": cluster.cluster,
        "devices": cluster.devices,
        "description": cluster.description,
        "context": jsonable(cluster.context),
    } | {name: number_or_null(getattr(cluster, name)) for name in _FIGURES}


def _device_frame(key: int, record: ClusteringRecord) -> pl.DataFrame:
    return pl.DataFrame(
        {
            "device_id": pl.Series(record.device_ids.tolist(), dtype=pl.String),
            "cluster": record.cluster,
            "outlier": record.outlier,
            "representative": record.representative,
            "factor": pl.Series(record.factor, nan_to_null=True),
            "position": np.arange(len(record.device_ids)),
            "fingerprint": pl.Series(float_blobs(record.fingerprint), dtype=pl.Binary),
        }
    ).with_columns(clustering_id=pl.lit(key))


def _decode(connection: sa.Connection, row: Any) -> ClusteringRecord:
    mine = clusters.c.clustering_id == row.clustering_id
    found = connection.execute(sa.select(clusters).where(mine).order_by(clusters.c.cluster)).all()
    columns = [cluster_devices.c[name] for name in ("device_id", *_DEVICE_COLUMNS, "fingerprint")]
    members = connection.execute(
        sa.select(*columns)
        .where(cluster_devices.c.clustering_id == row.clustering_id)
        .order_by(cluster_devices.c.position)
    ).all()
    ids, cluster, outlier, representative, factor, blobs = (
        zip(*members, strict=True) if members else ((),) * 6
    )
    return ClusteringRecord(
        algorithm=row.algorithm,
        parameters=row.parameters,
        seed=row.seed,
        created_at=row.created_at,
        measurement_mark=row.measurement_mark,
        stability=number_or_nan(row.stability),
        device_ids=np.array(ids, dtype=object),
        cluster=np.array(cluster, dtype=np.int64),
        outlier=np.array(outlier, dtype=np.bool_),
        representative=np.array(representative, dtype=np.bool_),
        factor=np.array(factor, dtype=np.float64),
        features=tuple(row.features),
        fingerprint=np.frombuffer(b"".join(blobs), dtype="<f8")
        .reshape(len(ids), len(row.features))
        .copy(),
        clusters=tuple(_decode_cluster(one) for one in found),
        id=row.clustering_id,
    )


_DEVICE_COLUMNS = ("cluster", "outlier", "representative", "factor")


def _decode_cluster(row: Any) -> ClusterRecord:
    return ClusterRecord(
        cluster=row.cluster,
        devices=row.devices,
        description=row.description,
        context={name: number_or_nan(value) for name, value in row.context.items()},
        **{name: number_or_nan(getattr(row, name)) for name in _FIGURES},
    )
