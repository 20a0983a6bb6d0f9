"""`hdap plan`: what the representatives measure next."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

from hdap.cli.settings.fleet_commands import PlanCommand
from hdap.cli.terminal.next_steps import next_steps
from hdap.cli.terminal.open_store import open_store
from hdap.cli.terminal.output import emit_json, note, progress_bar, say, show_rows
from hdap.fleet_data.costs import format_flops
from hdap.fleet_data.wording import counted, megabytes, percent
from hdap.workflows.next_commands import command_line, measured_files
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
        "batch_size": batch.batch_size,
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
                **asdict(b.run_by),
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
        ("runs in", "left", lambda b: b.run_by.words),
        ("goes to devices", "left", lambda b: ", ".join(b.devices)),
        title=f"{_kind(batch)} of {batch.architecture.model}",
    )
    clusters = len(batch.clustering.clusters)
    at_once = "" if batch.batch_size == 1 else f", batches of {batch.batch_size}"
    note(
        f"{counted(batch.measurements, 'measurement')} of "
        f"{counted(batch.fresh, 'new configuration')} ({format_flops(batch.low)} to "
        f"{format_flops(batch.high)} FLOPs) in {counted(clusters, 'cluster')}, the dense network "
        f"beside them{at_once}; about {max(1, round(batch.seconds / 60))} min a device; "
        f"{megabytes(size)}"
    )
    note(
        f"expected held-out error afterwards: {percent(batch.expected_error)} (expected, not "
        f"promised: the learning curve of {batch.curve.source})"
    )
    note("each folder is for the devices beside it; its README.txt says how to run it there")
    first = batch.bundles[0]
    next_steps(
        command_line("measure", out / first.name, "--device-id", first.devices[0]),
        then=[f"hdap ingest {measured_files(out, '*')}"],
    )
