"""Rows read in another unit, set aside for theirs, or taken back, many at a time.

A row that changes gets a new number, so that what was learned of it before is stale. What changes
is named by its place (device, configuration, runtime, batch size) and a range of latencies.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import polars as pl
import sqlalchemy as sa

from hdap.fleet_data.store.bulk import bulk_insert
from hdap.fleet_data.store.unit_levels import PLACE

SLACK = 1e-9
"""Relative rounding of a latency that was read in one unit and then in another."""

_placed = sa.Table(
    "placed",
    sa.MetaData(),
    *(sa.Column(name, sa.BigInteger) for name in PLACE),
    sa.Column("low_ms", sa.Double),
    sa.Column("high_ms", sa.Double),
    sa.Column("suspicion_id", sa.BigInteger),
    sa.Index("placed_device", "device_key", "configuration_key"),
    prefixes=["TEMPORARY"],
)
_SAME = """p.device_key = m.device_key AND p.configuration_key = m.configuration_key
    AND p.runtime_key = coalesce(m.runtime_key, 0) AND p.batch_size = coalesce(m.batch_size, 1)
    AND {} BETWEEN p.low_ms AND p.high_ms"""
_AS_READ, _AS_WRITTEN = "m.latency_ms", "m.latency_ms / coalesce(m.unit_ms, 1)"


def set_aside(connection: sa.Connection, levels: pl.DataFrame, after: int, newest: int) -> None:
    """Give the rows of `levels` their `suspicion_id` (null: none).

    `levels` has `PLACE`, `low_ms` and `high_ms`. Rows up to number `after` are left; those up to
    `newest` were there before and get new numbers.
    """
    with _places(connection, levels) as inside:
        same = inside(_AS_READ)
        where = f"m.measurement_id > {int(after)} AND {same}"
        if after < newest:
            _renumber(connection, f"{where} AND m.measurement_id <= {int(newest)}")
        connection.exec_driver_sql(
            f"UPDATE all_measurements AS m SET suspicion_id = (SELECT p.suspicion_id "
            f"FROM placed p WHERE {_SAME.format(_AS_READ)} LIMIT 1) WHERE {where}"
        )
    connection.exec_driver_sql(
        "DELETE FROM unit_suspicions WHERE NOT EXISTS (SELECT 1 FROM all_measurements m "
        "WHERE m.suspicion_id IS NOT NULL AND m.suspicion_id = unit_suspicions.suspicion_id)"
    )
    forget_contents(connection)


def read_in(
    connection: sa.Connection,
    ingest: int,
    levels: pl.DataFrame | None,
    unit_ms: float,
    sure: bool,
    newest: int,
) -> int:
    """Read rows of an ingest in a unit, instead of the one that they were read in; how many.

    `levels` (as written in the file; None: all rows) has `PLACE`, `low_ms` and `high_ms`. Rows that
    are read so already stay as they are.
    """
    frame = pl.DataFrame(schema=dict.fromkeys(PLACE, pl.Int64)) if levels is None else levels
    unit, said = repr(float(unit_ms)), "TRUE" if sure else "FALSE"
    with _places(connection, frame) as inside:
        where = (
            f"m.ingest_id = {int(ingest)} AND (coalesce(m.unit_ms, 1) <> {unit} "
            f"OR coalesce(m.unit_sure, FALSE) <> {said})"
        )
        if levels is not None:
            where += f" AND {inside(_AS_WRITTEN)}"
        _renumber(connection, f"{where} AND m.measurement_id <= {int(newest)}")
        other = f"/ coalesce(m.unit_ms, 1) * {unit}"
        changed = connection.exec_driver_sql(
            f"UPDATE all_measurements AS m SET latency_ms = m.latency_ms {other}, "
            f"latency_p95_ms = m.latency_p95_ms {other}, unit_ms = {unit}, unit_sure = {said}, "
            f"suspicion_id = NULL WHERE {where}"
        )
    if changed.rowcount:
        forget_contents(connection)
    return changed.rowcount


def forget_contents(connection: sa.Connection) -> None:
    """After any change of stored rows: contents of ingests are read from the rows again."""
    connection.exec_driver_sql("UPDATE ingests SET content_rows = NULL")


@contextmanager
def _places(connection: sa.Connection, levels: pl.DataFrame) -> Iterator[Callable[[str], str]]:
    _placed.create(connection)
    if levels.height:
        slack = levels.with_columns(pl.col("low_ms") * (1 - SLACK), pl.col("high_ms") * (1 + SLACK))
        bulk_insert(connection, _placed, slack)
    yield _inside
    _placed.drop(connection)


def _inside(latency: str) -> str:
    return f"EXISTS (SELECT 1 FROM placed p WHERE {_SAME.format(latency)})"


def _renumber(connection: sa.Connection, where: str) -> None:
    """Give rows (`m`) for which `where` holds numbers above all others, in the same order."""
    execute = connection.exec_driver_sql
    newest = "(SELECT max(measurement_id) FROM all_measurements)"
    number = f"{newest} + row_number() OVER (ORDER BY m.measurement_id)"
    if connection.dialect.name == "postgresql":
        number = "nextval(pg_get_serial_sequence('all_measurements', 'measurement_id'))"
    execute(
        f"CREATE TEMPORARY TABLE renumbered AS SELECT m.measurement_id AS old, {number} AS new "
        f"FROM (SELECT * FROM all_measurements m WHERE {where} ORDER BY m.measurement_id) m"
    )
    execute(
        "UPDATE all_measurements SET measurement_id = (SELECT r.new FROM renumbered r "
        "WHERE r.old = measurement_id) WHERE measurement_id IN (SELECT old FROM renumbered)"
    )
    execute("DROP TABLE renumbered")
