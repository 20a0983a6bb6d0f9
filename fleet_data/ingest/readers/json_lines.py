"""JSON lines: one object a row."""

import json
from collections.abc import Iterator
from functools import partial

import numpy as np
import polars as pl

from hdap.fleet_data.errors import InputError, told
from hdap.fleet_data.ingest.blocks import Block, no_rejects, rejects_of
from hdap.fleet_data.ingest.byte_source import ByteSource
from hdap.fleet_data.ingest.column_names import Naming, name_columns, name_further
from hdap.fleet_data.ingest.csv_reader import LONGEST_LINE
from hdap.fleet_data.ingest.readers.base import TableReader
from hdap.fleet_data.ingest.readers.nested_values import with_nested
from hdap.fleet_data.ingest.reading import SourceReading
from hdap.fleet_data.records import Ints

_CHUNK_BYTES = 4 * 2**20
_BOM = b"\xef\xbb\xbf"
_RULE = "the line must be one JSON object"


class JsonLines(TableReader):
    """One JSON object a line, UTF-8, parsed by polars; keys are columns, null is empty.

    A key that a row lacks is empty there; what is nested is kept as its JSON text, beside what
    `with_nested` takes out of it. A line that is
    no object is a reject. What keys mean, the first 4 MB tell. Source: jsonlines.org.
    """

    called = "JSON lines"
    endings = (".jsonl", ".ndjson")

    def recognises(self, source: ByteSource) -> bool:
        return source.head.removeprefix(_BOM).lstrip().startswith(b"{")

    def check_table(self, source: ByteSource, reading: SourceReading) -> None:
        next(self.table(source, reading), None)

    def table(self, source: ByteSource, reading: SourceReading) -> Iterator[Block]:
        columns: dict[str, None] = {}
        naming: Naming | None = None
        for data, first_line in _chunks(source):
            block = with_nested(_block(source.name, data, first_line), reading)
            columns |= dict.fromkeys(block.frame.columns)
            found = tuple(columns)
            if naming is None:
                naming = name_columns(source.name, found, reading)
            elif len(found) > len(naming.columns):
                naming = name_further(source.name, found, naming)
            yield block.with_columns(found).named(naming)


def _chunks(source: ByteSource) -> Iterator[tuple[bytes, int]]:
    """Whole lines, and the number of the first."""
    line, rest, last = 1, b"", False
    while not last:
        data = source.stream.read(_CHUNK_BYTES)
        last = not data
        joined = rest + data
        used = len(joined) if last else joined.rfind(b"\n") + 1
        taken, rest = joined[:used], joined[used:]
        if len(rest) > LONGEST_LINE:
            raise InputError(
                f"{source.name} has a line {line} of over {LONGEST_LINE} bytes: is it JSON lines?"
            )
        if taken.strip():
            yield taken.removeprefix(_BOM) if line == 1 else taken, line
        line += taken.count(b"\n")


def _block(name: str, data: bytes, first_line: int) -> Block:
    numbers = partial(_numbers, data, first_line)
    try:
        frame = pl.read_ndjson(data, infer_schema_length=None)
        if any(kind.is_nested() for kind in frame.schema.values()):
            frame = pl.read_ndjson(data, schema=dict.fromkeys(frame.columns, pl.String))
        if frame.height == data.count(b"\n") + (not data.endswith(b"\n")) or (
            frame.height == len(numbers())
        ):
            return Block(_as_text(frame), numbers)
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException):
        pass
    return _line_by_line(name, data, first_line)


def _line_by_line(name: str, data: bytes, first_line: int) -> Block:
    """The same where a line is no object, or rows do not agree in what a column holds."""
    lines, columns = data.split(b"\n"), dict[str, None]()
    good, kept, bad = list[bytes](), list[int](), list[int]()
    for at in _numbers(data, 0):
        found = _object(lines[at])
        if found is None:
            bad.append(at)
        else:
            columns |= dict.fromkeys(found)
            good.append(lines[at])
            kept.append(at)
    try:
        text = dict.fromkeys(columns, pl.String)
        frame = pl.read_ndjson(b"\n".join(good), schema=text) if columns else pl.DataFrame()
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException) as error:
        raise InputError(f"{name} must be JSON lines: {told(error)}") from error
    rejects = no_rejects()
    if bad:
        values = [lines[at].decode(errors="replace") for at in bad]
        nothing, reason = (pl.Series([text] * len(bad)) for text in ("", _RULE))
        rejects = rejects_of(np.array(bad) + first_line, nothing, reason, pl.Series(values))
    where = np.array(kept, dtype=np.int64) + first_line
    return Block(_as_text(frame), lambda: where, rejects)


def _numbers(data: bytes, first_line: int) -> Ints:
    """The number of every line that is not blank."""
    lines = enumerate(data.split(b"\n"), first_line)
    return np.array([number for number, line in lines if line.strip()], dtype=np.int64)


def _object(line: bytes) -> dict[str, object] | None:
    try:
        found = json.loads(line, parse_constant=_no_constant)
        json.dumps(found, ensure_ascii=False).encode()  # halves of a surrogate pair are no text
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) and found else None


def _no_constant(text: str) -> object:
    raise ValueError(text)  # NaN and Infinity are no JSON


def _as_text(frame: pl.DataFrame) -> pl.DataFrame:
    return frame.select(pl.all().cast(pl.String, strict=False).fill_null(""))
