"""Many rows at once, on the fast path of each database."""

import json
from collections.abc import Iterable
from typing import Any

import numpy as np
import polars as pl
import polars.selectors as cs
import sqlalchemy as sa

from hdap.fleet_data.records import Ints
from hdap.fleet_data.store.engine import driver_connection


def bulk_insert(connection: sa.Connection, table: sa.Table, frame: pl.DataFrame) -> None:
    """Insert all rows of `frame`, whose columns are columns of `table`; times are naive UTC.

    NaN is NULL. SQLite: one prepared statement on the driver. PostgreSQL: COPY.
    """
    frame = frame.with_columns(cs.float().fill_nan(None))
    if connection.dialect.name == "sqlite":
        marks = ", ".join("?" * frame.width)
        statement = f"INSERT INTO {table.name} ({_names(frame)}) VALUES ({marks})"
        driver_connection(connection).executemany(statement, sqlite_rows(frame))
    else:
        copy_in(connection, table.name, frame)


def copy_in(connection: sa.Connection, table: str, frame: pl.DataFrame) -> None:
    """PostgreSQL's COPY of a frame into a table."""
    statement = f"COPY {table} ({_names(frame)}) FROM STDIN (FORMAT csv, NULL '\\N')"
    binary = pl.concat_str(pl.lit("\\x"), pl.col(pl.Binary).bin.encode("hex"))
    texts = frame.with_columns(
        *(binary.alias(n) for n, kind in frame.schema.items() if kind == pl.Binary),
        pl.col(pl.Datetime).dt.strftime("%Y-%m-%dT%H:%M:%S%.6f+00:00"),
    )
    csv = texts.write_csv(include_header=False, null_value="\\N", quote_style="non_numeric")
    with driver_connection(connection).cursor() as cursor, cursor.copy(statement) as copy:
        copy.write(csv)


def sqlite_rows(frame: pl.DataFrame) -> Iterable[tuple[Any, ...]]:
    """The rows as tuples of what the sqlite3 driver takes, times as SQLAlchemy writes them."""
    texts = frame.with_columns(pl.col(pl.Datetime).dt.strftime("%Y-%m-%d %H:%M:%S%.6f"))
    return zip(*(column.to_list() for column in texts.iter_columns()), strict=True)


def allocate_keys(connection: sa.Connection, table: sa.Table, count: int) -> Ints:
    """`count` fresh primary keys of `table`, ascending; the transaction must be a writing one."""
    (key,) = table.primary_key.columns
    if connection.dialect.name == "sqlite":
        newest = connection.scalar(sa.select(sa.func.coalesce(sa.func.max(key), 0))) or 0
        return np.arange(newest + 1, newest + 1 + count, dtype=np.int64)
    sequence = sa.func.nextval(sa.func.pg_get_serial_sequence(table.name, key.name))
    rows = sa.select(sequence).select_from(sa.func.generate_series(1, count).alias())
    return np.fromiter(connection.scalars(rows), dtype=np.int64, count=count)


def find_keys(
    connection: sa.Connection, column: "sa.Column[Any]", values: pl.Series
) -> pl.DataFrame:
    """`value` and `key`: the primary keys of the rows whose `column` is among `values`."""
    table = column.table
    key = next(iter(table.primary_key)).name
    statement = f"SELECT {column.name}, {key} FROM {table.fullname} WHERE {column.name} "
    driver = driver_connection(connection)
    if connection.dialect.name == "sqlite":
        among = "IN (SELECT value FROM json_each(?))"
        rows = driver.execute(statement + among, [json.dumps(values.to_list())]).fetchall()
    else:
        rows = driver.execute(statement + "= ANY(%s)", [values.to_list()]).fetchall()
    found = pl.DataFrame(rows, schema=["value", "key"], orient="row")
    return found.cast({"value": values.dtype, "key": pl.Int64})


def _names(frame: pl.DataFrame) -> str:
    return ", ".join(frame.columns)
