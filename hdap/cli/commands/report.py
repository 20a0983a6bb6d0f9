"""`hdap report`: the decision and everything that carries it, in one file."""

from dataclasses import asdict
from typing import Any

from rich.markup import escape

from hdap.cli.settings.report_commands import ReportCommand
from hdap.cli.terminal.next_steps import TELEMETRY, next_steps, telemetry_of_yours
from hdap.cli.terminal.open_store import open_store
from hdap.cli.terminal.output import emit_json, line, progress_bar, say
from hdap.fleet_data.atomic_files import require_place_of, writable
from hdap.fleet_data.wording import counted, megabytes
from hdap.report.pictures.picture_source import PictureSource
from hdap.report.write_report import Report, report


def run(asked: ReportCommand) -> None:
    """Write the page and say what it says first, what is in it and what is missing."""
    out = asked.out
    require_place_of(out)
    with (
        open_store(asked.db, create=False, read_only=True) as store,
        progress_bar("reporting") as bar,
    ):
        made = report(
            PictureSource.of(store, asked.study), lambda done, total: bar(done, total, "")
        )
        page = made.html()
    with writable(out):
        out.write_text(page, encoding="utf-8")
    size = len(page.encode())
    if asked.as_json:
        emit_json(_document(made) | {"out": str(out), "bytes": size})
        return
    shown = [section for section in made.sections if not section.empty]
    figures = sum(len(section.figures) for section in shown)
    told = f"{counted(len(shown), 'chapter')}, {counted(figures, 'picture')}"
    line(f"{out}: {told}, {megabytes(size)}, opens offline")
    for text in dict.fromkeys(text for section in made.sections for text in section.missing):
        say(f"not shown: {text}")
    decision = made.decision
    line(f"[bold]{escape(decision.headline)}[/bold]: {escape(decision.sentence)}", markup=True)
    for warning in decision.warnings:
        line(warning)
    for step in decision.steps:
        if TELEMETRY in step.command:
            telemetry_of_yours(step.command)
        else:
            next_steps(step.command)


def _document(made: Report) -> dict[str, Any]:
    return {
        "title": made.title,
        "decision": asdict(made.decision) | {"facts": dict(made.decision.facts)},
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
