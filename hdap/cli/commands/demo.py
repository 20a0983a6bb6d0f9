"""`hdap demo`: the main job on the bundled measured fleet."""

import tempfile
from importlib.resources import as_file, files
from pathlib import Path
from typing import Annotated

import typer

from hdap.cli.options.shared_options import Debug, Seed

NAME = "demo"
FLEET = "microfleet-resnet50.csv.gz"


def run(
    flops: Annotated[str, typer.Option("--flops", help="Budget of the search.")] = "1.0G",
    trials: Annotated[int, typer.Option("--trials", min=1, help="Trials of the search.")] = 2000,
    keep: Annotated[
        Path | None,
        typer.Option("--keep", help="Write the database here; a temporary file if left out."),
    ] = None,
    seed: Seed = 0,
    debug: Debug = False,
) -> None:
    """Ingest, cluster, fit and search the bundled fleet of 24 emulated devices.

    Every latency in it was measured: ResNet-50 with ONNX Runtime on one machine under 24 CPU quotas
    and memory loads. What the search says of new networks is predicted from them.
    """
    from hdap.cli.commands import cluster, fit, ingest, search
    from hdap.cli.settings.fleet_commands import ClusterCommand
    from hdap.cli.settings.search_commands import SearchCommand
    from hdap.cli.terminal.output import next_steps, out
    from hdap.requests.fleet_requests import ClusteringChoice
    from hdap.requests.search_request import SearchRequest

    path = keep or Path(tempfile.mkdtemp(prefix="hdap-demo-")) / "hdap.db"
    db = str(path)
    with as_file(files("hdap") / "data" / FLEET) as fleet:
        _heading(f"hdap ingest {FLEET}")
        ingest.run([str(fleet)], db=db)
    _heading("hdap cluster")
    cluster.run(ClusterCommand(choice=ClusteringChoice("hdbscan", seed=seed), db=db))
    _heading("hdap fit --model resnet50")
    fit.run("resnet50", db=db, seed=seed)
    _heading(f"hdap search --model resnet50 --flops {flops}")
    request = SearchRequest("resnet50", flops, trials=trials, seed=seed)
    search.run(SearchCommand(request=request, db=db))
    out().print(f"\nthe database of this demo: {path}", soft_wrap=True, markup=False)
    next_steps(
        f"export HDAP_DB={path}",
        'hdap sql "SELECT * FROM trial_summary"',
        "hdap ingest YOUR-TELEMETRY.csv --db yours.db",
    )


def _heading(command: str) -> None:
    from hdap.cli.terminal.output import out

    out().print(f"\n[bold cyan]$ {command}[/bold cyan]")
