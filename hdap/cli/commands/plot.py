"""`hdap plot`: one picture."""

from pathlib import Path
from typing import Annotated

import typer

from hdap.cli.options.shared_options import DEFAULT_DB, AsJson, Db, Debug

NAME = "plot"
KINDS = (
    *("fleet", "clusters", "latency", "parity", "learning"),
    *("history", "pareto", "layers", "promise", "training", "levels", "portfolio", "drift"),
)
"""Names of the registry, for help and completion that load nothing; a test compares them."""


def run(
    kind: Annotated[
        str,
        typer.Argument(help=f"One of {', '.join(KINDS)}.", autocompletion=lambda: list(KINDS)),
    ],
    out: Annotated[
        Path, typer.Option("--out", help="The picture to write: .png, .svg or .html (interactive).")
    ],
    study: Annotated[
        str | None, typer.Option("--study", help="Which study; the latest if left out.")
    ] = None,
    model: Annotated[
        str | None, typer.Option("--model", help="Which model; that of the study if left out.")
    ] = None,
    look: Annotated[
        str, typer.Option("--look", help="light or dark; .html follows the reader.")
    ] = ("light"),
    db: Db = DEFAULT_DB,
    as_json: AsJson = False,
    debug: Debug = False,
) -> None:
    """Draw one picture of what the database holds."""
    from hdap.cli.terminal.extras import require
    from hdap.cli.terminal.open_store import open_store
    from hdap.cli.terminal.output import emit_json, line, next_steps
    from hdap.fleet_data.errors import InputError

    require("report")
    from hdap.report.pictures.looks import LOOKS
    from hdap.report.pictures.registry import picture, picture_kind

    picture_kind(kind)
    if look not in LOOKS:
        raise InputError(f"the look must be one of {', '.join(LOOKS)}, but got {look!r}")
    with open_store(db, create=False, read_only=True) as store:
        figure = picture(store, kind, study, model)
    figure.write(out, LOOKS[look])
    if as_json:
        emit_json({"out": str(out), "kind": kind, "says": figure.says, "notes": list(figure.notes)})
        return
    line(f"{out}: {figure.says}")
    for note in figure.notes:
        line(note)
    next_steps("hdap report --out report.html")
