"""`hdap reduce`: the statement that reduces telemetry where it is."""

from hdap.cli.settings.fleet_commands import ReduceCommand
from hdap.cli.terminal.output import note, say
from hdap.fleet_data.reduction.warehouse import statement


def run(asked: ReduceCommand) -> None:
    """Print it, and nothing else on standard output."""
    note(statement(asked.sql, asked.table, asked.column, asked.after))
    say("write its result as Parquet, then load that: hdap ingest reduced.parquet")
