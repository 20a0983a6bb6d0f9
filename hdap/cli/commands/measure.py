"""`hdap measure`: run a bundle on this machine."""

import asyncio
from collections.abc import Sequence
from pathlib import Path

import typer

from hdap.cli.commands import ingest
from hdap.cli.settings.fleet_commands import IngestCommand, MeasureCommand
from hdap.cli.tables.devices_watch import devices_watch, show_devices
from hdap.cli.terminal.next_steps import next_steps
from hdap.cli.terminal.output import warn
from hdap.device.measure.program import main
from hdap.fleet_data.errors import InputError
from hdap.fleet_data.extras import require
from hdap.remote.hosts import read_hosts
from hdap.workflows.next_commands import command_line, measured_files


def run(asked: MeasureCommand) -> None:
    """Measure here, and exit as the program does, or on the devices of a file."""
    if asked.on is not None:
        _on_devices(asked, asked.on)
        return
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
        kind = "sustained" if _after("--sustained", asked.rest) else "measured"
        named = _after("--out", asked.rest)
        written = measured_files(bundle, kind=kind)
        next_steps(command_line("ingest", named) if named else f"hdap ingest {written}")


def _on_devices(asked: MeasureCommand, file: Path) -> None:
    require("ssh")
    from hdap.remote.fleet_round import keep_rows, plan_round, run_round
    from hdap.remote.measuring import Patience

    round_ = plan_round(asked.bundle, read_hosts(file), asked.rest)
    patience = Patience(silent=60 * asked.give_up)
    with devices_watch([errand.device for errand in round_.errands]) as tell:
        try:
            ends = asyncio.run(run_round(round_, patience, tell))
        except KeyboardInterrupt:
            warn("devices go on alone; start the same again to watch them and fetch their rows")
            raise
    files = keep_rows(asked.bundle, round_, ends)
    show_devices(ends, round_.homeless)
    if files:
        ingest.run(IngestCommand(files=tuple(map(str, files)), db=asked.db))
    left = [end.device for end in ends if end.stage != "done"] + list(round_.homeless)
    if left:
        raise InputError(
            f"every device of the plan must bring its rows, but {len(left)} did not: "
            f"{', '.join(left)}; start the same again, or carry a bundle there by hand"
        )


def _after(flag: str, words: Sequence[str]) -> str:
    """What follows a flag among words; empty where it is not there."""
    for place, word in enumerate(words):
        if word == flag and place + 1 < len(words):
            return words[place + 1]
        if word.startswith(f"{flag}="):
            return word.partition("=")[2]
    return ""
