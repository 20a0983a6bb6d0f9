"""`hdap sql`: questions to the database, read-only."""

import csv
import sys
from typing import TYPE_CHECKING, Annotated

import typer

from hdap.cli.options import DEFAULT_DB, AsJson, Db, Debug

if TYPE_CHECKING:
    from hdap.fleet_data.records import QueryResult

NAME = "sql"


def run(
    query: Annotated[str, typer.Argument(help="One SQL statement.")],
    as_csv: Annotated[bool, typer.Option("--csv", help="Print CSV with a header.")] = False,
    limit: Annotated[
        int, typer.Option("--limit", min=1, help="Rows to print at most; says so when it cuts.")
    ] = 1000,
    db: Db = DEFAULT_DB,
    as_json: AsJson = False,
    debug: Debug = False,
) -> None:
    """Ask the database in SQL. It is opened read-only: nothing can be changed.

    Tables: devices, configurations, measurements, ingests, clusterings, clusters, cluster_devices,
    surrogates, studies, trials, trial_channels, trial_clusters, verifications. Views: telemetry,
    best_trials, pareto_trials, trial_summary and trials_MODEL with one column a width group.
    """
    from hdap.cli.opening import open_store
    from hdap.cli.output import emit_json, warn
    from hdap.fleet_data.errors import InputError

    if as_csv and as_json:
        raise InputError("`--csv` and `--json` exclude each other; give one of them")
    with open_store(db, create=False, read_only=True) as store:
        result = store.query(query, limit=limit)
    if as_json:
        emit_json(
            [dict(zip(result.columns, row, strict=True)) for row in result.rows], marked=False
        )
    elif as_csv:
        writer = csv.writer(sys.stdout, lineterminator="\n")
        writer.writerow(result.columns)
        writer.writerows(result.rows)
    else:
        _show(result)
    if result.truncated:
        warn(f"only the first {limit} rows are shown; raise --limit to see more")


def _show(result: "QueryResult") -> None:
    """A table; one line a value where the rows are too wide for the page, as psql does."""
    from hdap.cli.output import out, table

    cells = [["" if v is None else _cell(v) for v in row] for row in result.rows]
    widths = [max(map(len, column)) for column in zip(result.columns, *cells, strict=True)]
    if sum(widths) + 3 * len(widths) <= out().width:
        numeric = [
            all(isinstance(row[i], int | float | None) for row in result.rows)
            for i in range(len(result.columns))
        ]
        columns = zip(result.columns, numeric, strict=True)
        table([(name, "right" if right else "left") for name, right in columns], cells)
        return
    longest = max(map(len, result.columns))
    for number, row in enumerate(cells, 1):
        out().print(f"-- row {number} of {len(cells)}", markup=False)
        for name, cell in zip(result.columns, row, strict=True):
            out().print(f"{name:<{longest}}  {cell}", markup=False, soft_wrap=True)


def _cell(value: object) -> str:
    return f"{value:.6g}" if isinstance(value, float) else str(value)
