"""How rows are read: levels of what is stored, rows that somebody names a unit for, rows set aside.

Everything happens within the transaction of an ingest, or of the architecture that made it
possible. Rows that change get new numbers, so that what was learned of them before is stale.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
import sqlalchemy as sa
from numpy.typing import NDArray

from hdap.fleet_data.records import Bools, Floats
from hdap.fleet_data.store.bulk import bulk_insert
from hdap.fleet_data.store.engine import driver_connection
from hdap.fleet_data.store.schema import configurations, models, runtimes, unit_suspicions
from hdap.fleet_data.units.judge import judge
from hdap.fleet_data.units.levels import Levels, ModelFacts, dense_equivalent

PLACE = ("device_key", "configuration_key", "runtime_key", "batch_size")
"""What rows of one level agree in."""
STATE = ("unit_ms", "unit_sure", "looks_like_ms")
"""How rows of one level are read now; `looks_like_ms` is 0 where they are not set aside."""
ALL_ROWS = 300_000
"""Rows up to which all that are stored are looked at again; of more, blocks from all over."""
BLOCK_ROWS = 2_000
SLACK = 1e-9
"""Relative rounding of a latency that was read in one unit and then in another."""
LEVELS = {
    **dict.fromkeys(PLACE, pl.Int64),
    **dict.fromkeys(STATE, pl.Float64),
    "rows": pl.Float64,
    "log_sum": pl.Float64,
    "low_ms": pl.Float64,
    "high_ms": pl.Float64,
    "clock_mhz": pl.Float64,
}


def summed_up(rows: pl.DataFrame) -> pl.DataFrame:
    """Rows (`PLACE`, `STATE`, `latency_ms`, `cpu_freq_mhz`) as levels: those that agree and lie
    within a factor of four are one."""
    part = (pl.col("latency_ms").log(2.0) / 2.0).floor().alias("part")
    found = rows.with_columns(part).group_by(*PLACE, *STATE, "part")
    return found.agg(
        pl.len().cast(pl.Float64).alias("rows"),
        pl.col("latency_ms").log().sum().alias("log_sum"),
        pl.col("latency_ms").min().alias("low_ms"),
        pl.col("latency_ms").max().alias("high_ms"),
        pl.col("cpu_freq_mhz").mean().alias("clock_mhz"),
    ).select(list(LEVELS))


def joined(levels: pl.DataFrame) -> pl.DataFrame:
    """The same with levels that agree made one."""
    part = (pl.col("low_ms").log(2.0) / 2.0).floor().alias("part")
    return (
        levels.with_columns(part)
        .group_by(*PLACE, *STATE, "part")
        .agg(
            pl.col("rows", "log_sum").sum(),
            pl.col("low_ms").min(),
            pl.col("high_ms").max(),
            pl.col("clock_mhz").mean(),
        )
        .select(list(LEVELS))
    )


def stored_levels(connection: sa.Connection, newest: int) -> pl.DataFrame:
    """Levels of the rows up to number `newest`: all, or of many a sample of blocks."""
    blocks = [(0, newest)]
    if newest > ALL_ROWS:
        # the same blocks for the same rows, so that an ingest can be repeated
        starts = np.linspace(0, newest - BLOCK_ROWS, ALL_ROWS // BLOCK_ROWS).astype(np.int64)
        blocks = [(int(start), int(start) + BLOCK_ROWS) for start in starts]
    statement = (
        "SELECT m.device_key, m.configuration_key, coalesce(m.runtime_key, 0), "
        "coalesce(m.batch_size, 1), coalesce(m.unit_ms, 0.0), "
        "CASE WHEN m.unit_sure THEN 1.0 ELSE 0.0 END, coalesce(s.unit_ms, 0.0), "
        "m.latency_ms, m.cpu_freq_mhz FROM all_measurements m "
        "LEFT JOIN unit_suspicions s ON s.suspicion_id = m.suspicion_id "
        "WHERE m.measurement_id > {} AND m.measurement_id <= {}"
    )
    schema = dict.fromkeys(PLACE, pl.Int64) | dict.fromkeys(STATE, pl.Float64)
    schema |= {"latency_ms": pl.Float64, "cpu_freq_mhz": pl.Float64}
    driver = driver_connection(connection)
    parts = [
        pl.DataFrame(
            driver.execute(statement.format(*block)).fetchall(), schema=schema, orient="row"
        )
        for block in blocks
    ]
    return summed_up(pl.concat(parts))


@dataclass(frozen=True)
class Known:
    """Levels as the domain judges them, and what is known of their models by number."""

    levels: Levels
    facts: ModelFacts
    models: tuple[str, ...]


def as_known(connection: sa.Connection, levels: pl.DataFrame, stored: Bools) -> Known:
    """Levels with what the store knows of their configurations, models and runtimes."""
    wanted = levels["configuration_key"].unique().to_list()
    found = _rows(connection, configurations, "configuration_key", "model", "flops")
    known = {key: (model, macs) for key, model, macs in found}
    names = tuple(sorted({known[key][0] for key in wanted}))
    number = {name: i for i, name in enumerate(names)}
    figures = {
        name: (macs, size)
        for name, macs, size in _rows(connection, models, "model", "flops", "parameters")
    }
    dense, size = (
        np.array([figures.get(name, (None, None))[i] for name in names], dtype=np.float64)
        for i in (0, 1)
    )
    texts = {key: text.lower() for key, text in _rows(connection, runtimes, *runtimes.c.keys())}
    on_cpu = np.array(["cpu" in texts.get(i, "") for i in range(max(texts, default=0) + 1)])
    keys = pl.DataFrame({"configuration_key": pl.Series(wanted, dtype=pl.Int64)}).with_columns(
        model=pl.Series([number[known[key][0]] for key in wanted], dtype=pl.Int64),
        macs=pl.Series([known[key][1] for key in wanted], dtype=pl.Float64),
    )
    frame = levels.join(keys, on="configuration_key", how="left", maintain_order="left")
    model, batch = frame["model"].to_numpy(), frame["batch_size"].to_numpy().astype(np.float64)
    latency = np.exp((frame["log_sum"] / frame["rows"]).to_numpy())
    macs = frame["macs"].fill_null(np.nan).to_numpy()
    return Known(
        Levels(
            frame["device_key"].to_numpy(),
            model,
            frame["runtime_key"].to_numpy(),
            dense_equivalent(latency, batch, macs, dense[model]),
            frame["rows"].to_numpy(),
            batch,
            frame["clock_mhz"].fill_null(np.nan).to_numpy(),
            stored,
            frame["looks_like_ms"].to_numpy() > 0,
            frame["unit_sure"].to_numpy() > 0,
        ),
        ModelFacts(dense, size, on_cpu),
        names,
    )


def _rows(connection: sa.Connection, table: sa.Table, *names: str) -> Sequence[Any]:
    return connection.execute(sa.select(*(table.c[name] for name in names))).all()


def judge_units(connection: sa.Connection, fresh: pl.DataFrame | None, newest: int) -> None:
    """Set rows aside that look as if they were in another unit, and take back those that no longer
    do; `fresh` are levels of what came after the row number `newest`."""
    stored = stored_levels(connection, newest)
    both = stored if fresh is None else pl.concat([stored, fresh])
    if both.is_empty():
        return
    is_stored = np.arange(both.height) < stored.height
    known = as_known(connection, both, is_stored)
    verdicts = judge(known.levels, known.facts)
    read_in = np.where(both["unit_ms"].to_numpy() > 0, both["unit_ms"].to_numpy(), 1.0)
    looks = np.where(verdicts.factor == 1.0, 0.0, read_in / verdicts.factor)
    before = both["looks_like_ms"].to_numpy()
    changed = ~np.isclose(looks, before, rtol=1e-6, atol=0.0)
    if not changed.any():
        return
    suspected = pl.DataFrame(
        {
            "device_key": both["device_key"],
            "model": pl.Series([known.models[i] for i in known.levels.model], dtype=pl.String),
            "unit_ms": looks,
            "factor": verdicts.factor,
            "typical_ms": np.exp(known.levels.log_ms),
            "architecture": verdicts.architecture,
        }
    )
    chosen = both.with_columns(suspicion_id=_suspicions(connection, suspected, changed))
    chosen = chosen.filter(pl.Series(changed))
    _place(connection, chosen.select(*PLACE, "low_ms", "high_ms", "suspicion_id"))
    since = newest if not changed[is_stored].any() else 0
    where = f"m.measurement_id > {since} AND {_HERE}"
    _renumber(connection, f"{where} AND m.measurement_id <= {newest}")
    connection.exec_driver_sql(
        "UPDATE all_measurements AS m SET suspicion_id = "
        f"(SELECT p.suspicion_id FROM {_placed(connection)} p WHERE {_MATCH} LIMIT 1) "
        f"WHERE {where.format(placed=_placed(connection))}"
    )
    connection.exec_driver_sql(
        "DELETE FROM unit_suspicions WHERE NOT EXISTS (SELECT 1 FROM all_measurements m "
        "WHERE m.suspicion_id = unit_suspicions.suspicion_id AND m.suspicion_id IS NOT NULL)"
    )
