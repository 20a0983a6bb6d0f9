"""Where telemetry can be reduced: engines by URL, and statements for those who copy them.

Everything here speaks through Ibis, which is imported when it is needed.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl

from hdap.fleet_data.errors import InputError, told
from hdap.fleet_data.extras import require
from hdap.fleet_data.ingest.column_names import Naming, name_columns
from hdap.fleet_data.ingest.reading import SourceReading
from hdap.fleet_data.reduction.dialects import DIALECTS, ESTIMATED
from hdap.fleet_data.reduction.reduce_rows import Quantiles, reduced
from hdap.fleet_data.telemetry import BY_NAME, REQUIRED

if TYPE_CHECKING:
    import ibis.expr.types as ir

PACKAGES = {"duckdb": "ibis", "spark": "spark", "clickhouse": "clickhouse", "postgres": "postgres"}
"""The extra that an engine needs."""
BATCH_ROWS = 100_000
# a cast to the type that a column has is none: numbers of any type are to be cast
_TYPES = {"text": "string", "number": "int64", "integer": "int64", "time": "timestamp"}
_FILES = {".parquet": "read_parquet", ".csv": "read_csv", ".gz": "read_csv"}


@dataclass(frozen=True)
class ReducedRows:
    """Frames of the contract's columns as they come from an engine, and what they were called."""

    name: str
    frames: Iterator[pl.DataFrame]
    naming: Naming


def statement(dialect: str, table: str, columns: Sequence[str], after: str | None = None) -> str:
    """The reduction of a table as SQL; `columns` are `theirs=ours` or the contract's own.

    Raises InputError for a dialect or a column that there is not.
    """
    require("ibis")
    import ibis

    if dialect not in DIALECTS:
        raise InputError(f"the dialect must be one of {', '.join(DIALECTS)}, but got {dialect!r}")
    ours = _renaming(columns)
    types = {theirs: _TYPES[BY_NAME[name].kind] for theirs, name in ours.items()}
    *schema, name = table.split(".")[-3:]
    catalog, database = [None, None, *schema][-2:]
    found = ibis.table(types, name=name, catalog=catalog, database=database)
    rows = found.select(**{name: found[theirs] for theirs, name in ours.items()})
    expression = reduced(rows, Quantiles(exact=dialect not in ESTIMATED), after)
    return str(ibis.to_sql(expression, dialect=DIALECTS[dialect]))


def read_reduced(
    via: str, table: str, reading: SourceReading, after: str | None = None
) -> ReducedRows:
    """The reduction of a table (of an engine that reads files: of a file, folder or pattern).

    Raises InputError where the engine, the table or its columns cannot be had.
    """
    require("ibis")
    kind = kind_of(via)
    try:
        found = _table(_connect(via), table)
        naming = name_columns(f"{kind}:{table}", tuple(found.columns), reading)
        pairs = {n: found[t] for t, n in zip(found.columns, naming.columns, strict=True)}
        rows = found.select(**{name: pairs[name] for name in BY_NAME if name in pairs})
        expression = reduced(rows, Quantiles(exact=kind not in ESTIMATED), after)
        batches = expression.to_pyarrow_batches(chunk_size=BATCH_ROWS)
    except InputError:
        raise
    except ImportError as error:
        raise InputError(
            f"--via {kind} needs its driver, but {told(error)}: "
            f"pip install 'hdap[ibis,{PACKAGES.get(kind, kind)}]'"
        ) from error
    except Exception as error:  # whatever an engine's driver raises
        raise _failed(kind, table, error) from error
    return ReducedRows(table, _frames(batches, kind, table), naming)


def kind_of(via: str) -> str:
    """`duckdb`, `spark`, ...: what a URL is of."""
    kind = via.partition("://")[0]
    return "postgres" if kind.startswith("postgres") else kind


def _renaming(columns: Sequence[str]) -> Mapping[str, str]:
    found = {}
    for column in columns:
        theirs, _, ours = column.partition("=")
        found[theirs] = ours or theirs
    unknown = [name for name in found.values() if name not in BY_NAME]
    if unknown:
        raise InputError(
            f"--column must name columns of the contract (docs/telemetry.md), but got "
            f"{unknown[0]!r}: NAME, or THEIRS=NAME"
        )
    missing = [name for name in REQUIRED if name not in found.values()]
    if missing:
        raise InputError(f"--column must name {', '.join(REQUIRED)}, missing: {', '.join(missing)}")
    return found


def _connect(via: str) -> Any:
    import ibis

    kind, _, place = via.partition("://")
    if kind == "duckdb":
        engine = ibis.duckdb.connect(place or ":memory:", read_only=bool(place))
        engine.raw_sql("SET TimeZone = 'UTC'")
        return engine
    if kind == "spark":
        from pyspark.sql import SparkSession

        master = (place if place.startswith("local") else f"spark://{place}") if place else "local"
        session = SparkSession.builder.master(master).appName("hdap")
        quiet = session.config("spark.ui.showConsoleProgress", "false")
        return ibis.pyspark.connect(quiet.config("spark.sql.session.timeZone", "UTC").getOrCreate())
    if not place:
        raise InputError(
            "--via must be duckdb, spark or a URL (duckdb://FILE, spark://HOST:PORT, "
            f"clickhouse://..., postgres://...), but got {via!r}"
        )
    engine = ibis.connect(via)
    if engine.name == "postgres":
        engine.raw_sql("SET TIME ZONE 'UTC'").close()
    return engine


def _table(engine: Any, table: str) -> "ir.Table":
    path = Path(table)
    if path.is_dir():
        return engine.read_parquet(f"{table}/**/*.parquet" if engine.name == "duckdb" else table)
    if path.suffix in _FILES:
        return getattr(engine, _FILES[path.suffix])(table)
    *schema, name = table.split(".")
    return engine.table(name, database=tuple(schema) or None)


def _frames(batches: Any, kind: str, table: str) -> Iterator[pl.DataFrame]:
    try:
        for batch in batches:
            frame = pl.from_arrow(batch)
            assert isinstance(frame, pl.DataFrame)
            yield frame
    except Exception as error:  # as above, while rows come
        raise _failed(kind, table, error) from error


def _failed(kind: str, table: str, error: Exception) -> InputError:
    return InputError(
        f"{table} must be a table that {kind} finds and can reduce, but it says: "
        f"{type(error).__name__}: {told(error)}"
    )
