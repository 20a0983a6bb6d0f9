"""Clusterings, their clusters, and the surrogates that were fitted to them."""

from collections.abc import Iterable, Sequence
from functools import partial
from sys import intern
from typing import Any

import numpy as np
import polars as pl
import sqlalchemy as sa
from numpy.typing import NDArray

from hdap.fleet_data.records import (
    ClusteringHead,
    ClusteringRecord,
    ClusterRecord,
    Floats,
    HeldOutRecord,
    LearningRecord,
    SurrogateRecord,
)
from hdap.fleet_data.store.bulk import bulk_insert
from hdap.fleet_data.store.engine import Database, driver_connection
from hdap.fleet_data.store.mapper import to_record
from hdap.fleet_data.store.part import (
    StorePart,
    insert,
    insert_one,
    names_of,
    newest,
    not_found,
    replace,
    select,
)
from hdap.fleet_data.store.schema import (
    cluster_devices,
    clusterings,
    clusters,
    held_out,
    learning_curves,
    surrogates,
)


class ClusteringStore(StorePart):
    """Clusterings of the fleet; surrogates by model, clustering and kind."""

    def __init__(self, database: Database) -> None:
        super().__init__(database)
        self._read: tuple[int, ClusteringRecord] | None = None  # never changes once it is stored

    def save_clustering(self, record: ClusteringRecord) -> int:
        """Add a clustering; the id it got."""
        with self._database.writing() as connection:
            key = insert_one(connection, clusterings, record)
            insert(connection, clusters, record.clusters, clustering_id=key)
            bulk_insert(connection, cluster_devices, _device_frame(key, record))
        return key

    def clustering(self, id: int | None = None) -> ClusteringRecord:
        """The clustering with that id, or the newest. Raises NotFoundError."""
        wanted = () if id is None else (clusterings.c.clustering_id == id,)
        with self._database.reading() as connection:
            row = newest(connection, clusterings, *wanted)
            if row is None:
                keys = names_of(connection, clusterings.c.clustering_id)
                raise not_found("clustering", id or "at all", keys, "`hdap cluster` makes one")
            if self._read is None or self._read[0] != row.clustering_id:
                self._read = row.clustering_id, _decode(connection, row)
            return self._read[1]

    def clustering_head(self) -> ClusteringHead | None:
        """What the newest clustering is, without its devices; None where there is none."""
        with self._database.reading() as connection:
            row = newest(connection, clusterings)
            if row is None:
                return None
            mine = clusters.c.clustering_id == row.clustering_id
            count = connection.scalar(sa.select(sa.func.count()).where(mine)) or 0
        known = {name: row._mapping[name] for name in _HEAD}
        return ClusteringHead(id=row.clustering_id, clusters=int(count), **known)

    def outliers(self, clustering_id: int) -> frozenset[str]:
        """Names of the devices that a clustering calls outliers."""
        return self._names_of(clustering_id, cluster_devices.c.outlier)

    def representatives(self, clustering_id: int) -> frozenset[str]:
        """Names of the devices that represent their cluster in a clustering."""
        return self._names_of(clustering_id, cluster_devices.c.representative)

    def _names_of(self, clustering_id: int, which: "sa.Column[bool]") -> frozenset[str]:
        mine = cluster_devices.c.clustering_id == clustering_id
        wanted = sa.select(cluster_devices.c.device_id).where(mine, which)
        with self._database.reading() as connection:
            return frozenset(connection.scalars(wanted))

    def save_surrogates(
        self,
        records: Sequence[SurrogateRecord],
        held: Iterable[HeldOutRecord] = (),
        learning: Iterable[LearningRecord] = (),
    ) -> None:
        """Add surrogates in one transaction; each replaces the one it has the place of.

        What they showed of themselves (`held` out, when `learning` from few rows) takes the place
        of what those of before did.
        """
        with self._database.writing() as connection:
            replace(connection, surrogates, records, ("clustering_id", "model", "kind", "cluster"))
            for fit in {(r.clustering_id, r.model, r.kind) for r in records}:
                for table in (held_out, learning_curves):
                    connection.execute(sa.delete(table).where(*_of_fit(table, *fit)))
            insert(connection, held_out, held)
            insert(connection, learning_curves, learning)

    def surrogates(self, model: str, clustering_id: int, kind: str) -> tuple[SurrogateRecord, ...]:
        """The surrogates of that place, by cluster; empty when none was fitted."""
        where = _of_fit(surrogates, clustering_id, model, kind)
        found = self._select(SurrogateRecord, surrogates, *where)
        return tuple(sorted(found, key=lambda record: record.cluster))

    def held_out(self, model: str, clustering_id: int, kind: str) -> tuple[HeldOutRecord, ...]:
        """What the surrogates of that place said of what they had not seen; empty when none was
        fitted, or only by a release that kept nothing of it."""
        where = _of_fit(held_out, clustering_id, model, kind)
        return self._select(HeldOutRecord, held_out, *where)

    def learning_curve(
        self, model: str, clustering_id: int, kind: str
    ) -> tuple[LearningRecord, ...]:
        """Held-out error by measurements learned from, fewest first; empty where too few were."""
        where = _of_fit(learning_curves, clustering_id, model, kind)
        return self._select(LearningRecord, learning_curves, *where)


def _of_fit(
    table: sa.Table, clustering_id: int, model: str, kind: str
) -> "tuple[sa.ColumnElement[bool], ...]":
    c = table.c
    return c.clustering_id == clustering_id, c.model == model, c.kind == kind


def _device_frame(key: int, record: ClusteringRecord) -> pl.DataFrame:
    rows = np.ascontiguousarray(record.fingerprint, dtype="<f8")
    return pl.DataFrame(
        {
            "device_id": pl.Series(record.device_ids.tolist(), dtype=pl.String),
            "cluster": record.cluster,
            "outlier": record.outlier,
            "representative": record.representative,
            "factor": record.factor,
            "factor_sd": record.factor_sd,
            "software": pl.Series(record.software.tolist(), dtype=pl.String),
            "software_before": pl.Series(
                [text or None for text in record.software_before.tolist()], dtype=pl.String
            ),
            "software_since_us": _microseconds(record.software_since),
            "position": np.arange(len(record.device_ids)),
            "fingerprint": pl.Series([row.tobytes() for row in rows], dtype=pl.Binary),
        }
    ).with_columns(clustering_id=pl.lit(key))


_HEAD = ("algorithm", "parameters", "seed", "created_at", "measurement_mark")
_MEMBER_COLUMNS = (
    *("device_id", "cluster", "outlier", "representative", "factor", "factor_sd", "software"),
    *("software_before", "software_since_us", "fingerprint"),
)
_BLOCK = 50_000
_MEMBERS = (
    f"SELECT {', '.join(_MEMBER_COLUMNS)} FROM cluster_devices WHERE clustering_id = {{}} "
    "ORDER BY position"
)


def _decode(connection: sa.Connection, row: "sa.Row[tuple[()]]") -> ClusteringRecord:
    key = row._mapping["clustering_id"]
    # past SQLAlchemy, and not all at once: a million rows as objects take seconds
    members = driver_connection(connection).execute(_MEMBERS.format(int(key)))
    blocks = [_members(block) for block in iter(partial(members.fetchmany, _BLOCK), [])]
    columns = [np.concatenate(parts) for parts in zip(*blocks or [_members([])], strict=True)]
    named = dict(zip(_MEMBER_COLUMNS, columns, strict=True))
    since, fingerprint = named.pop("software_since_us") / 1e6, named.pop("fingerprint")
    return to_record(
        ClusteringRecord,
        clusterings,
        row,
        device_ids=named.pop("device_id"),
        software_since=since,
        fingerprint=fingerprint.reshape(len(since), len(row._mapping["features"])),
        clusters=select(connection, ClusterRecord, clusters, clusters.c.clustering_id == key),
        **named,
    )


def _members(rows: Sequence[Any]) -> list[NDArray[Any]]:
    """Rows of devices as columns, in the order of `_MEMBER_COLUMNS`; NULL is NaN, or no text."""
    columns = zip(*rows, strict=True) if rows else ((),) * len(_MEMBER_COLUMNS)
    ids, cluster, outlier, representative, factor, factor_sd, *texts, since, blobs = columns
    return [
        np.array(ids, dtype=object),
        np.array(cluster, dtype=np.int64),
        np.array(outlier, dtype=np.bool_),
        np.array(representative, dtype=np.bool_),
        np.array(factor, dtype=np.float64),
        np.array(factor_sd, dtype=np.float64),
        *(np.array([intern(text or "") for text in column], dtype=object) for column in texts),
        np.array(since, dtype=np.float64),
        np.frombuffer(b"".join(blobs), dtype="<f8"),
    ]


def _microseconds(seconds: Floats) -> pl.Series:
    """As the store keeps times; None where unknown."""
    known = pl.Series(seconds, nan_to_null=True)
    return (known * 1e6).round().cast(pl.Int64)
