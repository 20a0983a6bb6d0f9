"""Rows of measurements into the table, a hundred thousand at once, on each database's fast path."""

import sqlite3

import polars as pl
import sqlalchemy as sa

from hdap.fleet_data.store.bulk import copy_in, sqlite_rows
from hdap.fleet_data.store.engine import driver_connection
from hdap.fleet_data.store.schema import all_measurements

_INDEXES = ("measurements_row_hash", "measurements_of_configuration")
"""What is made once all rows of a first ingest are in."""


class RowInserter:
    """Inserts the rows of one ingest that are not stored yet; `newest` is the greatest number of
    a row before it."""

    def __init__(self, connection: sa.Connection, ingest_id: int) -> None:
        self._connection, self._ingest_id = connection, ingest_id
        self._sqlite = connection.dialect.name == "sqlite"
        self.newest = _newest(connection)
        self.index_last = self._sqlite and self.newest == 0
        self._staged: tuple[str, ...] | None = None
        if self.index_last:
            for name in _INDEXES:
                connection.exec_driver_sql(f"DROP INDEX {name}")

    def add(self, frame: pl.DataFrame) -> int:
        """How many of the rows, one or more, are new, as far as that is seen before `finish`."""
        filled = frame.select(c.name for c in frame.iter_columns() if c.null_count() < len(c))
        return self._insert_sqlite(filled) if self._sqlite else self._insert_server(filled)

    def finish(self) -> int:
        """Bring the indexes back where they were put off; how many rows stood twice and went."""
        if not self.index_last:
            return 0
        self.index_last = False
        gone = _create_hash_index(self._connection)
        for index in all_measurements.indexes:
            if index.name in _INDEXES[1:]:
                index.create(self._connection)
        return gone

    def _insert_sqlite(self, frame: pl.DataFrame) -> int:
        if not self.index_last:
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
        return int(cursor.rowcount)

    def _insert_server(self, frame: pl.DataFrame) -> int:
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
        execute("TRUNCATE pg_temp.staged")
        return int(added.rowcount)


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
