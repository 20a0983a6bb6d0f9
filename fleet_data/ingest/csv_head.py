"""What stands above the rows of a CSV: byte-order marks, comments, `sep=;`, the header."""

import csv
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

from hdap.fleet_data.errors import InputError
from hdap.fleet_data.ingest.column_names import Naming, fit, name_columns
from hdap.fleet_data.ingest.invisible import visible
from hdap.fleet_data.ingest.reading import AS_FOUND, SourceReading
from hdap.fleet_data.telemetry import HEADER_RULE, REQUIRED

BOM = "\ufeff"
_LONGEST_HEADER = 2**20
_MOST_LINES_ABOVE = 1000
_SEPARATOR = re.compile(r'"?sep=(.|\t)"?', re.IGNORECASE)
_DELIMITERS = ",;\t|"


class ByteStream(Protocol):
    """What is read here: files, pipes, gzip."""

    def read(self, size: int, /) -> bytes: ...
    def readline(self, size: int, /) -> bytes: ...


@dataclass(frozen=True)
class CsvHead:
    """What the columns are, what divides them, and the line that the first row stands in.

    `nameless` columns at the end of each row have no name in the header: they must be empty.
    """

    naming: Naming
    delimiter: str
    next_line: int
    nameless: int


def read_head(name: str, stream: ByteStream, reading: SourceReading = AS_FOUND) -> CsvHead:
    """The stream then stands at the first row. Raises InputError."""
    delimiter = reading.delimiter
    for number, text in _lines(name, stream):
        separator = _SEPARATOR.fullmatch(text)
        if separator and number == 1:
            delimiter = delimiter or separator[1]
        elif text.startswith("#"):
            uncommented = text.lstrip("# ")
            if len(REQUIRED) in _best(uncommented, delimiter, reading)[1]:
                return _head(name, uncommented, number, delimiter, reading)
        elif text:
            return _head(name, text, number, delimiter, reading)
    raise InputError(f"{name} must start with a header line, it is empty: {HEADER_RULE}")


def decode(name: str, data: bytes, line: int) -> str:
    """UTF-8 that begins in line `line`. Raises InputError."""
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        bad = line + data.count(b"\n", 0, error.start)
        raise InputError(
            f"{name} must be UTF-8, got byte 0x{data[error.start]:02x} in line {bad}: convert it, "
            "if it is Latin-1: iconv -f LATIN1 -t UTF-8 FILE | hdap ingest -"
        ) from error


def _lines(name: str, stream: ByteStream) -> Iterator[tuple[int, str]]:
    """Number and text of each line, without what nobody sees."""
    for number in range(1, _MOST_LINES_ABOVE + 1):
        line = stream.readline(_LONGEST_HEADER)
        if not line:
            return
        if b"\0" in line:
            raise InputError(
                f"{name} must be UTF-8 text, got NUL bytes (UTF-16?): convert it, e.g. "
                "iconv -f UTF-16LE -t UTF-8 FILE | hdap ingest -"
            )
        text = decode(name, line, number).rstrip("\r\n").lstrip(BOM)
        if "\r" in text:
            raise InputError(
                f"{name} must end its lines with LF or CRLF, got bare CR: convert it: "
                r"tr '\r' '\n' < FILE | hdap ingest -"
            )
        # a tab is whitespace, and an empty name between tabs
        yield number, text if visible(text) else ""
    raise InputError(
        f"{name} must have its header in the first {_MOST_LINES_ABOVE} lines, they are comments "
        f"and blank lines: {HEADER_RULE}"
    )


def _head(name: str, text: str, number: int, delimiter: str, reading: SourceReading) -> CsvHead:
    found, _ = _best(text, delimiter, reading)
    try:
        columns = _split(text, found)
    except csv.Error as error:
        raise InputError(f"{name} has a header that is no CSV ({error}): {HEADER_RULE}") from error
    named = len(columns)
    while named > 1 and not columns[named - 1]:
        named -= 1
    naming = name_columns(name, columns[:named], reading)
    return CsvHead(naming, found, number + 1, len(columns) - named)


def _best(text: str, said: str, reading: SourceReading) -> tuple[str, tuple[int, int]]:
    """What divides a header best: into how many required columns, and common names of theirs."""
    fits = {}
    for delimiter in said or _DELIMITERS:
        try:
            fits[delimiter] = fit(_split(text, delimiter), reading)
        except csv.Error:
            fits[delimiter] = (0, 0)
    best = max(fits, key=lambda delimiter: fits[delimiter])
    return best, fits[best]


def _split(text: str, delimiter: str) -> tuple[str, ...]:
    return tuple(map(visible, next(csv.reader([text], delimiter=delimiter, strict=True))))
