"""The writing side of an ingest: one transaction that takes rows by the hundred thousand."""

import json
from dataclasses import dataclass
from datetime import UTC, datetime

import polars as pl
import sqlalchemy as sa

from hdap.fleet_data.architecture import Architecture
from hdap.fleet_data.software import parse_software
from hdap.fleet_data.store.architectures import find_architecture, put_architecture
from hdap.fleet_data.store.bulk import allocate_keys, bulk_insert, copy_in, find_keys, sqlite_rows
from hdap.fleet_data.store.engine import driver_connection
from hdap.fleet_data.store.ingest_content import CONTENT, Content
from hdap.fleet_data.store.locks import lock_measurements
from hdap.fleet_data.store.row_inserter import RowInserter
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
class PrunedRows:
    """Of whom (`device_key`, `configuration_key`) others stand for rows of before a moment."""

    before_us: int
    of: pl.DataFrame


class IngestWriter:
    """What an ingest may do within its transaction."""

    def __init__(self, connection: sa.Connection, source: str, version: str | None = None) -> None:
        self._connection = connection
        self._sqlite = connection.dialect.name == "sqlite"
        lock_measurements(connection)
        started = {"source": source, "source_version": version, "started_at": datetime.now(UTC)}
        zeros = dict.fromkeys(("rows_read", "rows_added", "rows_known", "rows_rejected"), 0)
        added = connection.execute(sa.insert(ingests).values(started | zeros))
        self._ingest_id: int = (added.inserted_primary_key or (0,))[0]
        self._rows = RowInserter(connection, self._ingest_id)
        self._added = 0
        self._content: Content | None = Content()

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

    def pruned_history(self) -> PrunedRows | None:
        """Whose old rows were made fewer; None where nobody's were."""
        newest = sa.select(sa.func.max(pruned_histories.c.before_us))
        before = self._connection.scalar(newest)
        if before is None:
            return None
        m = all_measurements.c
        wanted = sa.select(m.device_key, m.configuration_key).distinct()
        found = self._connection.execute(wanted.where(m.stands_for.is_not(None))).all()
        kinds = {"device_key": pl.Int64, "configuration_key": pl.Int64}
        return PrunedRows(int(before), pl.DataFrame(found, schema=kinds, orient="row"))

    def stored(self, row_hashes: pl.Series) -> pl.Series:
        """Which of these rows are stored."""
        known = find_keys(self._connection, all_measurements.c.row_hash, row_hashes)
        return row_hashes.is_in(known["value"].implode())

    def add_measurements(self, frame: pl.DataFrame) -> None:
        """Add rows that are not stored yet; columns are those of the table but key and ingest."""
        added = self._rows.add(frame)
        self._added += added
        if self._content is not None:
            whole = added == frame.height
            self._content = self._content.with_rows(frame["row_hash"]) if whole else None

    def adopt(self, row_hashes: pl.Series) -> None:
        """Make rows that are stored already this ingest's: it says how to read them."""
        if self._rows.index_last:
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
            found = apply_units(self._connection, self._ingest_id, fresh, units, self._rows.newest)
            fresh, changed = found
        if changed or self._added:
            changed_aside = judge_units(self._connection, fresh, self._rows.newest)
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
        gone = self._rows.finish()
        self._added -= gone
        self._content = None if gone else self._content
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
                **({} if self._content is None else dict(zip(CONTENT, self._content, strict=True))),
            )
        )


def software_columns(texts: pl.Series) -> list[pl.Series]:
    """The columns of the table `software` that its texts say."""
    known = [parse_software(text) for text in texts]
    kinds = {"precision": pl.String, "threads": pl.Int64, "firmware": pl.String}
    return [
        pl.Series(name, [row.get(name) for row in known], dtype=pl.String).cast(kind)
        for name, kind in kinds.items()
    ]
