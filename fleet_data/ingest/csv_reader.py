"""CSV as blocks of text columns, in constant memory."""

import csv
from collections.abc import Iterator
from typing import Protocol

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.csv

from hdap.fleet_data.errors import InputError
from hdap.fleet_data.ingest.blocks import Block, rejects_of
from hdap.fleet_data.ingest.csv_records import Records, take_records
from hdap.fleet_data.telemetry import HEADER_RULE, REQUIRED, check_columns

BLOCK_BYTES = 8 * 2**20
LONGEST_LINE = 64 * 2**20
_LONGEST_HEADER = 2**20
_OTHER_DELIMITERS = {";": "semicolons", "\t": "tabs", "|": "bars"}


class ByteStream(Protocol):
    """What is read here: files, pipes, gzip."""

    def read(self, size: int, /) -> bytes: ...
    def readline(self, size: int, /) -> bytes: ...


_BOM = b"\xef\xbb\xbf"


def read_header(name: str, stream: ByteStream) -> tuple[str, ...]:
    """The column names; the stream then stands at the first row. Raises InputError."""
    line = stream.readline(_LONGEST_HEADER)
    if b"\0" in line:
        raise InputError(f"{name} must be UTF-8 text, got NUL bytes (UTF-16?): convert it")
    return _parse_header(name, _decode(name, line.removeprefix(_BOM), 1))


def read_csv(name: str, stream: ByteStream) -> Iterator[Block]:
    """All rows of a CSV. Raises InputError for a wrong header or encoding, or an endless line."""
    columns = read_header(name, stream)
    line, rest, last = 2, b"", False
    while not last:
        data = stream.read(BLOCK_BYTES)
        last = not data
        joined = rest + data if rest else data
        records = take_records(joined, line, last=last)
        rest = joined[records.used :]
        if len(rest) > LONGEST_LINE:
            raise InputError(f"{name} has a line {line} of over {LONGEST_LINE} bytes: is it CSV?")
        taken = joined[: records.used]
        if not taken.isascii():
            _decode(name, taken, line)
        line = records.next_line
        if records.data or records.bad:
            yield _block(records, columns)


def _parse_header(name: str, line: str) -> tuple[str, ...]:
    """Column names of a CSV's first line. Raises InputError."""
    if not line.strip():
        raise InputError(f"{name} must start with a header line, it is empty: {HEADER_RULE}")
    text = line.rstrip("\r\n")
    if "\r" in text:
        raise InputError(f"{name} must end its lines with LF or CRLF, got bare CR: convert it")
    try:
        columns = tuple(column.strip() for column in next(csv.reader([text], strict=True)))
    except csv.Error as error:
        raise InputError(f"{name} has a header that is no CSV ({error}): {HEADER_RULE}") from error
    _check_delimiter(name, text, columns)
    check_columns(name, columns)
    return columns


def _check_delimiter(name: str, text: str, columns: tuple[str, ...]) -> None:
    if all(column in columns for column in REQUIRED):
        return
    for delimiter, called in _OTHER_DELIMITERS.items():
        split = {column.strip(' "') for column in text.split(delimiter)}
        if split.issuperset(REQUIRED):
            raise InputError(f"{name} must separate columns by commas, got {called}: convert it")


def _decode(name: str, data: bytes, line: int) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        bad = line + data.count(b"\n", 0, error.start)
        raise InputError(
            f"{name} must be UTF-8, got byte 0x{data[error.start]:02x} in line {bad}: convert it"
        ) from error


def _block(records: Records, columns: tuple[str, ...]) -> Block:
    ragged: list[pyarrow.csv.InvalidRow] = []
    table = _parse(records.data, columns, ragged)
    frame = pl.from_arrow(table)
    assert isinstance(frame, pl.DataFrame)
    if not ragged and not records.bad:
        return Block(frame, records.lines)
    lines = records.lines()
    # the parser counts the rows of a block from 1
    skipped = np.array([row.number for row in ragged], dtype=np.int64) - 1
    kept = np.delete(lines, skipped)
    bad = pl.DataFrame(
        [(line.line, line.reason, line.text.decode()) for line in records.bad]
        + [
            (int(lines[at]), _ragged(row), row.text)
            for at, row in zip(skipped, ragged, strict=True)
        ],
        schema={"line": pl.Int64, "reason": pl.String, "value": pl.String},
        orient="row",
    )
    bad = bad.sort("line")
    column = pl.repeat("", bad.height, eager=True)
    rejects = rejects_of(bad["line"].to_numpy(), column, bad["reason"], bad["value"])
    return Block(frame, lambda: kept, rejects)


def _ragged(row: pyarrow.csv.InvalidRow) -> str:
    return f"the row must have {row.expected_columns} fields, got {row.actual_columns}"


def _parse(data: bytes, columns: tuple[str, ...], ragged: list[pyarrow.csv.InvalidRow]) -> pa.Table:
    # pyarrow skips a byte order mark, and refuses what is empty then
    if data.strip(b"\r\n") in (b"", _BOM):
        return pa.table({column: pa.array([], pa.string()) for column in columns})

    if data.startswith(_BOM):
        data = _BOM + data  # the parser takes one away, but inside a file it is a character

    def skip(row: pyarrow.csv.InvalidRow) -> str:
        ragged.append(row)
        return "skip"

    return pyarrow.csv.read_csv(
        pa.BufferReader(data),
        # one thread: only then the parser knows the numbers of the rows that it skips
        pyarrow.csv.ReadOptions(
            use_threads=False, column_names=columns, block_size=max(len(data), 1) + 1
        ),
        pyarrow.csv.ParseOptions(newlines_in_values=True, invalid_row_handler=skip),
        pyarrow.csv.ConvertOptions(
            check_utf8=False,
            column_types=dict.fromkeys(columns, pa.string()),
            strings_can_be_null=False,
        ),
    )
