"""What the columns of a file seem to be, shown and agreed to before anything is stored."""

import shlex
from dataclasses import replace
from pathlib import Path

import typer
from rich.markup import escape
from rich.table import Table

from hdap.cli.terminal.output import can_ask, err, say
from hdap.fleet_data.ingest import check_source
from hdap.fleet_data.ingest.column_names import ColumnsProposed, Naming
from hdap.fleet_data.ingest.preview import ROWS, Preview, preview
from hdap.fleet_data.ingest.readers.row_facts import RowFacts
from hdap.fleet_data.ingest.reading import SourceReading


def agree_to_columns(
    source: Path | str, reading: SourceReading, facts: RowFacts, *, unit_said: bool
) -> SourceReading:
    """How to read a file, its header checked; a pipe is not looked at.

    Common names of columns are shown with the first rows and taken where `reading` agrees, or a
    person on a terminal does. Raises InputError for a wrong header, and where nobody agrees.
    """
    try:
        check_source(source, facts, replace(reading, agreed=False))
    except ColumnsProposed as proposed:
        _show(source, proposed.proposal, preview(source, reading, facts), unit_said=unit_said)
        if not reading.agreed:
            if not can_ask() or not typer.confirm("Is that so?", default=False, err=True):
                raise
            say(f"the same without a question: {options(proposed.proposal)}")
        return replace(reading, agreed=True)
    return reading


def options(naming: Naming) -> str:
    """The flags that say what was proposed."""
    said = [f"--map {shlex.quote(f'{theirs}={ours}')}" for theirs, ours in naming.taken]
    return " ".join([*said, *([f"--unit {naming.unit}"] if naming.unit else [])])


def _show(source: Path | str, naming: Naming, first: Preview | None, *, unit_said: bool) -> None:
    table = Table("column", "seems to be", box=None, pad_edge=False, title_justify="left")
    for row in range(ROWS if first is None else len(first.rows)):
        table.add_column(f"row {row + 1}", overflow="fold")
    for theirs, ours in naming.taken:
        unit = f" in {naming.unit or 'ms'}" if ours == "latency_ms" and not unit_said else ""
        cells = () if first is None else first.sample(ours)
        table.add_row(*map(escape, (theirs, f"{ours}{unit}", *cells)))
    err().print(f"{source}:", markup=False, soft_wrap=True)
    err().print(table)
