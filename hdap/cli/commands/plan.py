"""`hdap plan`: what the representatives measure next."""

from pathlib import Path
from typing import Any

from hdap.cli.settings.fleet_commands import PlanCommand
from hdap.cli.terminal.open_store import open_store
from hdap.cli.terminal.output import emit_json, next_steps, percent, progress_bar, say, show_rows
from hdap.cli.terminal.output import out as page
from hdap.fleet_data.costs import format_flops
from hdap.workflows.plan_measurements import PlannedBatch, make_plan
from hdap.workflows.write_plan import require_free, write_plan


def run(asked: PlanCommand) -> None:
    """Choose, write the bundles and print where each goes."""
    require_free(asked.out)
    with open_store(asked.db, create=False) as store:
        batch = make_plan(store, asked.request, say)
    with progress_bar("exporting networks") as bar:
        size = write_plan(batch, asked.out, lambda done, total: bar(done, total, ""))
    if asked.as_json:
        emit_json(document(batch, asked.out, size))
    else:
        show(batch, asked.out, size)


def document(batch: PlannedBatch, out: Path, size: int) -> dict[str, Any]:
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


def _kind(batch: PlannedBatch) -> str:
    alone = not any(len(b.candidates) for b in batch.bundles)
    if alone and batch.levels is not None:
        return f"Levels of {batch.levels}"
    if alone and batch.portfolio is not None:
        return f"Variants of portfolio {batch.portfolio}"
    return f"{'Guided' if batch.guided else 'First'} batch"


def show(batch: PlannedBatch, out: Path, size: int) -> None:
    """The plan as a person reads it."""
    show_rows(
        batch.bundles,
        ("folder", "left", lambda b: str(out / b.name)),
        ("pruned networks", "right", lambda b: f"{len(b)}"),
        ("anchors among them", "right", lambda b: f"{len(b.anchors)}"),
        ("goes to devices", "left", lambda b: ", ".join(b.devices)),
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
