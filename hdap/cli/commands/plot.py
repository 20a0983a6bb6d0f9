"""`hdap plot`: one picture."""

from hdap.cli.settings.report_commands import PlotCommand
from hdap.cli.terminal.next_steps import next_steps
from hdap.cli.terminal.open_store import open_store
from hdap.cli.terminal.output import emit_json, line
from hdap.fleet_data.errors import InputError
from hdap.report.pictures.looks import LOOKS
from hdap.report.pictures.registry import PICTURES, picture


def run(asked: PlotCommand) -> None:
    """Draw, write and say what the picture shows."""
    PICTURES[asked.kind]  # an unknown one is refused before the database is opened
    if asked.look not in LOOKS:
        raise InputError(f"the look must be one of {', '.join(LOOKS)}, but got {asked.look!r}")
    with open_store(asked.db, create=False, read_only=True) as store:
        figure = picture(store, asked.kind, asked.study, asked.model)
    figure.write(asked.out, LOOKS[asked.look])
    if asked.as_json:
        document = {"out": str(asked.out), "kind": asked.kind, "says": figure.says}
        emit_json(document | {"notes": list(figure.notes)})
        return
    line(f"{asked.out}: {figure.says}")
    for note in figure.notes:
        line(note)
    next_steps("hdap report --out report.html")
