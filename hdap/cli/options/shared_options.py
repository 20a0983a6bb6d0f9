"""Options that several commands share, written once so that they read alike everywhere."""

from typing import Annotated

import typer

Db = Annotated[
    str,
    typer.Option(
        "--db",
        envvar="HDAP_DB",
        help="Database: a SQLite file, or an SQLAlchemy URL such as postgresql://user@host/name.",
        show_default=True,
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON document for machines.")]
Debug = Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")]
Seed = Annotated[int, typer.Option("--seed", min=0, help="The same seed gives the same result.")]

DEFAULT_DB = "sqlite:///hdap.db"
