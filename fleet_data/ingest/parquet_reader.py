"""Parquet and data frames as blocks of text columns: what is typed becomes a CSV's text."""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import IO

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet

from hdap.fleet_data.errors import InputError, told
from hdap.fleet_data.ingest.blocks import Block
from hdap.fleet_data.ingest.column_names import Naming, name_columns, name_further
from hdap.fleet_data.ingest.reading import AS_FOUND, SourceReading

_BATCH_ROWS = 50_000
_NOTHING: Mapping[str, str] = {}


def open_parquet(
    name: str,
    file: IO[bytes],
    reading: SourceReading = AS_FOUND,
    beside: Mapping[str, str] = _NOTHING,
    first: Naming | None = None,
) -> tuple[pyarrow.parquet.ParquetFile, Naming]:
    """The file, and what its columns and then those `beside` it are.

    A file after the `first` of a source has its columns as that one has them. Raises InputError.
    """
    try:
        parquet = pyarrow.parquet.ParquetFile(file)
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        raise InputError(f"{name} must be whole Parquet: {told(error)}") from error
    own = tuple(parquet.schema_arrow.names)
    found = (*own, *(column for column in beside if column not in own))
    naming = (
        name_further(name, found, first)
        if first is not None
        else name_columns(name, found, reading)
    )
    for field in parquet.schema_arrow:
        if pa.types.is_nested(field.type) or pa.types.is_duration(field.type):
            raise _not_plain(name, field.name, field.type)
    return parquet, naming


def read_parquet(
    name: str,
    file: IO[bytes],
    reading: SourceReading = AS_FOUND,
    beside: Mapping[str, str] = _NOTHING,
    first: Naming | None = None,
    first_row: int = 1,
) -> Iterator[Block]:
    """All rows of a Parquet file; lines are row numbers from `first_row`.

    A column `beside` the file has one value for all its rows, unless the file has the column
    itself; `first` as in `open_parquet`. Raises InputError.
    """
    parquet, naming = open_parquet(name, file, reading, beside, first)
    own = parquet.schema_arrow.names
    added = [pl.lit(value).alias(column) for column, value in beside.items() if column not in own]
    with _named(name):
        yield from _blocks(
            (
                frame.with_columns(added)
                for batch in parquet.iter_batches(batch_size=_BATCH_ROWS)
                if isinstance(frame := pl.from_arrow(batch), pl.DataFrame)
            ),
            naming,
            first_row,
        )


def read_frames(
    name: str, frames: Iterable[pl.DataFrame], reading: SourceReading = AS_FOUND
) -> Iterator[Block]:
    """All rows of frames that have the same columns; lines are row numbers from 1. Raises
    InputError."""
    start = 1
    for frame in frames:
        naming = name_columns(name, tuple(frame.columns), reading)
        for column, kind in frame.schema.items():
            if kind.is_nested() or kind in (pl.Duration, pl.Object):
                raise _not_plain(name, column, kind)
        # In pandas a number that is missing is NaN.
        with _named(name):
            yield from _blocks(frame.fill_nan(None).iter_slices(_BATCH_ROWS), naming, start)
        start += frame.height


def _blocks(frames: Iterable[pl.DataFrame], naming: Naming, start: int) -> Iterator[Block]:
    for frame in frames:
        rows = np.arange(start, start + frame.height)
        texts = _as_text(frame)
        texts.columns = list(naming.columns)
        yield Block(texts, partial(np.asarray, rows), naming=naming)
        start += frame.height


@contextmanager
def _named(name: str) -> Iterator[None]:
    """What fails while rows are read is the file's fault: damaged pages, bytes that are no text."""
    try:
        yield
    except (pa.ArrowException, pl.exceptions.PolarsError, OSError, UnicodeDecodeError) as error:
        raise InputError(
            f"{name} must be whole Parquet of numbers, times and UTF-8: {told(error)}"
        ) from error


def _not_plain(name: str, column: str, kind: object) -> InputError:
    shown = column if column.isprintable() else repr(column)
    return InputError(f"{name} must have plain columns, {shown} is a {kind}: drop or split it")


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
