"""`hdap plan`: what the representatives measure next."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hdap.cli.options.shared_options import DEFAULT_DB, AsJson, Db, Debug, Seed

if TYPE_CHECKING:
    from hdap.workflows.plan_measurements import PlannedBatch

NAME = "plan"


def run(
    model: Annotated[str, typer.Option("--model", help="A timm name, or package.module:factory.")],
    out: Annotated[Path, typer.Option("--out", help="Folder for the bundles; must be new.")],
    budget: Annotated[
        int | None,
        typer.Option("--budget", help="Measurements in all, over all clusters."),
    ] = None,
    per_cluster: Annotated[
        int | None,
        typer.Option("--per-cluster", help="Configurations a cluster measures.  [default: 50]"),
    ] = None,
    from_study: Annotated[
        str | None,
        typer.Option("--from-study", help="Half of the batch around this study's best trials."),
    ] = None,
    flops_range: Annotated[
        str | None,
        typer.Option(
            "--flops-range",
            help="FLOPs to spread over, 0.5G-2.4G. Default: 10%-60% and past budgets.",
        ),
    ] = None,
    levels: Annotated[
        Path | None,
        typer.Option(
            "--levels",
            help="levels.json of `hdap elastic plan`: every device measures its levels too; alone "
            "where nothing else is asked.",
        ),
    ] = None,
    portfolio: Annotated[
        int | None,
        typer.Option(
            "--portfolio",
            min=1,
            help="Number of a portfolio of `hdap portfolio build`: every device measures its "
            "variants too; alone where nothing else is asked.",
        ),
    ] = None,
    db: Db = DEFAULT_DB,
    seed: Seed = 0,
    as_json: AsJson = False,
    debug: Debug = False,
) -> None:
    """Choose pruned networks for the representatives to measure, and write them as bundles.

    A first batch fills the space; later ones go where the surrogates are unsure or the search wants
    to go. A bundle runs on a device that has Python and onnxruntime, nothing else.
    """
    from hdap.cli.terminal.open_store import open_store
    from hdap.cli.terminal.output import emit_json, progress_bar, say
    from hdap.requests.plan_request import PlanRequest
    from hdap.workflows.plan_measurements import make_plan
    from hdap.workflows.write_plan import require_free, write_plan

    require_free(out)
    request = PlanRequest(
        model, budget, per_cluster, from_study, flops_range, levels, portfolio, seed
    )
    with open_store(db, create=False) as store:
        batch = make_plan(store, request, say)
    with progress_bar("exporting networks") as bar:
        size = write_plan(batch, out, lambda done, total: bar(done, total, ""))
    emit_json(document(batch, out, size)) if as_json else show(batch, out, size)


def document(batch: "PlannedBatch", out: Path, size: int) -> dict[str, Any]:
    """The plan as `--json` prints it; errors are expected, not measured."""
    return {
        "model": batch.architecture.model,
        "clustering": batch.clustering.id,
        "out": str(out),
        "bytes": size,
        "flops_low": batch.low,
        "flops_high": batch.high,
        "step": batch.step,
        "guided": batch.guided,
        "measurements": batch.measurements,
        "new_configurations": batch.fresh,
        "known_configurations": batch.known,
        "seconds_per_device": batch.seconds,
        "expected_error": batch.expected_error,
        "expected_error_source": batch.curve.source,
        "bundles": [
            {
                "folder": str(out / b.name),
                "devices": list(b.devices),
                "configurations": len(b),
                "anchors": len(b.anchors),
            }
            for b in batch.bundles
        ],
    }


def _kind(batch: "PlannedBatch") -> str:
    alone = not any(len(b.candidates) for b in batch.bundles)
    if alone and batch.levels is not None:
        return f"Levels of {batch.levels}"
    if alone and batch.portfolio is not None:
        return f"Variants of portfolio {batch.portfolio}"
    return f"{'Guided' if batch.guided else 'First'} batch"


def show(batch: "PlannedBatch", out: Path, size: int) -> None:
    """The plan as a person reads it."""
    from hdap.cli.terminal.output import next_steps, percent, table
    from hdap.cli.terminal.output import out as page
    from hdap.fleet_data.costs import format_flops

    table(
        [
            ("folder", "left"),
            ("pruned networks", "right"),
            ("anchors among them", "right"),
            ("goes to devices", "left"),
        ],
        [
            [str(out / b.name), f"{len(b)}", f"{len(b.anchors)}", ", ".join(b.devices)]
            for b in batch.bundles
        ],
        title=f"{_kind(batch)} of {batch.architecture.model}",
    )
    clusters = len(batch.clustering.clusters)
    page().print(
        f"{batch.measurements:,} measurements of {batch.fresh:,} new configurations "
        f"({format_flops(batch.low)} to {format_flops(batch.high)} FLOPs) in {clusters} clusters, "
        f"the dense network beside them; about {max(1, round(batch.seconds / 60))} min a device; "
        f"{size / 1e6:.0f} MB",
        markup=False,
        soft_wrap=True,
    )
    page().print(
        f"expected held-out error afterwards: {percent(batch.expected_error)} (expected, not "
        f"promised: the learning curve of {batch.curve.source})",
        markup=False,
        soft_wrap=True,
    )
    first = batch.bundles[0]
    next_steps(
        f"hdap measure {out / first.name} --device-id {first.devices[0]}",
        f"hdap ingest {out}/*/measured-*.csv",
        f"hdap search --model {batch.architecture.model} --flops 25%",
    )
