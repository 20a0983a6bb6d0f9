"""A piece of a source as it travels through an ingest, and the file of what is rejected."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

import polars as pl

from hdap.fleet_data.errors import InputError
from hdap.fleet_data.records import Ints

REJECT_SCHEMA = {"line": pl.Int64, "column": pl.String, "reason": pl.String, "value": pl.String}
_LONGEST_VALUE = 200


def no_rejects() -> pl.DataFrame:
    """An empty table of rejects."""
    return pl.DataFrame(schema=REJECT_SCHEMA)


@dataclass(frozen=True)
class Block:
    """Rows of a source, all columns text, empty where there is nothing.

    `lines()` is the line (in Parquet: the row) of each row of `frame`; it is worked out only
    when a row is rejected. `rejects` are rows that could not even be split into columns.
    """

    frame: pl.DataFrame
    lines: Callable[[], Ints]
    rejects: pl.DataFrame = field(default_factory=no_rejects)


def rejects_of(lines: Ints, column: pl.Series, reason: pl.Series, value: pl.Series) -> pl.DataFrame:
    """A table of rejects; values are cut to a sensible length."""
    shown = value.cast(pl.String).str.slice(0, _LONGEST_VALUE)
    columns = {"line": lines, "column": column, "reason": reason, "value": shown}
    return pl.DataFrame(columns, schema=REJECT_SCHEMA)


class RejectFile:
    """`FILE.rejected.csv`: line, column, reason, value. `commit` puts it in place, or takes the one
    of an earlier ingest away when nothing was rejected; `abandon` leaves that one as it is."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.counts: Counter[str] = Counter()
        self._partial = path.with_name(f".{path.name}.partial")
        self._file: BinaryIO | None = None

    def add(self, rejects: pl.DataFrame) -> None:
        """Write rejects. Raises InputError when the file cannot be written."""
        if rejects.is_empty():
            return
        label = pl.when(pl.col("column") == "").then(pl.lit("row")).otherwise(pl.col("column"))
        general = pl.col("reason").str.replace(r"(?s), got .*$", "").str.replace_all("`[^`]*`", "…")
        named = rejects.select(pl.concat_str(label, pl.lit(": "), general).alias("label"))
        for text, count in named["label"].value_counts().iter_rows():
            self.counts[text] += count
        first = self._file is None
        try:
            if self._file is None:
                self._file = self._partial.open("wb")
            rejects.sort("line", maintain_order=True).write_csv(self._file, include_header=first)
        except OSError as error:
            raise self._unwritable(error) from error

    def commit(self) -> Path | None:
        """Where the rejected rows are, or None when there are none."""
        if self._file is None:
            self.path.unlink(missing_ok=True)
            return None
        try:
            self._file.close()
            self._partial.replace(self.path)
        except OSError as error:
            raise self._unwritable(error) from error
        return self.path

    def abandon(self) -> None:
        """The ingest failed: nothing of it remains."""
        if self._file is not None:
            self._file.close()
            self._partial.unlink(missing_ok=True)

    def _unwritable(self, error: OSError) -> InputError:
        return InputError(
            f"rejected rows must be written to {self.path}: {error.strerror}: "
            "give another path for them or free the place"
        )
