"""`hdap sql`: questions to the database, read-only."""

import csv
import re
import sys
from collections.abc import Sequence
from itertools import islice

from hdap.cli.settings.fleet_commands import SqlCommand
from hdap.cli.terminal.open_store import open_store
from hdap.cli.terminal.output import emit_json, out, table, warn
from hdap.cli.terminal.streams import write
from hdap.fleet_data.errors import InputError
from hdap.fleet_data.records import QueryLimits, QueryResult, QueryRows

NUMBER = re.compile(r"-?(0|[1-9]\d*)(\.\d+)?([eE][-+]?\d+)?", re.ASCII)
MEMORY_MIB = 512
"""What SQLite may hold for one answer: sorts of millions of rows, on files beyond that."""


def run(asked: SqlCommand) -> None:
    """Ask, and print the rows."""
    if asked.as_csv + asked.as_md + asked.as_json > 1:
        raise InputError("`--csv`, `--md` and `--json` exclude each other; give one of them")
    values = parameters(asked.param)
    statement = sys.stdin.read() if asked.query == "-" else asked.query
    limits = QueryLimits(rows=asked.limit, seconds=asked.timeout, memory_mib=MEMORY_MIB)
    with open_store(asked.db, create=False, read_only=True) as store:
        if asked.as_csv:
            with store.asking(statement, values, limits) as found:
                truncated = _csv(found, asked.limit)
            remarks = found.remarks
        else:
            result = store.ask(statement, values, limits)
            printer = _json if asked.as_json else _markdown if asked.as_md else _show
            printer(result)
            truncated, remarks = result.truncated, result.remarks
    for remark in remarks:
        warn(remark)
    if truncated:
        warn(f"only the first {asked.limit} rows are shown; raise --limit to see more")


def parameters(texts: Sequence[str]) -> dict[str, int | float | str]:
    """`name=value` pairs; a value that is written as a number is one.

    Raises InputError for a text without a name.
    """
    pairs = [text.partition("=") for text in texts]
    for text, (name, equals, _) in zip(texts, pairs, strict=True):
        if not (name.isidentifier() and equals):
            raise InputError(f"`--param` must be NAME=VALUE, but got {text!r}: --param trial=7")
    return {name: _value(value) for name, _, value in pairs}


def _value(text: str) -> int | float | str:
    # 007 is a name, not a number
    if not NUMBER.fullmatch(text):
        return text
    return float(text) if set(text) & set(".eE") else int(text)


def _json(result: QueryResult) -> None:
    twice = next((c for c in result.columns if result.columns.count(c) > 1), None)
    if twice is not None:
        raise InputError(
            f"columns must have different names to be JSON, but `{twice}` comes more than once; "
            "give one another name: AS"
        )
    emit_json([dict(zip(result.columns, row, strict=True)) for row in result.rows], marked=False)


def _csv(found: QueryRows, limit: int) -> bool:
    """Rows as they are read, however many; whether there are more than the limit."""
    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow(found.columns)
    writer.writerows(islice(found.rows, limit))
    return next(found.rows, None) is not None


def _markdown(result: QueryResult) -> None:
    rows = [result.columns, *(["" if v is None else _cell(v) for v in row] for row in result.rows)]
    lines = ["| " + " | ".join(_escaped(cell) for cell in row) + " |" for row in rows]
    rule = "| " + " | ".join("--:" if right else "---" for right in _numeric(result)) + " |"
    write("\n".join([lines[0], rule, *lines[1:]]) + "\n")


def _escaped(cell: str) -> str:
    return " ".join(cell.split()).replace("\\", "\\\\").replace("|", "\\|")


def _numeric(result: QueryResult) -> list[bool]:
    """Which columns hold numbers alone."""
    columns = range(len(result.columns))
    return [all(isinstance(row[i], int | float | None) for row in result.rows) for i in columns]


def _show(result: QueryResult) -> None:
    """A table; one line a value where the rows are too wide for the page, as psql does."""
    cells = [["" if v is None else _cell(v) for v in row] for row in result.rows]
    widths = [max(map(len, column)) for column in zip(result.columns, *cells, strict=True)]
    if sum(widths) + 3 * len(widths) <= out().width:
        columns = zip(result.columns, _numeric(result), strict=True)
        table([(name, "right" if right else "left") for name, right in columns], cells)
        return
    longest = max(map(len, result.columns))
    for number, row in enumerate(cells, 1):
        out().print(f"-- row {number} of {len(cells)}", markup=False)
        for name, cell in zip(result.columns, row, strict=True):
            out().print(f"{name:<{longest}}  {cell}", markup=False, soft_wrap=True)


def _cell(value: object) -> str:
    return f"{value:.6g}" if isinstance(value, float) else str(value)
