"""The writing side of an ingest: one transaction that takes rows by the hundred thousand."""

import json
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import NamedTuple

import numpy as np
import polars as pl
import sqlalchemy as sa

from hdap.fleet_data.architecture import Architecture
from hdap.fleet_data.records import IngestRecord
from hdap.fleet_data.software import parse_software
from hdap.fleet_data.store.architectures import find_architecture, put_architecture
from hdap.fleet_data.store.bulk import allocate_keys, bulk_insert, copy_in, find_keys, sqlite_rows
from hdap.fleet_data.store.engine import driver_connection
from hdap.fleet_data.store.part import StorePart
from hdap.fleet_data.store.schema import (
    all_measurements,
    configurations,
    devices,
    ingests,
    models,
    pruned_histories,
    runtimes,
    software,
)
from hdap.fleet_data.store.unit_changes import forget_contents
from hdap.fleet_data.store.unit_store import apply_units, judge_units, list_set_aside
from hdap.fleet_data.units.latency_unit import LatencyUnits
from hdap.fleet_data.units.set_aside import SetAside

_TEXTS = {
    "device": devices.c.device_id,
    "runtime": runtimes.c.runtime,
    "software": software.c.software,
}


@dataclass(frozen=True)
class PrunedDevices:
    """Devices (keys) whose dense rows of before a moment others stand for."""

    before_us: int
    keys: pl.Series


_INDEXES = ("measurements_row_hash", "measurements_of_configuration")
"""What is made once all rows of a first ingest are in."""
_INGEST = ("source", "started_at", "rows_read", "rows_added", "rows_known", "rows_rejected")
_CONTENT = ("content_rows", "content_low", "content_high")
_HALF = 2**32 - 1


class IngestStore(StorePart):
    """Ingests."""

    @contextmanager
    def ingesting(self, source: str, version: str | None = None) -> Iterator["IngestWriter"]:
        """One ingest, one transaction: all of it is stored at the end, or nothing.

        `version` is what changes when the source is written anew. One at a time; readers go on
        undisturbed. Raises StoreError.
        """
        with self._database.bulk_writing() as connection:
            writer = IngestWriter(connection, source, version)
            yield writer
            writer.finish()

    def ingested_versions(self) -> dict[str, str]:
        """The version of each source that was last ingested, of those that had one."""
        known = sa.select(ingests.c.source, ingests.c.source_version)
        known = known.where(ingests.c.source_version.is_not(None)).order_by(ingests.c.ingest_id)
        with self._database.reading() as connection:
            return {row.source: row.source_version for row in connection.execute(known)}

    def ingests(self) -> tuple[IngestRecord, ...]:
        """All ingests, in their order."""
        names = (*_INGEST, *_CONTENT)
        wanted = sa.select(ingests.c.ingest_id, *(ingests.c[name] for name in names))
        with self._database.reading() as connection:
            rows = connection.execute(wanted.order_by(ingests.c.ingest_id)).all()
            unknown = [row.ingest_id for row in rows if row.content_rows is None]
            read = _contents(connection, unknown) if unknown else {}
        return tuple(
            IngestRecord(*row[1:7], *read.get(row.ingest_id, tuple(v or 0 for v in row[7:])))
            for row in rows
        )

    def fold_log(self) -> None:
        """After an ingest, whose log is as large as the file. Raises StoreError."""
        self._database.fold_log()


class Content(NamedTuple):
    """What the rows of an ingest are, in any order: their number, and sums of the halves of their
    hashes."""

    rows: int = 0
    low: int = 0
    high: int = 0

    def with_rows(self, row_hashes: pl.Series) -> "Content":
        """With more rows."""
        halves = row_hashes.to_numpy().view(np.uint64)
        low, high = halves & np.uint64(_HALF), halves >> np.uint64(32)
        return Content(
            self.rows + len(halves), self.low + int(low.sum()), self.high + int(high.sum())
        )


def _contents(connection: sa.Connection, which: Sequence[int]) -> dict[int, Content]:
    """Of ingests whose content is not known, from the rows that count."""
    some = ", ".join(str(int(each)) for each in which)
    found = connection.exec_driver_sql(
        f"SELECT ingest_id, count(*), sum(row_hash & {_HALF}), sum((row_hash >> 32) & {_HALF}) "
        f"FROM measurements WHERE ingest_id IN ({some}) GROUP BY ingest_id"
    )
    return {row[0]: Content(*(int(value) for value in row[1:])) for row in found}


class IngestWriter:
    """What an ingest may do within its transaction."""

    def __init__(self, connection: sa.Connection, source: str, version: str | None = None) -> None:
        self._connection = connection
        self._sqlite = connection.dialect.name == "sqlite"
        if not self._sqlite:
            # marks must grow in the order of commits: one ingest at a time, readers go on
            connection.exec_driver_sql("LOCK TABLE all_measurements IN SHARE ROW EXCLUSIVE MODE")
        started = {"source": source, "source_version": version, "started_at": datetime.now(UTC)}
        zeros = dict.fromkeys(("rows_read", "rows_added", "rows_known", "rows_rejected"), 0)
        added = connection.execute(sa.insert(ingests).values(started | zeros))
        self._ingest_id: int = (added.inserted_primary_key or (0,))[0]
        self._index_last = self._sqlite and self._is_first()
        self._added = 0
        self._content: Content | None = Content()
        self._newest = _newest(connection)
        self._staged: tuple[str, ...] | None = None
        if self._index_last:
            for name in _INDEXES:
                connection.exec_driver_sql(f"DROP INDEX {name}")

    def architecture(self, model: str) -> Architecture | None:
        """The stored architecture, if there is one."""
        return find_architecture(self._connection, model)

    def save_architecture(self, architecture: Architecture) -> None:
        """Add or replace an architecture."""
        put_architecture(self._connection, architecture)

    def dense_figures(self, model: str) -> tuple[int, int] | None:
        """FLOPs and parameters of a stored model."""
        figures = sa.select(models.c.flops, models.c.parameters).where(models.c.model == model)
        row = self._connection.execute(figures).one_or_none()
        return None if row is None else (row.flops, row.parameters)

    def text_keys(self, kind: str, texts: pl.Series) -> tuple[pl.DataFrame, int]:
        """Keys of devices, runtimes or software (`kind`), added where new: `value`, `key`; and how
        many are new.

        `texts` are distinct.
        """
        column = _TEXTS[kind]
        found = find_keys(self._connection, column, texts)
        new = texts.filter(~texts.is_in(found["value"].implode()))
        if new.is_empty():
            return found, 0
        table = column.table
        assert isinstance(table, sa.Table)
        keys = pl.Series(allocate_keys(self._connection, table, len(new)), dtype=pl.Int64)
        key = next(iter(table.primary_key)).name
        rows = pl.DataFrame({key: keys, column.name: new})
        if kind == "device":
            rows = rows.with_columns(weight=pl.lit(1.0))
        if kind == "software":
            rows = rows.with_columns(software_columns(new))
        bulk_insert(self._connection, table, rows)
        return pl.concat([found, pl.DataFrame({"value": new, "key": keys})]), len(new)

    def configuration_keys(self, rows: pl.DataFrame) -> tuple[pl.DataFrame, int]:
        """Keys of configurations, added where new: `value` (the content hash), `key`; how many.

        `rows` has the columns of the table but its key; content hashes are distinct.
        """
        hashes = configurations.c.content_hash
        found = find_keys(self._connection, hashes, rows["content_hash"])
        new = rows.filter(~pl.col("content_hash").is_in(found["value"].implode()))
        if new.is_empty():
            return found, 0
        keys = pl.Series(allocate_keys(self._connection, configurations, new.height))
        bulk_insert(self._connection, configurations, new.with_columns(configuration_key=keys))
        added = pl.DataFrame({"value": new["content_hash"], "key": keys.cast(pl.Int64)})
        return pl.concat([found, added]), new.height

    def pruned_history(self) -> PrunedDevices | None:
        """Whose old rows were made fewer; None where nobody's were."""
        newest = sa.select(sa.func.max(pruned_histories.c.before_us))
        before = self._connection.scalar(newest)
        if before is None:
            return None
        keys = sa.select(all_measurements.c.device_key).distinct()
        keys = keys.where(all_measurements.c.stands_for.is_not(None))
        return PrunedDevices(
            int(before), pl.Series(list(self._connection.scalars(keys)), dtype=pl.Int64)
        )

    def add_measurements(self, frame: pl.DataFrame) -> None:
        """Add rows that are not stored yet; columns are those of the table but key and ingest."""
        filled = frame.select(c.name for c in frame.iter_columns() if c.null_count() < len(c))
        before = self._added
        if self._sqlite:
            self._insert_sqlite(filled)
        else:
            self._insert_server(filled)
        whole = self._added - before == frame.height
        if self._content is not None:
            self._content = self._content.with_rows(frame["row_hash"]) if whole else None

    def _insert_sqlite(self, frame: pl.DataFrame) -> None:
        if not self._index_last:
            frame = frame.sort("row_hash")  # neighbours in the index one after the other
        constants = {"ingest_id": self._ingest_id}
        for column in frame.iter_columns():
            if (
                column.dtype == pl.Int64
                and column.null_count() == 0
                and column.min() == column.max()
            ):
                constants[column.name] = column[0]
        bound = frame.drop(name for name in constants if name in frame.columns)
        values = ["?"] * bound.width + [str(value) for value in constants.values()]
        statement = (
            f"INSERT OR IGNORE INTO all_measurements ({', '.join((*bound.columns, *constants))}) "
            f"VALUES ({', '.join(values)})"
        )
        cursor = driver_connection(self._connection).executemany(statement, sqlite_rows(bound))
        self._added += cursor.rowcount

    def _insert_server(self, frame: pl.DataFrame) -> None:
        names = ", ".join(frame.columns)
        execute = self._connection.exec_driver_sql
        if self._staged != tuple(frame.columns):
            self._staged = tuple(frame.columns)
            execute("DROP TABLE IF EXISTS pg_temp.staged")
            execute(
                f"CREATE TEMP TABLE staged ON COMMIT DROP AS "
                f"SELECT {names} FROM all_measurements WITH NO DATA"
            )
        copy_in(self._connection, "staged", frame)
        added = execute(
            f"INSERT INTO all_measurements ({names}, ingest_id) "
            f"SELECT {names}, {int(self._ingest_id)} FROM staged ON CONFLICT DO NOTHING"
        )
        self._added += added.rowcount
        execute("TRUNCATE pg_temp.staged")

    def adopt(self, row_hashes: pl.Series) -> None:
        """Make rows that are stored already this ingest's: it says how to read them."""
        if self._index_last:
            return
        self._content = None
        forget_contents(self._connection)
        one = f"UPDATE all_measurements SET ingest_id = {int(self._ingest_id)} WHERE row_hash "
        driver = driver_connection(self._connection)
        if self._sqlite:
            hashes = json.dumps(row_hashes.to_list())
            driver.execute(one + "IN (SELECT value FROM json_each(?))", [hashes])
            return
        driver.execute(one + "= ANY(%s)", [row_hashes.to_list()])

    def settle_units(self, fresh: pl.DataFrame, units: LatencyUnits) -> int:
        """Read the rows as somebody says, and judge all; `fresh` are levels of the ingest's rows
        (`unit_levels`). How many rows are read in another unit than before. After `finish`."""
        changed = 0
        if units.said:
            found = apply_units(self._connection, self._ingest_id, fresh, units, self._newest)
            fresh, changed = found
        if changed or self._added:
            changed_aside = judge_units(self._connection, fresh, self._newest)
            self._content = None if changed or changed_aside else self._content
        return changed

    def set_aside(self) -> tuple[SetAside, ...]:
        """As `Store.set_aside`, within this ingest."""
        return list_set_aside(self._connection)

    def set_weights(self, weights: pl.DataFrame) -> None:
        """Set the weights of devices, once an ingest: `device_key`, `weight`."""
        if self._sqlite:
            statement = "UPDATE devices SET weight = ?1 WHERE device_key = ?2 AND weight <> ?1"
            rows = sqlite_rows(weights.select("weight", "device_key"))
            driver_connection(self._connection).executemany(statement, rows)
            return
        execute = self._connection.exec_driver_sql
        execute(
            "CREATE TEMP TABLE weighed ON COMMIT DROP AS "
            "SELECT device_key, weight FROM devices WITH NO DATA"
        )
        copy_in(self._connection, "weighed", weights.select("device_key", "weight"))
        execute(
            "UPDATE devices SET weight = weighed.weight FROM weighed "
            "WHERE devices.device_key = weighed.device_key AND devices.weight <> weighed.weight"
        )

    def finish(self) -> int:
        """Bring the index back where it was put off; how many rows were added."""
        if self._index_last:
            self._index_last = False
            gone = _create_hash_index(self._connection)
            self._added -= gone
            self._content = None if gone else self._content
            for index in all_measurements.indexes:
                if index.name in _INDEXES[1:]:
                    index.create(self._connection)
        return self._added

    def record(self, rows: int, known: int, rejected: int) -> None:
        """Write the ingest's own row."""
        self._connection.execute(
            sa.update(ingests)
            .where(ingests.c.ingest_id == self._ingest_id)
            .values(
                finished_at=datetime.now(UTC),
                rows_read=rows,
                rows_added=self._added,
                rows_known=known,
                rows_rejected=rejected,
                **(
                    {} if self._content is None else dict(zip(_CONTENT, self._content, strict=True))
                ),
            )
        )

    def _is_first(self) -> bool:
        return _newest(self._connection) == 0


def software_columns(texts: pl.Series) -> list[pl.Series]:
    """The columns of the table `software` that its texts say."""
    known = [parse_software(text) for text in texts]
    kinds = {"precision": pl.String, "threads": pl.Int64, "firmware": pl.String}
    return [
        pl.Series(name, [row.get(name) for row in known], dtype=pl.String).cast(kind)
        for name, kind in kinds.items()
    ]


def _newest(connection: sa.Connection) -> int:
    newest = sa.select(sa.func.coalesce(sa.func.max(all_measurements.c.measurement_id), 0))
    return int(connection.scalar(newest) or 0)


def _create_hash_index(connection: sa.Connection) -> int:
    """Sorting once is cheaper than keeping sorted; rows that stand twice go. How many went."""
    execute = driver_connection(connection).execute
    unique = "CREATE UNIQUE INDEX measurements_row_hash ON all_measurements (row_hash)"
    try:
        execute(unique)
    except sqlite3.IntegrityError:
        execute("CREATE INDEX measurements_row_hash ON all_measurements (row_hash)")
        gone: int = execute(_DELETE_TWICE).rowcount
        execute("DROP INDEX measurements_row_hash")
        execute(unique)
        return gone
    return 0


_DELETE_TWICE = """DELETE FROM all_measurements WHERE measurement_id IN (
    SELECT measurement_id FROM (
        SELECT measurement_id,
            row_number() OVER (PARTITION BY row_hash ORDER BY measurement_id) AS place
        FROM all_measurements)
    WHERE place > 1)"""
