"""`hdap report`: everything there is to see, in one file."""

from pathlib import Path
from typing import Annotated

import typer

from hdap.cli.options.shared_options import DEFAULT_DB, AsJson, Db, Debug

NAME = "report"


def run(
    out: Annotated[Path, typer.Option("--out", help="The HTML file to write.")] = Path(
        "report.html"
    ),
    study: Annotated[
        str | None, typer.Option("--study", help="Which study; the latest if left out.")
    ] = None,
    db: Db = DEFAULT_DB,
    as_json: AsJson = False,
    debug: Debug = False,
) -> None:
    """Write what the database holds as one page: fleet, clusters, surrogates, search, proof, drift.

    The file opens offline, on a phone and on paper. What is not there yet is said where it would
    stand, with the command that makes it.
    """
    from hdap.cli.terminal.extras import require
    from hdap.cli.terminal.open_store import open_store
    from hdap.cli.terminal.output import emit_json, line, next_steps, progress_bar, say
    from hdap.fleet_data.errors import InputError

    require("report")
    if not out.parent.is_dir():
        raise InputError(f"the folder must exist, but there is no {out.parent}: create it")
    from hdap.report.pictures.picture_source import PictureSource
    from hdap.report.write_report import report

    with open_store(db, create=False, read_only=True) as store, progress_bar("reporting") as bar:
        made = report(PictureSource.of(store, study), lambda done, total: bar(done, total, ""))
        page = made.html()
    out.write_text(page, encoding="utf-8")
    figures = sum(len(section.figures) for section in made.sections)
    missing = [text for section in made.sections for text in section.missing]
    if as_json:
        emit_json(
            {
                "out": str(out),
                "bytes": len(page.encode()),
                "title": made.title,
                "sections": [
                    {
                        "section": section.name,
                        "figures": [figure.name for figure in section.figures],
                        "tables": [table.title for table in section.tables],
                        "missing": section.missing,
                    }
                    for section in made.sections
                ],
            }
        )
        return
    line(
        f"{out}: {len(made.sections)} sections, {figures} pictures, "
        f"{len(page.encode()) / 1e6:.1f} MB, opens offline"
    )
    for text in dict.fromkeys(missing):
        say(f"not shown: {text}")
    next_steps("hdap plot pareto --out pareto.png", "hdap dashboard")
