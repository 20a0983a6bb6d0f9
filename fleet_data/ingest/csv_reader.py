"""CSV as blocks of text columns, in constant memory."""

import csv
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.csv

from hdap.fleet_data.errors import InputError
from hdap.fleet_data.ingest.blocks import Block, rejects_of
from hdap.fleet_data.ingest.csv_head import BOM, ByteStream, CsvHead, decode, read_head
from hdap.fleet_data.ingest.csv_records import Records, take_records
from hdap.fleet_data.ingest.reading import AS_FOUND, SourceReading

BLOCK_BYTES = 8 * 2**20
LONGEST_LINE = 64 * 2**20
_FIRST_ROW = 2**16
_BOM = BOM.encode()


def read_csv(name: str, stream: ByteStream, reading: SourceReading = AS_FOUND) -> Iterator[Block]:
    """All rows of a CSV. Raises InputError for a wrong header or encoding, or an endless line."""
    head = read_head(name, stream, reading)
    delimiter = head.delimiter.encode()
    line, rest, last, first = head.next_line, b"", False, True
    while not last:
        data = stream.read(BLOCK_BYTES)
        last = not data
        joined = rest + data if rest else data
        records = take_records(joined, line, last=last, delimiter=delimiter)
        rest = joined[records.used :]
        if len(rest) > LONGEST_LINE:
            raise InputError(f"{name} has a line {line} of over {LONGEST_LINE} bytes: is it CSV?")
        taken = joined[: records.used]
        if not taken.isascii():
            decode(name, taken, line)
        line = records.next_line
        if first and records.data:
            head, first = _with_trailing(head, records.data), False
        if records.data or records.bad:
            yield _block(records, head)


def _with_trailing(head: CsvHead, data: bytes) -> CsvHead:
    """A first row that ends with a delimiter, where the header does not, says that all do."""
    text = data.lstrip(b"\r\n")[:_FIRST_ROW].decode(errors="replace")
    row = next(csv.reader(text.splitlines(keepends=True), delimiter=head.delimiter), [])
    more = len(row) == len(head.naming.columns) + head.nameless + 1
    return replace(head, nameless=head.nameless + 1) if more and not row[-1] else head


def _block(records: Records, head: CsvHead) -> Block:
    ragged: list[pyarrow.csv.InvalidRow] = []
    table = _parse(records.data, head, ragged)
    frame = pl.from_arrow(table)
    assert isinstance(frame, pl.DataFrame)
    if not ragged and not records.bad:
        return _named(Block(frame, records.lines), head)
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
    return _named(Block(frame, lambda: kept, rejects), head)


def _named(block: Block, head: CsvHead) -> Block:
    """A block without its nameless columns; rows that have something in one are rejected."""
    block = replace(block, naming=head.naming)
    if not head.nameless:
        return block
    names = block.frame.columns[-head.nameless :]
    frame = block.frame.drop(names)
    filled = block.frame.select(pl.any_horizontal(pl.col(names) != "")).to_series()
    if not filled.any():
        return replace(block, frame=frame)
    lines, bad = block.lines(), frame.filter(filled)
    reason = f"the row must have {frame.width} fields, got {block.frame.width}"
    rejects = rejects_of(
        lines[filled.to_numpy()],
        pl.repeat("", bad.height, eager=True),
        pl.repeat(reason, bad.height, eager=True),
        bad.select(pl.concat_str(pl.all(), separator=head.delimiter)).to_series(),
    )
    kept = lines[~filled.to_numpy()]
    both = pl.concat([block.rejects, rejects])
    return replace(block, frame=frame.filter(~filled), lines=lambda: kept, rejects=both)


def _ragged(row: pyarrow.csv.InvalidRow) -> str:
    return f"the row must have {row.expected_columns} fields, got {row.actual_columns}"


def _parse(data: bytes, head: CsvHead, ragged: list[pyarrow.csv.InvalidRow]) -> pa.Table:
    # no column of a file has a NUL in its name
    columns = (*head.naming.columns, *(f"\0{at}" for at in range(head.nameless)))
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
        pyarrow.csv.ParseOptions(
            delimiter=head.delimiter, newlines_in_values=True, invalid_row_handler=skip
        ),
        pyarrow.csv.ConvertOptions(
            check_utf8=False,
            column_types=dict.fromkeys(columns, pa.string()),
            strings_can_be_null=False,
        ),
    )
