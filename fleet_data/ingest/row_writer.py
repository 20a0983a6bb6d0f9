"""Checked rows into the store: texts become keys, rows get their identity."""

from dataclasses import replace

import numpy as np
import polars as pl

from hdap.fleet_data.folded_parts import FoldedParts
from hdap.fleet_data.ingest.blocks import REJECT_SCHEMA, rejects_of
from hdap.fleet_data.ingest.key_cache import ConfigurationKeys, KeyCache, SoftwareKeys, Trace
from hdap.fleet_data.ingest.row_hash import row_hashes
from hdap.fleet_data.ingest.validate import Checked
from hdap.fleet_data.store.ingest_writer import IngestWriter
from hdap.fleet_data.store.unit_levels import LevelSums
from hdap.fleet_data.telemetry import COLUMNS
from hdap.fleet_data.units.latency_unit import UNITS, LatencyUnits

# what is stored as it is, and in which column; texts become keys, weights go to the devices
_STORED = {c.name: c.name for c in COLUMNS if c.role in ("measurement", "context")}
_STORED["timestamp"] = "measured_at_us"
_WEIGHTS = {"device_key": pl.Int64, "weight": pl.Float64}


class RowWriter:
    """Takes the blocks of one source and keeps count."""

    def __init__(self, writer: IngestWriter, trace: Trace, units: LatencyUnits) -> None:
        self._writer = writer
        self._units = units
        self._levels = LevelSums()
        self.read_anew = 0
        self.devices = KeyCache(writer, "device")
        self.runtimes = KeyCache(writer, "runtime")
        self.software = SoftwareKeys(writer)
        self.configurations = ConfigurationKeys(writer, trace)
        self.rows = 0
        self._pruned = writer.pruned_history()
        self.pruned_rows = 0
        self.columns: tuple[str, ...] = ()
        self.naming: tuple[str, ...] = ()
        self.models: set[str] = set()
        self.configuration_keys: set[int] = set()
        self.first_us: int | None = None
        self.last_us: int | None = None
        self._weights = FoldedParts(pl.DataFrame(schema=_WEIGHTS), _last_of_each)

    def write(self, checked: Checked) -> pl.DataFrame:
        """Write the good rows of a block; all its rejects, those of its channels included."""
        self.rows += checked.rows
        self._take_names(checked)
        frame = checked.frame
        if "channels" not in frame.columns:
            frame = frame.with_columns(channels=pl.lit(""))
        frame = self.configurations.resolve(frame)
        rejects = checked.rejects
        if frame["error"].null_count() < frame.height:
            rejects = pl.concat([rejects, _channel_rejects(checked, frame)])
            frame = frame.filter(pl.col("error").is_null())
        if frame.height:
            self._count(frame)
            self._write(frame)
        return rejects

    def _take_names(self, checked: Checked) -> None:
        """What the source's names of columns tell, with its first block."""
        naming = checked.block.naming
        if naming is not None and not self.columns:
            self.naming = tuple(f"{theirs}={ours}" for theirs, ours in naming.taken)
            if naming.unit and not self._units.said:
                self._units = replace(self._units, of_all=UNITS[naming.unit])
                self.naming = (*self.naming, f"unit={naming.unit}")
        self.columns = tuple(checked.block.frame.columns)

    def undescribed(self) -> set[str]:
        """Models whose architecture the store does not have."""
        return {model for model in self.models if self._writer.dense_figures(model) is None}

    def _write(self, frame: pl.DataFrame) -> None:
        device = self.devices.resolve(frame["device_id"])
        known = {
            "device_id": device["hash"],
            "configuration": frame["configuration_hash"],
        }
        columns = {
            "device_key": device["key"],
            "configuration_key": frame["configuration_key"],
        }
        if "runtime" in frame.columns:
            runtime = self.runtimes.resolve(frame["runtime"])
            known["runtime"], columns["runtime_key"] = runtime["hash"], runtime["key"]
        software = self.software.resolve(frame)
        if software is not None:
            known["software"], columns["software_key"] = software["hash"], software["key"]
        for name, stored in _STORED.items():
            if name in frame.columns:
                known[name] = columns[stored] = frame[name]
        if "extra" in frame.columns:
            columns["extra"] = frame["extra"]
        columns["row_hash"] = pl.Series(row_hashes(known))
        rows = pl.DataFrame(columns)
        weights = rows.select("device_key", frame["weight"]) if "weight" in frame.columns else None
        stays = self._stays(rows)
        if not stays.all():
            self.pruned_rows += rows.height - int(stays.sum())
            rows = rows.filter(stays)
            weights = None if weights is None else weights.filter(stays)
        if rows.is_empty():
            return
        self._writer.add_measurements(rows)
        if self._units.said:
            self._writer.adopt(rows["row_hash"])
        self._levels.add(_unknown_filled(rows))
        if weights is not None:
            self._weights.add(_last_of_each(weights.drop_nulls()))

    def _stays(self, rows: pl.DataFrame) -> pl.Series:
        """Which rows are not of a history that others stand for already; what is stored stays,
        where somebody says how to read it."""
        pruned = self._pruned
        if pruned is None or "measured_at_us" not in rows.columns:
            return pl.repeat(True, rows.height, eager=True)
        keys = rows.select("device_key", "configuration_key", "measured_at_us")
        own = pl.col("device_key").is_in(keys["device_key"].unique().implode())
        of = pruned.of.filter(own).with_columns(pruned=True)
        found = keys.join(
            of, on=["device_key", "configuration_key"], how="left", maintain_order="left"
        )
        old = (found["measured_at_us"] < pruned.before_us) & found["pruned"]
        stays = ~old.fill_null(False)
        if self._units.said and not stays.all():
            stays |= self._writer.stored(rows["row_hash"])
        return stays

    def finish(self) -> int:
        """Write what is known at the end only: weights, units; how many rows were added."""
        weights = self._weights.total()
        if weights.height:
            self._writer.set_weights(weights)
        added = self._writer.finish()
        self.read_anew = self._writer.settle_units(self._levels.total(), self._units)
        return added

    def _count(self, frame: pl.DataFrame) -> None:
        self.models.update(frame["model"].unique())
        self.configuration_keys.update(frame["configuration_key"].unique())
        if "timestamp" not in frame.columns or frame["timestamp"].null_count() == frame.height:
            return
        least, most = frame.select(
            pl.col("timestamp").min().alias("least"), pl.col("timestamp").max().alias("most")
        ).row(0)
        self.first_us = least if self.first_us is None else min(self.first_us, least)
        self.last_us = most if self.last_us is None else max(self.last_us, most)


def _last_of_each(weights: pl.DataFrame) -> pl.DataFrame:
    return weights.unique("device_key", keep="last", maintain_order=True)


def _unknown_filled(rows: pl.DataFrame) -> pl.DataFrame:
    """What a level is made of, with what stands for unknown."""
    optional = {
        "runtime_key": pl.lit(0, pl.Int64),
        "batch_size": pl.lit(1, pl.Int64),
        "cpu_freq_mhz": pl.lit(None, pl.Float64),
    }
    return rows.select(
        "device_key",
        "configuration_key",
        "latency_ms",
        *(
            (pl.col(n).fill_null(unknown) if n in rows.columns else unknown).alias(n)
            for n, unknown in optional.items()
        ),
    )


def _channel_rejects(checked: Checked, frame: pl.DataFrame) -> pl.DataFrame:
    bad = frame.filter(pl.col("error").is_not_null())
    lines = np.asarray(checked.block.lines()[bad["row"].to_numpy()])
    column = pl.repeat("channels", bad.height, eager=True)
    rejects = rejects_of(lines, column, bad["error"], bad["channels"])
    return rejects.select(list(REJECT_SCHEMA))
