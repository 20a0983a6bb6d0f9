"""Old dense rows made fewer, and their space given back."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

import polars as pl
import sqlalchemy as sa

from hdap.fleet_data.history import GROUP, MIDDLES, large_groups, strata, tell_everyday
from hdap.fleet_data.store.engine import driver_connection
from hdap.fleet_data.store.locks import lock_measurements
from hdap.fleet_data.store.part import StorePart
from hdap.fleet_data.store.schema import (
    all_measurements,
    clusterings,
    configurations,
    pruned_histories,
)
from hdap.fleet_data.store.unit_changes import forget_contents

_BLOCK_ROWS = 200_000
"""Old rows that are in memory at once: some 200 MB."""
_READ = ("measurement_id", "measured_at_us", "runs", "stands_for", *MIDDLES)


@dataclass(frozen=True)
class PrunedHistory:
    """Of `rows` in the database `old` dense ones of large groups are from before; `removed` go, and
    `kept` stand for those and themselves. Of `devices`."""

    before: datetime
    rows: int
    old: int
    removed: int
    kept: int
    devices: int


@dataclass(frozen=True)
class _Block:
    """What becomes of some devices: `kept` rows as they will be, ids that go."""

    kept: pl.DataFrame
    gone: pl.Series
    old: int
    devices: int


class HistoryStore(StorePart):
    """Retention."""

    def history_before(self, before: datetime) -> PrunedHistory:
        """What `prune_history` would do; nothing is written."""
        with self._database.reading() as connection:
            return _summed(connection, before, _blocks(connection, before))

    def prune_history(self, before: datetime) -> PrunedHistory:
        """Replace dense rows of before that moment by rows that stand for them.

        One transaction; clusterings, marks and the order of rows stay as they are. Raises
        StoreError.
        """
        with self._database.writing() as connection:
            lock_measurements(connection)
            written = _written(connection, _blocks(connection, before))
            done = _summed(connection, before, written)
            forget_contents(connection)
            connection.execute(
                sa.insert(pruned_histories).values(
                    pruned_at=datetime.now(UTC),
                    before_us=_microseconds(before),
                    rows_removed=done.removed,
                    rows_kept=done.kept,
                )
            )
            return done

    def give_back_space(self) -> None:
        """SQLite: to the file system, which needs room for a second copy meanwhile. PostgreSQL: to
        the table's next rows; `VACUUM FULL`, which locks it, is its owner's to run. Raises
        StoreError."""
        with self._database.outside_transactions() as connection:
            if self._database.is_sqlite:
                driver_connection(connection).execute("VACUUM")
            else:
                connection.exec_driver_sql("VACUUM ANALYZE all_measurements")
        self._database.fold_log()


def _microseconds(moment: datetime) -> int:
    return round(moment.timestamp() * 1e6)


def _summed(connection: sa.Connection, before: datetime, blocks: Iterator[_Block]) -> PrunedHistory:
    total = connection.scalar(sa.select(sa.func.count()).select_from(all_measurements)) or 0
    found = [(b.old, len(b.gone), b.kept.height, b.devices) for b in blocks]
    old, removed, kept, devices = (
        (sum(column) for column in zip(*found, strict=True)) if found else (0, 0, 0, 0)
    )
    return PrunedHistory(before, total, old, removed, kept, devices)


def _blocks(connection: sa.Connection, before: datetime) -> Iterator[_Block]:
    """What becomes of all devices with old rows, some at a time."""
    mark = connection.scalar(sa.select(sa.func.max(clusterings.c.measurement_mark))) or 0
    for first, last in _device_ranges(connection, before):
        m = all_measurements.c
        of_block = m.device_key.between(first, last)
        dense = configurations.c.channels == ""
        joined = all_measurements.join(configurations)
        columns = [m[name] for name in (*_READ, *GROUP) if name in m]
        # what came since a clustering must not be mixed with what it knew
        wanted = sa.select(*columns, (m.measurement_id > mark).label("fresh")).select_from(joined)
        old = wanted.where(
            of_block,
            dense,
            m.measured_at_us < _microseconds(before),
            m.suspicion_id.is_(None),
            m.reduced_rows.is_(None),  # they are few already, and weigh what they stand for
        )
        times = sa.select(m.device_key, m.measured_at_us).select_from(joined)
        pruned = times.where(of_block, ~dense, m.measured_at_us.is_not(None))
        rows = large_groups(tell_everyday(_frame(connection, old), _frame(connection, pruned)))
        kept = strata(rows)
        gone = rows["measurement_id"].filter(
            ~rows["measurement_id"].is_in(kept["measurement_id"].implode())
        )
        yield _Block(kept, gone, rows.height, rows["device_key"].n_unique())


def _device_ranges(connection: sa.Connection, before: datetime) -> Iterator[tuple[int, int]]:
    key = all_measurements.c.device_key
    counted = (
        sa.select(key, sa.func.count())
        .where(all_measurements.c.measured_at_us < _microseconds(before))
        .group_by(key)
        .order_by(key)
    )
    counts = connection.execute(counted).all()
    rows, first = 0, None
    for at, (device, count) in enumerate(counts):
        first, rows = device if first is None else first, rows + count
        if rows >= _BLOCK_ROWS or at == len(counts) - 1:
            yield first, device
            rows, first = 0, None


def _frame(connection: sa.Connection, wanted: "sa.Select[*tuple[object, ...]]") -> pl.DataFrame:
    found = connection.execute(wanted)
    schema: dict[str, type[pl.DataType]] = {}
    for column in wanted.selected_columns:
        kinds = ((sa.Boolean, pl.Boolean), (sa.Double, pl.Float64), (sa.BigInteger, pl.Int64))
        schema[str(column.key)] = next(
            (ours for theirs, ours in kinds if isinstance(column.type, theirs)), pl.Int64
        )
    return pl.DataFrame([tuple(row) for row in found], schema=schema, orient="row")


def _written(connection: sa.Connection, blocks: Iterator[_Block]) -> Iterator[_Block]:
    """The same blocks, each once the database has it."""
    changed = ("measured_at_us", "runs", "stands_for", *MIDDLES)
    key = all_measurements.c.measurement_id
    update = sa.update(all_measurements).where(key == sa.bindparam("of"))
    update = update.values(extra=None, **{name: sa.bindparam(f"{name}_now") for name in changed})
    for block in blocks:
        if block.kept.height:
            named = {name: f"{name}_now" for name in changed} | {"measurement_id": "of"}
            rows = block.kept.select(list(named)).rename(named)
            connection.execute(update, rows.to_dicts())
            _delete(connection, block.gone)
        yield block


def _delete(connection: sa.Connection, ids: pl.Series) -> None:
    delete = "DELETE FROM all_measurements WHERE measurement_id "
    driver = driver_connection(connection)
    if connection.dialect.name == "sqlite":
        among = "IN (SELECT value FROM json_each(?))"
        driver.execute(delete + among, [json.dumps(ids.to_list())])
    else:
        driver.execute(delete + "= ANY(%s)", [ids.to_list()])
