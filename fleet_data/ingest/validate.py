"""Text columns into typed ones, column-wise; rows that break the contract become rejects."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import polars as pl

from hdap.fleet_data.configuration import BLANK
from hdap.fleet_data.ingest.blocks import Block, rejects_of
from hdap.fleet_data.ingest.invisible import SEEN_BY_NOBODY
from hdap.fleet_data.ingest.number_texts import AMBIGUOUS, AMBIGUOUS_REASON, Decimals
from hdap.fleet_data.ingest.reading import AS_FOUND, SourceReading
from hdap.fleet_data.ingest.timestamps import parse_timestamps
from hdap.fleet_data.telemetry import BY_NAME, COLUMNS, TelemetryColumn

_ODD = rf"[\x00-\x1f\x7f{SEEN_BY_NOBODY}]"
_CONTROL = r"[\x00-\x1f\x7f]"
_ENDS = rf"^[\s{SEEN_BY_NOBODY}]+|[\s{SEEN_BY_NOBODY}]+$"
_UNKNOWN = ("null", "none", "nan", "na", "n/a", "#n/a", "<na>", "nil", "\\n", "-")
"""What exports write where there is nothing, in any capitals."""
_LONGEST_UNKNOWN = max(map(len, _UNKNOWN))


@dataclass(frozen=True)
class Checked:
    """Rows that keep the contract, typed (`extra` is JSON text), and the rejects of a block.

    `frame` has a column for each contract column that the source has; `row` is the row's place
    in the block, for its line number.
    """

    frame: pl.DataFrame
    block: Block
    rejects: pl.DataFrame
    rows: int


class Checker:
    """Types and checks the blocks of one source, in order; learns from each how it is written."""

    def __init__(self, reading: SourceReading = AS_FOUND) -> None:
        self._decimals = Decimals(reading.decimal)
        self._models = dict(reading.models)
        self._beside = [pl.lit(text).alias(name) for name, text in reading.beside.items()]

    def check(self, block: Block) -> Checked:
        """Type and check all columns of a block."""
        if self._beside:
            block = replace(block, frame=block.frame.with_columns(self._beside))
        raw = block.frame
        present = [column for column in COLUMNS if column.name in raw.columns]
        typed: dict[str, pl.Series] = {}
        problems: dict[str, pl.Series] = {}
        for column in present:
            typed[column.name], problem = self._column(column, raw[column.name])
            if problem.any():
                problems[column.name] = problem
        frame = pl.DataFrame(typed).with_row_index("row")
        if self._models:
            frame = frame.with_columns(pl.col("model").replace(self._models))
        extras = [name for name in raw.columns if name not in BY_NAME]
        if extras:
            frame = frame.with_columns(_extra(raw, extras))
        rows = raw.height + block.rejects.height
        if not problems:
            return Checked(frame, block, block.rejects, rows)
        bad = pl.DataFrame(problems)
        broken = bad.select(pl.any_horizontal(pl.all())).to_series()
        rejects = _rejects(block, bad, broken)
        return Checked(frame.filter(~broken), block, pl.concat([block.rejects, rejects]), rows)

    def _column(self, column: TelemetryColumn, texts: pl.Series) -> tuple[pl.Series, pl.Series]:
        """Values and problems. What is as the contract has it is read once; all else again."""
        if column.kind == "text":
            return _text(column, texts)
        if column.kind == "time":
            return _time(column, texts)
        if self._decimals.of(column.name) != ",":
            found, problem = _number(column, texts.cast(pl.Float64, strict=False), texts == "")
            if not problem.any():
                return found, problem
        bare = _bare(column, texts)
        return _number(column, self._decimals.read(column.name, bare), bare == "")


def _rejects(block: Block, bad: pl.DataFrame, broken: pl.Series) -> pl.DataFrame:
    """The first broken column of each broken row, in the contract's order."""
    names = bad.columns
    first = pl.coalesce(*(pl.when(pl.col(name)).then(pl.lit(name)) for name in names))
    some = bad.filter(broken).select(first.alias("column"))["column"]
    raw = block.frame.select(names).filter(broken).with_columns(some)
    value = pl.coalesce(*(pl.when(pl.col("column") == name).then(pl.col(name)) for name in names))
    values = raw.select(value.alias("value"))["value"]
    accepted = [
        f"must be {BY_NAME[name].accepted}"
        + (" and may not be empty" if BY_NAME[name].required else "")
        for name in names
    ]
    reasons = some.replace_strict(names, accepted, return_dtype=pl.String)
    numbers = [name for name in names if BY_NAME[name].kind in ("number", "integer")]
    unsure = some.is_in(numbers) & values.str.contains(AMBIGUOUS)
    reasons = reasons.set(unsure, AMBIGUOUS_REASON)
    return rejects_of(block.lines()[broken.to_numpy()], some, reasons, values)


def _text(column: TelemetryColumn, texts: pl.Series) -> tuple[pl.Series, pl.Series]:
    # channels are taken whole or not at all: a line break at their end is part of what came
    stripped = texts.str.strip_chars(BLANK if column.name == "channels" else None)
    length = stripped.str.len_bytes()
    if not column.required and length.is_between(1, _LONGEST_UNKNOWN).any():
        stripped = _known(stripped)
    problem = length > column.longest
    if problem.any():
        problem = stripped.str.len_chars() > column.longest
    if column.name != "channels":  # those are parsed, and have a better message, later
        odd = stripped.str.contains(_ODD)
        if odd.any():
            stripped = stripped.str.replace_all(_ENDS, "")
            length, odd = stripped.str.len_bytes(), stripped.str.contains(_CONTROL)
        problem = problem | odd
    if column.required:
        problem = problem | (length == 0)
    return stripped.alias(column.name), problem


def _number(
    column: TelemetryColumn, values: pl.Series, empty: pl.Series
) -> tuple[pl.Series, pl.Series]:
    above_low = values > column.low if column.above else values >= column.low
    # NaN is never finite, so the order of NaN in comparisons does not matter
    fine = values.is_finite() & above_low & (values <= column.high)
    if column.kind == "integer":
        fine = fine & (values == values.floor())
        values = values.set(~fine.fill_null(False), None).cast(pl.Int64)
    optional = pl.Series([not column.required])
    return values.alias(column.name), ~(fine.fill_null(False) | (empty & optional))


def _time(column: TelemetryColumn, texts: pl.Series) -> tuple[pl.Series, pl.Series]:
    given = texts != ""
    if given.all():
        at = parse_timestamps(texts)
        if at.null_count() == 0:
            return at.alias(column.name), at.is_null()
    bare = _bare(column, texts)
    given = bare != ""
    parsed = pl.DataFrame({"at": parse_timestamps(bare.filter(given))})
    rows = pl.DataFrame({"given": given}).with_row_index("row")
    some = pl.concat([rows.filter("given"), parsed], how="horizontal").drop("given")
    at = rows.join(some, on="row", how="left", maintain_order="left")["at"]
    return at.alias(column.name), at.is_null() & given


def _bare(column: TelemetryColumn, texts: pl.Series) -> pl.Series:
    """Texts without what nobody sees, empty where an optional one says that it is unknown."""
    stripped = texts.str.replace_all(_ENDS, "")
    return stripped if column.required else _known(stripped)


def _known(texts: pl.Series) -> pl.Series:
    unknown = texts.str.len_bytes() <= _LONGEST_UNKNOWN
    return texts.set(unknown & texts.str.to_lowercase().is_in(_UNKNOWN), "")


def _extra(raw: pl.DataFrame, names: Sequence[str]) -> pl.Series:
    """The columns that are not in the contract as one JSON object; null where all are empty."""
    filled = raw.select(
        pl.when(pl.col(name) != "").then(pl.col(name)).alias(name) for name in names
    )
    nothing = pl.all_horizontal(pl.all().is_null())
    return filled.select(
        pl.when(~nothing).then(pl.struct(pl.all()).struct.json_encode()).alias("extra")
    )["extra"]
