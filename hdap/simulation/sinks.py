"""Files that batches of telemetry go into, with rows broken on purpose among the good ones."""

import gzip
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import IO, Self

import numpy as np
import polars as pl
import pyarrow.parquet as pq

from hdap.fleet_data.architecture import Architecture
from hdap.simulation.breakage import break_rows, possible

_TIME = "%Y-%m-%dT%H:%M:%S%.3f+00:00"


class Sink(ABC):
    """One telemetry file being written. Batches have the same columns; `with` closes the file."""

    typed: bool

    def write(
        self,
        batch: pl.DataFrame,
        architectures: Sequence[Architecture],
        broken_share: float,
        rng: np.random.Generator,
    ) -> Counter[str]:
        """Write `batch` with about `broken_share` of its rows broken; how many of each kind."""
        bad = rng.random(len(batch)) < broken_share
        if not bad.any():
            self._good(batch)
            return Counter()
        # The bad ones stand together somewhere in the middle, not at the end where none would look.
        good, at = batch.filter(~bad), int(rng.integers(0, len(batch)))
        counts: Counter[str] = Counter()
        self._good(good[:at])
        for rows, architecture in _by_model(_as_text(batch.filter(bad)), architectures):
            kinds = rng.choice(possible(architecture, self.typed), size=len(rows))
            self._bad(break_rows(rows, architecture, kinds), batch.schema)
            counts.update(kinds.tolist())
        self._good(good[at:])
        return counts

    @abstractmethod
    def _good(self, rows: pl.DataFrame) -> None:
        """Append rows."""

    @abstractmethod
    def _bad(self, rows: pl.DataFrame, schema: pl.Schema) -> None:
        """Append rows whose columns are all text; `schema` is that of the good ones."""

    @abstractmethod
    def close(self) -> None:
        """Finish the file."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


class CsvSink(Sink):
    """CSV, or gzipped CSV by its suffix."""

    typed = False

    def __init__(self, path: Path) -> None:
        # Level 1: telemetry compresses to a fifth with it, and no other level keeps up.
        self._file: IO[bytes] = (
            gzip.GzipFile(path, "wb", compresslevel=1, mtime=0)  # type: ignore[assignment]
            if path.suffix == ".gz"
            else path.open("wb")
        )
        self._header = True

    def _good(self, rows: pl.DataFrame) -> None:
        self._append(rows)

    def _bad(self, rows: pl.DataFrame, schema: pl.Schema) -> None:
        self._append(rows)

    def _append(self, rows: pl.DataFrame) -> None:
        # Nothing needs quotes, and a broken value may hold the comma that makes a field too many.
        rows.write_csv(
            self._file,
            include_header=self._header,
            datetime_format=_TIME,
            quote_style="never",
        )
        self._header = False

    def close(self) -> None:
        self._file.close()


class ParquetSink(Sink):
    """Parquet, compressed with zstd."""

    typed = True

    def __init__(self, path: Path) -> None:
        self._path = path
        self._writer: pq.ParquetWriter | None = None

    def _good(self, rows: pl.DataFrame) -> None:
        table = rows.to_arrow()
        if self._writer is None:
            self._writer = pq.ParquetWriter(self._path, table.schema, compression="zstd")
        self._writer.write_table(table)

    def _bad(self, rows: pl.DataFrame, schema: pl.Schema) -> None:
        time = pl.col("timestamp").str.to_datetime(time_unit="ms", time_zone="UTC")
        names = [n for n, kind in schema.items() if kind != pl.String and n != "timestamp"]
        typed = rows.with_columns(
            time, *(pl.col(n).replace("", None).cast(schema[n]) for n in names)
        )
        self._good(typed)

    def close(self) -> None:
        if self._writer is not None:
            self._writer.close()


SINKS: dict[str, Callable[[Path], Sink]] = {
    "csv": CsvSink,
    "csv.gz": CsvSink,
    "parquet": ParquetSink,
}
"""Sinks by the suffix of the file."""


def _as_text(rows: pl.DataFrame) -> pl.DataFrame:
    time = pl.col("timestamp").dt.strftime(_TIME)
    return rows.with_columns(time).with_columns(pl.all().cast(pl.String).fill_null(""))


def _by_model(
    rows: pl.DataFrame, architectures: Sequence[Architecture]
) -> Iterator[tuple[pl.DataFrame, Architecture]]:
    for architecture in architectures:
        mine = rows.filter(pl.col("model") == architecture.model)
        if len(mine):
            yield mine, architecture
