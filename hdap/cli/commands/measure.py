"""`hdap measure`: run a bundle on this machine."""

import typer

from hdap.cli.settings.fleet_commands import MeasureCommand
from hdap.cli.terminal.output import next_steps
from hdap.device.measure.program import main
from hdap.fleet_data.errors import InputError


def run(asked: MeasureCommand) -> None:
    """Measure, and exit as the program does."""
    bundle = asked.bundle
    if not (bundle / "manifest.json").is_file():
        nested = sorted(str(p.parent) for p in bundle.glob("*/manifest.json"))
        hint = f"name one of {', '.join(nested)}" if nested else "make one: hdap plan"
        raise InputError(f"a bundle must hold a manifest.json, but {bundle} does not; {hint}")
    try:
        status = main(["--bundle", str(bundle), *asked.rest])
    except SystemExit as end:  # argparse, on wrong usage
        status = end.code if isinstance(end.code, int) else 1
    if status:
        raise typer.Exit(status)
    next_steps(f"hdap ingest {bundle}/measured-*.csv")
