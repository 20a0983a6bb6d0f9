"""Avro object container files."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

import polars as pl

from hdap.fleet_data.errors import InputError, told
from hdap.fleet_data.ingest.blocks import Block
from hdap.fleet_data.ingest.byte_source import ByteSource
from hdap.fleet_data.ingest.column_names import name_columns
from hdap.fleet_data.ingest.parquet_reader import read_frames
from hdap.fleet_data.ingest.readers.base import TableReader
from hdap.fleet_data.ingest.reading import SourceReading


class AvroFile(TableReader):
    """Avro with plain columns, read by polars: whole, so a file must fit into memory."""

    called = "Avro"
    endings = (".avro",)

    def recognises(self, source: ByteSource) -> bool:
        return source.head.startswith(b"Obj\x01")

    def check_table(self, source: ByteSource, reading: SourceReading) -> None:
        name_columns(source.name, tuple(_read(source, rows=1).columns), reading)

    def table(self, source: ByteSource, reading: SourceReading) -> Iterator[Block]:
        return read_frames(source.name, (_read(source),), reading)


def _read(source: ByteSource, rows: int | None = None) -> pl.DataFrame:
    with source.whole() as file:
        try:
            with _unsaid_panics():
                return pl.read_avro(file, n_rows=rows)
        except (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError) as error:
            raise InputError(f"{source.name} must be whole Avro: {told(error)}") from error


@contextmanager
def _unsaid_panics() -> Iterator[None]:
    """Inside, nothing reaches standard error: of a damaged file polars prints where in Rust it
    stopped, beside the exception that it raises."""
    kept, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)
