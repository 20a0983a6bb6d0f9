"""What every command takes beside its own options, added in one place: -q, -v, --dump-config."""

import functools
import inspect
from collections.abc import Callable
from typing import Annotated, Any

import typer

from hdap.cli.options.config_file import effective, table_of
from hdap.cli.terminal.output import QUIET, USUAL, VERBOSE, report_usage, set_verbosity

Quiet = Annotated[
    bool, typer.Option("--quiet", "-q", help="Print results, warnings and errors, nothing else.")
]
Verbose = Annotated[
    bool,
    typer.Option("--verbose", "-v", help="Say when each step began, and what it all took."),
]
Dump = Annotated[
    bool,
    typer.Option(
        "--dump-config", help="Print the settings as they would be used, as hdap.toml, and stop."
    ),
]
ADDED = {"quiet": Quiet, "verbose": Verbose, "dump_config": Dump}


def with_common_options(run: Callable[..., None]) -> Callable[..., None]:
    """A command's function with the options of `ADDED`; its own are left as they are."""
    signature = inspect.signature(run)
    own = dict(signature.parameters)
    asked = [p.name for p in own.values() if p.annotation is typer.Context]
    context = asked[0] if asked else "context"

    @functools.wraps(run)
    def command(**values: Any) -> None:
        added = {name: values.pop(name) for name in ADDED}
        at = values[context] if asked else values.pop(context)
        if added["dump_config"]:
            typer.echo(table_of(_words(at), effective(at.command, values)), nl=False)
            return
        set_verbosity(QUIET if added["quiet"] else VERBOSE if added["verbose"] else USUAL)
        run(**values)
        report_usage()

    keyword = inspect.Parameter.KEYWORD_ONLY
    more = [] if asked else [inspect.Parameter(context, keyword, annotation=typer.Context)]
    more += [
        inspect.Parameter(name, keyword, default=False, annotation=kind)
        for name, kind in ADDED.items()
    ]
    parameters = [p.replace(kind=keyword) for p in own.values()] + more
    command.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]
    command.__annotations__ = {p.name: p.annotation for p in parameters} | {"return": None}
    return command


def _words(context: typer.Context) -> str:
    """The command as it is typed after `hdap`."""
    above = context.parent
    inner = above is not None and above.parent is not None
    return f"{_words(above)} {context.info_name}" if inner else str(context.info_name)  # type: ignore[arg-type]
