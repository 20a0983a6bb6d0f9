"""Parquet and data frames as blocks of text columns: what is typed becomes a CSV's text."""

from collections.abc import Iterable, Iterator
from functools import partial
from typing import IO

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet

from hdap.fleet_data.errors import InputError
from hdap.fleet_data.ingest.blocks import Block
from hdap.fleet_data.telemetry import check_columns

_BATCH_ROWS = 50_000


def open_parquet(name: str, file: IO[bytes]) -> pyarrow.parquet.ParquetFile:
    """The file, its columns checked. Raises InputError."""
    try:
        parquet = pyarrow.parquet.ParquetFile(file)
    except (pa.ArrowException, OSError) as error:
        raise InputError(f"{name} must be whole Parquet: {_one_line(error)}") from error
    check_columns(name, tuple(parquet.schema_arrow.names))
    for field in parquet.schema_arrow:
        if pa.types.is_nested(field.type):
            raise _nested(name, field.name, field.type)
    return parquet


def read_parquet(name: str, file: IO[bytes]) -> Iterator[Block]:
    """All rows of a Parquet file; lines are row numbers from 1. Raises InputError."""
    parquet = open_parquet(name, file)
    try:
        yield from _blocks(
            frame
            for batch in parquet.iter_batches(batch_size=_BATCH_ROWS)
            if isinstance(frame := pl.from_arrow(batch), pl.DataFrame)
        )
    except (pa.ArrowException, OSError) as error:
        raise InputError(f"{name} must be whole Parquet: {_one_line(error)}") from error


def read_frame(name: str, frame: pl.DataFrame) -> Iterator[Block]:
    """All rows of a data frame; lines are row numbers from 1. Raises InputError."""
    check_columns(name, tuple(frame.columns))
    for column, kind in frame.schema.items():
        if kind.is_nested():
            raise _nested(name, column, kind)
    # In pandas a number that is missing is NaN.
    yield from _blocks(frame.fill_nan(None).iter_slices(_BATCH_ROWS))


def _blocks(frames: Iterable[pl.DataFrame]) -> Iterator[Block]:
    start = 1
    for frame in frames:
        rows = np.arange(start, start + frame.height)
        yield Block(_as_text(frame), partial(np.asarray, rows))
        start += frame.height


def _nested(name: str, column: str, kind: object) -> InputError:
    return InputError(f"{name} must have plain columns, {column} is a {kind}: drop or split it")


def _as_text(frame: pl.DataFrame) -> pl.DataFrame:
    times = [name for name, kind in frame.schema.items() if isinstance(kind, pl.Datetime)]
    zoned = [name for name in times if getattr(frame.schema[name], "time_zone", None)]
    in_utc = frame.with_columns(
        *(pl.col(name).dt.convert_time_zone("UTC").dt.replace_time_zone(None) for name in zoned)
    )
    texts = (
        pl.col(name).dt.strftime("%Y-%m-%dT%H:%M:%S%.6f")
        if name in times
        else pl.col(name).cast(pl.String, strict=False)
        for name in frame.columns
    )
    return in_utc.select(texts).with_columns(pl.all().fill_null(""))


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())[:200]
