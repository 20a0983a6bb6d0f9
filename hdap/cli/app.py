"""The command line application: its commands, and what an error looks like on a terminal."""

import sys
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from hdap.cli.options.config_file import (
    ENVIRONMENT,
    config_file,
    defaults,
    named_tables,
    read_config,
    table_of,
)
from hdap.cli.options.from_dataclass import command, context_settings
from hdap.cli.options.trust import FoundSettings
from hdap.cli.settings.demo_command import DemoCommand
from hdap.cli.settings.fleet_commands import (
    ClusterCommand,
    DevicesCommand,
    FitCommand,
    IngestCommand,
    MeasureCommand,
    ModelCommand,
    PlanCommand,
    PruneHistoryCommand,
    ReduceCommand,
    SimulateCommand,
    SqlCommand,
    StatusCommand,
    WatchCommand,
)
from hdap.cli.settings.report_commands import DashboardCommand, PlotCommand, ReportCommand
from hdap.cli.settings.search_commands import (
    AssignCommand,
    ExportCommand,
    PruneCommand,
    SearchCommand,
    TrialsCommand,
    VerifyCommand,
)
from hdap.cli.settings.training_commands import (
    CompressCommand,
    ElasticDeployCommand,
    ElasticPlanCommand,
    ElasticTrainCommand,
    FinetuneCommand,
    PortfolioBuildCommand,
    PortfolioServeCommand,
    PortfolioTrainCommand,
)
from hdap.cli.terminal.output import error_line
from hdap.cli.terminal.streams import nobody_reads, outlive_readers, write
from hdap.device.messages import DeviceError
from hdap.device.one_line import end_in_a_line
from hdap.fleet_data.errors import HdapError

COMMANDS: dict[str, type] = {
    "ingest": IngestCommand,
    "reduce": ReduceCommand,
    "devices": DevicesCommand,
    "model": ModelCommand,
    "cluster": ClusterCommand,
    "plan": PlanCommand,
    "measure": MeasureCommand,
    "fit": FitCommand,
    "search": SearchCommand,
    "trials": TrialsCommand,
    "assign": AssignCommand,
    "verify": VerifyCommand,
    "sql": SqlCommand,
    "prune": PruneCommand,
    "finetune": FinetuneCommand,
    "compress": CompressCommand,
    "export": ExportCommand,
    "status": StatusCommand,
    "watch": WatchCommand,
    "prune-history": PruneHistoryCommand,
    "simulate": SimulateCommand,
    "demo": DemoCommand,
    "report": ReportCommand,
    "plot": PlotCommand,
    "dashboard": DashboardCommand,
    "elastic plan": ElasticPlanCommand,
    "elastic train": ElasticTrainCommand,
    "elastic deploy": ElasticDeployCommand,
    "portfolio train": PortfolioTrainCommand,
    "portfolio build": PortfolioBuildCommand,
    "portfolio serve": PortfolioServeCommand,
}
"""What each command takes, by the words it is typed as, in the order of the help. The file of a
command, `hdap.cli.commands.NAME`, is imported when the command runs."""
GROUPS = {
    "elastic": "One set of weights that runs at several levels of cost: plan them, train them.",
    "portfolio": "Several networks of one model: train, build and swap them while they serve.",
}


class _Commands(TyperGroup):
    """Turns errors into one line and an exit status: 1 a problem, 130 Ctrl-C. Output that nobody
    reads to its end (`| head`) is no problem."""

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except HdapError as error:
            error_line(str(error))
            raise typer.Exit(1) from error
        except BrokenPipeError as error:  # of what prints past our consoles
            nobody_reads(sys.stdout)
            raise typer.Exit(0) from error
        except KeyboardInterrupt as error:
            error_line("stopped by Ctrl-C; what was stored is kept")
            raise typer.Exit(130) from error


def _typer(**settings: Any) -> typer.Typer:
    names = {"help_option_names": ["-h", "--help"]}
    return typer.Typer(no_args_is_help=True, context_settings=names, **settings)


app = _typer(
    cls=_Commands,
    invoke_without_command=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
)


def _print_settings(context: typer.Context) -> None:
    for words, wanted in COMMANDS.items():
        configured: Any = context.default_map or {}
        for word in words.split():
            configured = configured.get(word, {})
        write(table_of(words, defaults(wanted, configured)) + "\n")
    for table in named_tables(context.default_map or {}, COMMANDS):
        write(table + "\n")
    raise typer.Exit


def _print_version(wanted: bool) -> None:
    if wanted:
        write(f"hdap {version('hdap')}\n")
        raise typer.Exit


@app.callback()
def hdap(
    context: typer.Context,
    config: Annotated[
        Path | None,
        typer.Option(
            "--config",
            envvar=ENVIRONMENT,
            help="Settings of all commands. Default: hdap.toml, where there is one.",
        ),
    ] = None,
    dump_config: Annotated[
        bool,
        typer.Option(
            "--dump-config", help="Print all settings as they would be used, as hdap.toml."
        ),
    ] = False,
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
    found = config_file(config)
    if found is not None:
        context.default_map = read_config(found, COMMANDS)
        context.obj = FoundSettings(found) if config is None else None
    if dump_config:
        _print_settings(context)
    if context.invoked_subcommand is None:
        context.fail("Missing command.")


def _add_commands() -> None:
    groups = {name: _typer(help=told) for name, told in GROUPS.items()}
    for words, wanted in COMMANDS.items():
        group, _, name = words.rpartition(" ")
        at = groups[group] if group else app
        at.command(name, context_settings=context_settings(wanted))(command(words, wanted))
    for name, group_app in groups.items():
        app.add_typer(group_app, name=name)


_add_commands()


def main() -> None:
    """Run the command line and end the process: a line and a status, whatever happens."""
    outlive_readers()
    sys.exit(end_in_a_line("error", app, "stopped by Ctrl-C", (HdapError, DeviceError)))
