"""Units in the store: judged whenever something is added that tells, listed, repaired.

This is the one place where it is decided which rows count. All readers see the view `measurements`.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import polars as pl
import sqlalchemy as sa

from hdap.fleet_data.records import Bools
from hdap.fleet_data.store.bulk import allocate_keys, bulk_insert
from hdap.fleet_data.store.part import StorePart
from hdap.fleet_data.store.schema import unit_suspicions
from hdap.fleet_data.store.unit_changes import read_in, set_aside
from hdap.fleet_data.store.unit_levels import PLACE, known_levels, stored_levels
from hdap.fleet_data.units.judge import judge
from hdap.fleet_data.units.latency_unit import LatencyUnits
from hdap.fleet_data.units.set_aside import SetAside
from hdap.fleet_data.units.where_said import where_said

_RANGE = (*PLACE, "low_ms", "high_ms")
_LISTED = """
    SELECT i.source, i.ingest_id, s.model, d.device_id, s.unit_ms, s.factor, s.typical_ms,
        s.architecture, count(*)
    FROM all_measurements m
    JOIN unit_suspicions s ON s.suspicion_id = m.suspicion_id
    JOIN devices d ON d.device_key = m.device_key
    JOIN ingests i ON i.ingest_id = m.ingest_id
    WHERE m.suspicion_id IS NOT NULL
    GROUP BY i.source, i.ingest_id, s.suspicion_id, s.model, d.device_key, d.device_id, s.unit_ms,
        s.factor, s.typical_ms, s.architecture
    ORDER BY i.ingest_id, s.model, d.device_key"""
_OTHERS = (
    "SELECT EXISTS (SELECT 1 FROM all_measurements WHERE ingest_id = {} AND suspicion_id IS NULL)"
)


class UnitStore(StorePart):
    """Rows that are set aside."""

    def set_aside(self) -> tuple[SetAside, ...]:
        """What looks as if it were in another unit and counts nowhere, by source and unit."""
        with self._database.reading() as connection:
            return list_set_aside(connection)


def list_set_aside(connection: sa.Connection) -> tuple[SetAside, ...]:
    """As `UnitStore.set_aside`."""
    found: dict[tuple[Any, ...], list[Any]] = {}
    for row in connection.exec_driver_sql(_LISTED):
        source, ingest, model, _, unit_ms, factor, _, architecture, _ = row
        key = (ingest, source, model, f"{unit_ms:.6g}", f"{factor:.6g}", bool(architecture))
        found.setdefault(key, []).append(row)
    whole = {
        key[0]: not connection.exec_driver_sql(_OTHERS.format(key[0])).scalar() for key in found
    }
    return tuple(
        SetAside(
            source=rows[0][0],
            model=rows[0][2],
            devices=tuple(dict.fromkeys(row[3] for row in rows)),
            unit_ms=rows[0][4],
            factor=rows[0][5],
            typical_ms=float(np.median([row[6] for row in rows])),
            architecture=bool(rows[0][7]),
            rows=sum(row[8] for row in rows),
            whole=whole[key[0]],
        )
        for key, rows in found.items()
    )


def judge_units(connection: sa.Connection, fresh: pl.DataFrame | None, newest: int) -> bool:
    """Set rows aside that look as if they were in another unit, and take back those that no longer
    do; whether any were. `fresh` are levels of what came after the row number `newest`."""
    stored = stored_levels(connection, newest)
    both = stored if fresh is None else pl.concat([stored, fresh])
    if both.is_empty():
        return False
    is_stored: Bools = np.arange(both.height) < stored.height
    known = known_levels(connection, both, is_stored)
    verdicts = judge(known.levels, known.facts)
    looks = np.where(verdicts.factor == 1.0, 0.0, both["unit_ms"].to_numpy() / verdicts.factor)
    changed = ~np.isclose(looks, both["looks_like_ms"].to_numpy(), rtol=1e-6, atol=0.0)
    if not changed.any():
        return False
    suspected = both.select(
        "device_key",
        pl.Series("model", np.array(known.models, dtype=object)[known.levels.model], pl.String),
        pl.Series("unit_ms", looks),
        pl.Series("factor", verdicts.factor),
        pl.Series("typical_ms", np.exp(known.levels.log_ms)),
        pl.Series("architecture", verdicts.architecture),
    )
    ids = _suspicions(connection, suspected, changed & (looks > 0))
    places = both.select(*_RANGE, ids).filter(pl.Series(changed))
    after = 0 if changed[is_stored].any() else newest
    set_aside(connection, places, after, newest)
    return True


def _suspicions(connection: sa.Connection, levels: pl.DataFrame, chosen: Bools) -> pl.Series:
    """A suspicion for each device, model and unit of the chosen levels; null for the others."""
    key = ("device_key", "model", "unit_ms", "factor", "architecture")
    some = levels.with_row_index("at").filter(pl.Series(chosen))
    each = some.group_by(*key, maintain_order=True).agg(pl.col("typical_ms").median())
    if each.is_empty():
        return pl.Series("suspicion_id", [None] * levels.height, dtype=pl.Int64)
    numbers = allocate_keys(connection, unit_suspicions, each.height)
    each = each.with_columns(suspicion_id=pl.Series(numbers, dtype=pl.Int64))
    bulk_insert(connection, unit_suspicions, each)
    numbered = some.join(each, on=key, how="left", maintain_order="left")
    found = np.full(levels.height, -1, dtype=np.int64)
    found[numbered["at"].to_numpy()] = numbered["suspicion_id"].to_numpy()
    return pl.Series("suspicion_id", found).set(pl.Series(found < 0), None)


def apply_units(
    connection: sa.Connection,
    ingest: int,
    fresh: pl.DataFrame,
    units: LatencyUnits,
    newest: int,
) -> tuple[pl.DataFrame, int]:
    """Read the rows of an ingest as somebody says; their levels as read so, and how many rows are
    read in another unit than before."""
    known = known_levels(connection, fresh, np.zeros(fresh.height, dtype=np.bool_))
    names = _device_names(connection, fresh["device_key"])
    asked = where_said(units, known.levels, names)
    count = 0
    for value in np.unique(asked[np.isfinite(asked)]):
        mine = asked == value
        places = None if mine.all() else fresh.filter(pl.Series(mine)).select(*_RANGE)
        count += read_in(connection, ingest, places, float(value), units.sure, newest)
    said = pl.Series(np.where(np.isfinite(asked), asked, 1.0))
    scaled = fresh.with_columns(
        pl.col("log_sum") + pl.col("rows") * said.log(),
        pl.col("low_ms") * said,
        pl.col("high_ms") * said,
        said.alias("unit_ms"),
        pl.Series(np.isfinite(asked) * float(units.sure)).alias("unit_sure"),
    )
    return scaled, count


def _device_names(connection: sa.Connection, keys: pl.Series) -> Sequence[str]:
    rows = connection.exec_driver_sql("SELECT device_key, device_id FROM devices")
    names: dict[int, str] = {row[0]: row[1] for row in rows}
    return [names[key] for key in keys]
