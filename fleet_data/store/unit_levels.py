"""Levels of what is stored and of what comes in: how long each device took, summed up."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
import sqlalchemy as sa

from hdap.fleet_data.folded_parts import FoldedParts
from hdap.fleet_data.records import Bools
from hdap.fleet_data.store.engine import driver_connection
from hdap.fleet_data.store.schema import configurations, models, runtimes
from hdap.fleet_data.units.latency_levels import LatencyLevels, ModelFacts, dense_equivalent

PLACE = ("device_key", "configuration_key", "runtime_key", "batch_size")
"""What rows of one level agree in."""
STATE = ("unit_ms", "unit_sure", "looks_like_ms")
"""How rows of one level are read now; `looks_like_ms` is 0 where they are not set aside."""
LEVELS = {
    **dict.fromkeys(PLACE, pl.Int64),
    **dict.fromkeys(STATE, pl.Float64),
    **dict.fromkeys(("rows", "log_sum", "low_ms", "high_ms", "clock_mhz"), pl.Float64),
}
ALL_ROWS = 300_000
"""Rows up to which all that are stored are looked at again; of more, blocks from all over."""
BLOCK_ROWS = 2_000
_PART = (pl.col("latency_ms").log(2.0) / 2.0).floor().alias("part")
_OF_ROWS = (
    pl.len().alias("rows"),
    pl.col("latency_ms").log().sum().alias("log_sum"),
    pl.col("latency_ms").min().alias("low_ms"),
    pl.col("latency_ms").max().alias("high_ms"),
    pl.col("cpu_freq_mhz").mean().alias("clock_mhz"),
)
_OF_LEVELS = (
    pl.col("rows", "log_sum").sum(),
    pl.col("low_ms").min(),
    pl.col("high_ms").max(),
    pl.col("clock_mhz").mean(),
)
_STORED = """
    SELECT m.device_key, m.configuration_key, coalesce(m.runtime_key, 0),
        coalesce(m.batch_size, 1), coalesce(m.unit_ms, 1.0),
        CASE WHEN m.unit_sure THEN 1.0 ELSE 0.0 END, coalesce(s.unit_ms, 0.0),
        m.latency_ms, m.cpu_freq_mhz
    FROM all_measurements m LEFT JOIN unit_suspicions s ON s.suspicion_id = m.suspicion_id
    WHERE m.measurement_id > {} AND m.measurement_id <= {}"""


def summed_up(rows: pl.DataFrame) -> pl.DataFrame:
    """Rows (`PLACE`, `STATE`, `latency_ms`, `cpu_freq_mhz`) as levels: those that agree and lie
    within a factor of four are one."""
    return _grouped(rows.with_columns(_PART), (*PLACE, *STATE), _OF_ROWS)


def joined(levels: pl.DataFrame) -> pl.DataFrame:
    """The same, those that agree made one."""
    part = (pl.col("low_ms").log(2.0) / 2.0).floor().alias("part")
    return _grouped(levels.with_columns(part), (*PLACE, *STATE), _OF_LEVELS)


def _grouped(rows: pl.DataFrame, keys: Sequence[str], sums: Sequence[pl.Expr]) -> pl.DataFrame:
    # a key that all share need not be compared for each of millions of rows
    alike = [key for key in keys if rows.height and rows[key].min() == rows[key].max()]
    apart = [key for key in keys if key not in alike]
    found = rows.group_by(*apart, "part").agg(*sums)
    found = found.with_columns(pl.lit(rows[key][0]).alias(key) for key in alike)
    return found.select(pl.col(name).cast(kind) for name, kind in LEVELS.items())


class LevelSums:
    """Takes the rows of an ingest block by block."""

    def __init__(self) -> None:
        self._levels = FoldedParts(pl.DataFrame(schema=LEVELS), joined)

    def add(self, rows: pl.DataFrame) -> None:
        """Rows that nothing is said of yet: `PLACE`, `latency_ms`, `cpu_freq_mhz`."""
        state = {"unit_ms": 1.0, "unit_sure": 0.0, "looks_like_ms": 0.0}
        told = rows.with_columns(pl.lit(v).alias(n) for n, v in state.items())
        self._levels.add(summed_up(told))

    def total(self) -> pl.DataFrame:
        """All levels so far, in an order that rows alone decide."""
        return self._levels.total().sort(*PLACE, "low_ms")


def stored_levels(connection: sa.Connection, newest: int) -> pl.DataFrame:
    """Levels of the rows up to number `newest`: all, or of many a sample of blocks."""
    blocks = [(0, newest)]
    if newest > ALL_ROWS:
        # the same blocks for the same rows, so that an ingest can be repeated
        starts = np.linspace(0, newest - BLOCK_ROWS, ALL_ROWS // BLOCK_ROWS).astype(np.int64)
        blocks = [(int(start), int(start) + BLOCK_ROWS) for start in starts]
    schema = dict.fromkeys(PLACE, pl.Int64) | dict.fromkeys(STATE, pl.Float64)
    schema |= {"latency_ms": pl.Float64, "cpu_freq_mhz": pl.Float64}
    driver = driver_connection(connection)
    parts = [
        pl.DataFrame(driver.execute(_STORED.format(*b)).fetchall(), schema=schema, orient="row")
        for b in blocks
    ]
    return summed_up(pl.concat(parts)).sort(*PLACE, "low_ms")


@dataclass(frozen=True)
class KnownLevels:
    """Levels as the domain judges them, what is known of their models, and the models' names."""

    levels: LatencyLevels
    facts: ModelFacts
    models: tuple[str, ...]


def known_levels(connection: sa.Connection, levels: pl.DataFrame, stored: Bools) -> KnownLevels:
    """Levels with what the store knows of their configurations, models and runtimes."""
    wanted = levels["configuration_key"].unique().to_list()
    found = _rows(connection, configurations, "configuration_key", "model", "flops")
    known = {key: (model, macs) for key, model, macs in found}
    names = tuple(sorted({known[key][0] for key in wanted}))
    keys = pl.DataFrame(
        {
            "configuration_key": pl.Series(wanted, dtype=pl.Int64),
            "model": pl.Series([names.index(known[key][0]) for key in wanted], dtype=pl.Int64),
            "macs": pl.Series([known[key][1] for key in wanted], dtype=pl.Float64),
        }
    )
    frame = levels.join(keys, on="configuration_key", how="left", maintain_order="left")
    facts = _facts(connection, names)
    model, batch = frame["model"].to_numpy(), frame["batch_size"].to_numpy().astype(np.float64)
    latency = np.exp((frame["log_sum"] / frame["rows"]).to_numpy())
    macs = frame["macs"].fill_null(np.nan).to_numpy()
    judged = LatencyLevels(
        device=frame["device_key"].to_numpy(),
        model=model,
        runtime=frame["runtime_key"].to_numpy(),
        log_ms=dense_equivalent(latency, batch, macs, facts.flops[model]),
        rows=frame["rows"].to_numpy(),
        batch=batch,
        clock_mhz=frame["clock_mhz"].fill_null(np.nan).to_numpy(),
        stored=stored,
        doubted=frame["looks_like_ms"].to_numpy() > 0,
        sure=frame["unit_sure"].to_numpy() > 0,
    )
    return KnownLevels(judged, facts, names)


def _facts(connection: sa.Connection, names: Sequence[str]) -> ModelFacts:
    figures = {row[0]: row[1:] for row in _rows(connection, models, *_FIGURES)}
    macs, size = (
        np.array([figures.get(name, (np.nan, np.nan)) for name in names], dtype=np.float64)
        .reshape(-1, 2)
        .T
    )
    texts = dict(_rows(connection, runtimes, "runtime_key", "runtime"))
    numbers = range(max(texts, default=0) + 1)
    return ModelFacts(macs, size, np.array(["cpu" in texts.get(i, "").lower() for i in numbers]))


_FIGURES = ("model", "flops", "parameters")


def _rows(connection: sa.Connection, table: sa.Table, *names: str) -> Sequence[Any]:
    return [tuple(r) for r in connection.execute(sa.select(*(table.c[name] for name in names)))]
