"""The last lines of a command: what can be typed next, in the state that the command leaves.

`next:` works as it stands, `then:` once the lines above it were run; what needs something that only
the reader has names it.
"""

import shlex
from collections.abc import Sequence
from contextvars import ContextVar
from dataclasses import dataclass, replace

from rich.markup import escape

from hdap.cli.terminal.output import out, quiet
from hdap.fleet_data.units.set_aside import SetAside

WITHOUT_DATABASE = frozenset(
    {"demo", "export", "reduce", "simulate", "elastic deploy", "portfolio serve"}
)
"""Commands that take no --db; a test compares them with what the commands take."""
TELEMETRY = "TELEMETRY.csv"
"""How a command that is told names a file that only the reader has."""


@dataclass(frozen=True)
class Named:
    """Database and file of settings as they were named on this command line; empty: they were not,
    so the next command finds them by itself."""

    db: str = ""
    config: str = ""


_named: ContextVar[Named] = ContextVar("named", default=Named())  # noqa: B039


def remember_named(named: Named) -> None:
    """What the commands that are told from now on have to name too."""
    _named.set(named)


def name_database(db: str) -> None:
    """What the commands that are told from now on speak to."""
    _named.set(replace(_named.get(), db=db))


def told_aside(rows: SetAside) -> str:
    """Rows that were set aside, with the command that repairs them."""
    return rows.told(as_typed(rows.repair))


def as_typed(command: str) -> str:
    """A command of hdap with the database and the settings that this one was given."""
    first, _, rest = command.partition(" ")
    words = rest.split()
    if first != "hdap" or not words:
        return command
    named = _named.get()
    name = " ".join(words[:2]) if words[0] in ("elastic", "portfolio") else words[0]
    if named.config:
        command = f"hdap --config {shlex.quote(named.config)} {rest}"
    if named.db and name not in WITHOUT_DATABASE and "--db" not in words:
        from hdap.fleet_data.store.engine import without_password  # sqlalchemy takes a moment

        # a password stays off the screen, so that such a command has to be completed by hand
        command += f" --db {shlex.quote(without_password(named.db))}"
    return command


def next_steps(*commands: str, then: Sequence[str] = ()) -> None:
    """Commands that work as they stand, and what works once those were run."""
    for command in commands:
        _print("next:", command)
    for command in then:
        _print("then:", command)


def with_yours(what: str, command: str) -> None:
    """A command that needs something of the reader's own, `what`, which it names so."""
    _print(f"with {what} of yours:", command)


def telemetry_of_yours(command: str = f"hdap ingest {TELEMETRY}") -> None:
    """A command that needs a file of telemetry of the reader's own, which it calls TELEMETRY."""
    with_yours(TELEMETRY, command)


def _print(label: str, command: str) -> None:
    if not quiet():
        told = escape(as_typed(command))
        # one line whatever the width: it is there to be pasted
        out().print(f"[dim]{label}[/dim] [bold]{told}[/bold]", soft_wrap=True)
