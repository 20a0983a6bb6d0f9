"""`hdap measure`: run a bundle on this machine."""

from collections.abc import Sequence

import typer

from hdap.cli.settings.fleet_commands import MeasureCommand
from hdap.cli.terminal.next_steps import next_steps
from hdap.device.measure.program import main
from hdap.fleet_data.errors import InputError
from hdap.workflows.next_commands import command_line, measured_files


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
    if not {"--list", "--dry-run"} & set(asked.rest):
        if _after("--sustained", asked.rest):
            next_steps(f"hdap ingest {measured_files(bundle, kind='sustained')}")
            return
        named = _after("--out", asked.rest)
        next_steps(
            command_line("ingest", named) if named else f"hdap ingest {measured_files(bundle)}"
        )


def _after(flag: str, words: Sequence[str]) -> str:
    """What follows a flag among words; empty where it is not there."""
    for place, word in enumerate(words):
        if word == flag and place + 1 < len(words):
            return words[place + 1]
        if word.startswith(f"{flag}="):
            return word.partition("=")[2]
    return ""
