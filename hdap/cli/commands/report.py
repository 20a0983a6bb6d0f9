"""`hdap report`: everything there is to see, in one file."""

from hdap.cli.settings.report_commands import ReportCommand
from hdap.cli.terminal.open_store import open_store
from hdap.cli.terminal.output import emit_json, line, next_steps, progress_bar, say
from hdap.fleet_data.atomic_files import require_folder_of
from hdap.report.pictures.picture_source import PictureSource
from hdap.report.write_report import report


def run(asked: ReportCommand) -> None:
    """Write the page and say what is in it and what is missing."""
    out = asked.out
    require_folder_of(out)
    with (
        open_store(asked.db, create=False, read_only=True) as store,
        progress_bar("reporting") as bar,
    ):
        made = report(
            PictureSource.of(store, asked.study), lambda done, total: bar(done, total, "")
        )
        page = made.html()
    out.write_text(page, encoding="utf-8")
    figures = sum(len(section.figures) for section in made.sections)
    missing = [text for section in made.sections for text in section.missing]
    if asked.as_json:
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
