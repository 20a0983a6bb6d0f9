"""`hdap demo`: the main job on the bundled measured fleet."""

import tempfile
from dataclasses import replace
from importlib.resources import as_file, files
from pathlib import Path

from hdap.cli.commands import cluster, fit, ingest, search
from hdap.cli.settings.demo_command import FLEETS, DemoCommand
from hdap.cli.settings.fleet_commands import ClusterCommand, FitCommand, IngestCommand
from hdap.cli.settings.search_commands import SearchCommand
from hdap.cli.terminal.next_steps import TELEMETRY, name_database, next_steps, telemetry_of_yours
from hdap.cli.terminal.output import note, out
from hdap.fleet_data.errors import InputError
from hdap.requests.clustering_choice import ClusteringChoice
from hdap.requests.search_request import SearchRequest
from hdap.workflows.next_commands import command_line, free_name


def run(asked: DemoCommand) -> None:
    """Run the commands one after the other, each under the line that would run it."""
    fleet = FLEETS.get(asked.fleet)
    if fleet is None:
        raise InputError(f"--fleet must be one of {', '.join(FLEETS)}, but got {asked.fleet!r}")
    model, flops = fleet.model, asked.flops or fleet.flops
    path = asked.keep or Path(tempfile.mkdtemp(prefix="hdap-demo-")) / "hdap.db"
    db = str(path)
    name_database(db)
    with as_file(files("hdap") / "data" / fleet.file) as telemetry:
        _heading(f"hdap ingest {fleet.file}")
        ingest.run(IngestCommand(files=(str(telemetry),), db=db))
    _heading("hdap cluster")
    cluster.run(ClusterCommand(choice=ClusteringChoice("hdbscan", seed=asked.seed), db=db))
    _heading(f"hdap fit --model {model}")
    fit.run(FitCommand(model=model, db=db, seed=asked.seed))
    one = SearchRequest(model, flops, trials=asked.trials, seed=asked.seed)
    latency = asked.latency or fleet.latency
    several = SearchRequest(model, latency=latency, networks=3, seed=asked.seed)
    words: tuple[str, ...] = ("--model", model, "--flops", flops)
    searches = [(words, one)]
    if fleet.moved:
        searches.append(((*words, "--fleet-as", fleet.moved), replace(one, fleet_as=fleet.moved)))
    searches.append((("--model", model, "--latency", latency, "--networks", "3"), several))
    for words, request in searches:
        _heading(command_line("search", *words))
        search.run(SearchCommand(request=request, db=db))
    note(f"\nthe database of this demo: {path}")
    next_steps(
        command_line("sql", "SELECT * FROM trial_summary", "--db", path),
        command_line("plot", "sizes", "--out", free_name("sizes.png"), "--db", path),
    )
    telemetry_of_yours(f"hdap ingest {TELEMETRY} --db yours.db")


def _heading(command: str) -> None:
    out().print(f"\n[bold cyan]$ {command}[/bold cyan]")
