"""The header of a file: the one thing that refuses a file whole."""

import csv
from collections import Counter

from hdap.fleet_data.errors import InputError
from hdap.fleet_data.telemetry import BY_NAME, REQUIRED

_OTHER_DELIMITERS = {";": "semicolons", "\t": "tabs", "|": "bars"}


def parse_header(name: str, line: str) -> tuple[str, ...]:
    """Column names of a CSV's first line. Raises InputError."""
    if not line.strip():
        raise InputError(f"{name} must start with a header line, it is empty: {_remedy()}")
    text = line.rstrip("\r\n")
    if "\r" in text:
        raise InputError(f"{name} must end its lines with LF or CRLF, got bare CR: convert it")
    try:
        columns = tuple(column.strip() for column in next(csv.reader([text], strict=True)))
    except csv.Error as error:
        raise InputError(f"{name} has a header that is no CSV ({error}): {_remedy()}") from error
    _check_delimiter(name, text, columns)
    check_columns(name, columns)
    return columns


def check_columns(name: str, columns: tuple[str, ...]) -> None:
    """All required columns are there, and none twice. Raises InputError."""
    missing = [column for column in REQUIRED if column not in columns]
    if missing:
        alike = [c for c in columns if c not in BY_NAME and c.lower().strip("# ") in missing]
        hint = f"rename {', '.join(map(repr, alike))}" if alike else _remedy()
        raise InputError(
            f"{name} must have the columns {', '.join(REQUIRED)}, "
            f"missing: {', '.join(missing)}: {hint}"
        )
    twice = [column for column, count in Counter(columns).items() if count > 1]
    if twice:
        shown = ", ".join(repr(column) for column in twice[:5])
        raise InputError(f"{name} must name each column once, got {shown} again: rename one")


def _check_delimiter(name: str, text: str, columns: tuple[str, ...]) -> None:
    if all(column in columns for column in REQUIRED):
        return
    for delimiter, called in _OTHER_DELIMITERS.items():
        split = {column.strip(' "') for column in text.split(delimiter)}
        if split.issuperset(REQUIRED):
            raise InputError(f"{name} must separate columns by commas, got {called}: convert it")


def _remedy() -> str:
    return f"the first line names the columns, at least {','.join(REQUIRED)}"
