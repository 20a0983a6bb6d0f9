"""A piece of a source as it travels through an ingest, and a table of what is rejected of it."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace

import polars as pl

from hdap.fleet_data.ingest.column_names import Naming
from hdap.fleet_data.records import Ints

REJECT_SCHEMA = {"line": pl.Int64, "column": pl.String, "reason": pl.String, "value": pl.String}
_LONGEST_VALUE = 200


def no_rejects() -> pl.DataFrame:
    """An empty table of rejects."""
    return pl.DataFrame(schema=REJECT_SCHEMA)


@dataclass(frozen=True)
class Block:
    """Rows of a source, all columns text, empty where there is nothing.

    `lines()` is the line (in Parquet and Avro: the row) of each row of `frame`; it is worked out
    only when a row is rejected. `rejects` are rows that could not even be split into columns.
    `naming` is what the source called the columns, where that is known.
    """

    frame: pl.DataFrame
    lines: Callable[[], Ints]
    rejects: pl.DataFrame = field(default_factory=no_rejects)
    naming: Naming | None = None

    def with_columns(self, columns: tuple[str, ...]) -> "Block":
        """The same rows with these columns, those that it has not got empty."""
        missing = [name for name in columns if name not in self.frame.columns]
        if not missing:
            return self
        filled = self.frame.with_columns(pl.lit("").alias(name) for name in missing)
        return replace(self, frame=filled.select(columns))

    def named(self, naming: Naming) -> "Block":
        """The same rows with their columns called as `naming` says, which is in their order."""
        names = dict(zip(self.frame.columns, naming.columns, strict=True))
        return replace(self, frame=self.frame.rename(names), naming=naming)


def rejects_of(lines: Ints, column: pl.Series, reason: pl.Series, value: pl.Series) -> pl.DataFrame:
    """A table of rejects; values are cut to a sensible length."""
    shown = value.cast(pl.String).str.slice(0, _LONGEST_VALUE)
    columns = {"line": lines, "column": column, "reason": reason, "value": shown}
    return pl.DataFrame(columns, schema=REJECT_SCHEMA)
