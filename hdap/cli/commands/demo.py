"""`hdap demo`: the main job on the bundled measured fleet."""

import tempfile
from dataclasses import replace
from importlib.resources import as_file, files
from pathlib import Path

from hdap.cli.commands import cluster, fit, ingest, search
from hdap.cli.settings.fleet_commands import ClusterCommand, DemoCommand, FitCommand, IngestCommand
from hdap.cli.settings.search_commands import SearchCommand
from hdap.cli.terminal.next_steps import TELEMETRY, next_steps, telemetry_of_yours
from hdap.cli.terminal.output import note, out
from hdap.requests.clustering_choice import ClusteringChoice
from hdap.requests.search_request import SearchRequest
from hdap.workflows.next_commands import command_line, free_name

MOVED = "firmware=2:100%"
"""What a roll-out ends in."""


def run(asked: DemoCommand) -> None:
    """Run the commands one after the other, each under the line that would run it."""
    path = asked.keep or Path(tempfile.mkdtemp(prefix="hdap-demo-")) / "hdap.db"
    db = str(path)
    bundled = f"{asked.fleet}-resnet50.csv.gz"
    with as_file(files("hdap") / "data" / bundled) as fleet:
        _heading(f"hdap ingest {bundled}")
        ingest.run(IngestCommand(files=(str(fleet),), db=db))
    _heading("hdap cluster")
    cluster.run(ClusterCommand(choice=ClusteringChoice("hdbscan", seed=asked.seed), db=db))
    _heading("hdap fit --model resnet50")
    fit.run(FitCommand(model="resnet50", db=db, seed=asked.seed))
    _heading(f"hdap search --model resnet50 --flops {asked.flops}")
    request = SearchRequest("resnet50", asked.flops, trials=asked.trials, seed=asked.seed)
    search.run(SearchCommand(request=request, db=db))
    if asked.fleet == "rollout":
        words = ("--model", "resnet50", "--flops", asked.flops, "--fleet-as", MOVED)
        _heading(command_line("search", *words))
        search.run(SearchCommand(request=replace(request, fleet_as=MOVED), db=db))
    _heading(f"hdap search --model resnet50 --latency {asked.latency} --networks 3")
    several = SearchRequest("resnet50", latency=asked.latency, networks=3, seed=asked.seed)
    search.run(SearchCommand(request=several, db=db))
    note(f"\nthe database of this demo: {path}")
    next_steps(
        command_line("sql", "SELECT * FROM trial_summary", "--db", path),
        command_line("plot", "sizes", "--out", free_name("sizes.png"), "--db", path),
    )
    telemetry_of_yours(f"hdap ingest {TELEMETRY} --db yours.db")


def _heading(command: str) -> None:
    out().print(f"\n[bold cyan]$ {command}[/bold cyan]")
