"""The command line application: commands, and what an error looks like on a terminal."""

import sys
import traceback
from importlib.metadata import version
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from hdap.cli import (
    cluster,
    demo,
    devices,
    export,
    fit,
    ingest,
    measure,
    model,
    plan,
    prune,
    search,
    simulate,
    sql,
    status,
    trials,
    verify,
)
from hdap.cli.output import error_line
from hdap.fleet_data.errors import HdapError


class _Commands(TyperGroup):
    """Turns errors into one line and an exit status: 1 a problem, 130 Ctrl-C."""

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except HdapError as error:
            if "--debug" in sys.argv:
                traceback.print_exc()
            error_line(str(error))
            raise typer.Exit(1) from error
        except KeyboardInterrupt as error:
            error_line("stopped by Ctrl-C; what was stored is kept")
            raise typer.Exit(130) from error


app = typer.Typer(
    cls=_Commands,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"hdap {version('hdap')}")
        raise typer.Exit


@app.callback()
def hdap(
    _version: Annotated[
        bool,
        typer.Option(
            "--version", help="Print the version.", callback=_print_version, is_eager=True
        ),
    ] = False,
) -> None:
    """Prune one network for a fleet: thousands of devices, one label, different speeds.

    Two commands do the job: [bold]hdap ingest telemetry.csv[/bold], then
    [bold]hdap search --model resnet50 --flops 1.0G[/bold].
    """


_MODULES = (
    *(ingest, devices, model, cluster, plan, measure, fit, search, trials, verify, sql),
    *(prune, export, status, simulate, demo),
)
for _module in _MODULES:
    app.command(_module.NAME, context_settings=getattr(_module, "SETTINGS", None))(_module.run)


def main() -> None:
    """Entry point of the `hdap` script."""
    app()
